# SPDX-License-Identifier: Apache-2.0
"""Runs with recipients: what verify, check-release, resume, overwrite and grant make of the unlock files."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess

import pytest

import umed
from tests.outcome_files import lay
from tests.unlock.unlock_runs import files, payload_path, person, protect, unlock
from umed.cli.main import main
from umed.unlock import age_keys
from umed.unlock.payload import decode_payload


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return {name: person(folder, name) for name in ("anne", "ben", "carl")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "in"
    return lay(root, "images/a.png", "masks/a.png=1", "images/b.nii.gz", "masks/b.nii.gz=1", "LICENSE.png")


@pytest.fixture(scope="module")
def made(source, people, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    (source / "LICENSE.png").unlink(missing_ok=True)
    assert protect(source, root / "out", "--recipients", str(people["anne"].list)) == 0
    return root


@pytest.fixture
def out(made, tmp_path):
    for name in ("out", "out-private"):
        shutil.copytree(made / name, tmp_path / name)
    targets = tmp_path / "out-private" / "targets.json"  # says where the output lies
    targets.write_text(targets.read_text().replace(str(made / "out"), str(tmp_path / "out")))
    return tmp_path / "out"


def plaintexts(out):
    [identity] = age_keys.read_identities(out.with_name("out-private") / "unlock.key")
    folder = out / "umed" / "unlock"
    return {
        path.name: age_keys.decrypt(path.read_bytes(), [identity], path.name)
        for path in folder.iterdir()
        if path.name != "key.age"
    }


def sealed(out):
    return {path.name: path.read_bytes() for path in (out / "umed" / "unlock").iterdir()}


def check(out, capsys, *more):
    capsys.readouterr()
    code = main(["check-release", str(out), "--json", "--quiet", *more])
    return code, {(one["kind"], one["where"]) for one in json.loads(capsys.readouterr().out)["problems"]}


def test_the_private_folder_keeps_key_and_recipients(out, people):
    private = out.with_name("out-private")
    assert people["anne"].public in (private / "recipients.txt").read_text()
    if os.name == "posix":
        assert {stat.S_IMODE((private / name).stat().st_mode) for name in ("unlock.key", "recipients.txt")} == {0o600}
    secret = age_keys.read_identities(private / "unlock.key")[0]
    assert all(secret.encode() not in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_the_way_by_hand_that_the_documentation_shows(out, people, source, tmp_path):
    age = shutil.which("age")
    if age is None:
        pytest.skip("the program age is not installed (Debian: apt-get install age)")
    folder, key = out / "umed" / "unlock", tmp_path / "release.key"
    opened = subprocess.run([age, "-d", "-i", people["anne"].key, folder / "key.age"], check=True, capture_output=True)
    key.write_bytes(opened.stdout)
    one = payload_path(out, "images/a.png")
    plain = subprocess.run([age, "-d", "-i", key, one], check=True, capture_output=True).stdout
    assert plain == plaintexts(out)[one.name] and decode_payload(plain, "f").path == "images/a.png"


def test_verify_and_check_release_know_them(out, source, capsys):
    assert umed.verify(source, out).ok
    assert check(out, capsys, "--original", str(source)) == (0, set())
    out.with_name("out-private").rename(out.with_name("gone"))
    found = umed.verify(source, out, promise={"epsilon": 4 / 255})
    assert found.ok and "4 unlock files were not opened" in found.summary()


def test_verify_and_check_release_find_what_was_changed(out, source, capsys):
    path = payload_path(out, "images/a.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    name = path.relative_to(out).as_posix()
    assert not umed.verify(source, out).ok
    code, problems = check(out, capsys)
    assert code == 1 and {("changed", name), ("unlock", name)} <= problems
    path.write_bytes(b"no age file, but long enough to be one")
    out.with_name("out-private").rename(out.with_name("gone"))
    bare = umed.verify(source, out, promise={"epsilon": 4 / 255})
    assert f"{name}: expected an unlock file of this release, got: no age file" in bare.summary()
    path.unlink()
    code, problems = check(out, capsys)
    assert code == 1 and ("missing", name) in problems


def test_swapped_and_foreign_unlock_files_are_found(out, source, capsys):
    one, other = payload_path(out, "images/a.png"), payload_path(out, "images/b.nii.gz")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
    code, problems = check(out, capsys)
    assert code == 1 and {("unlock", path.relative_to(out).as_posix()) for path in (one, other)} <= problems
    one.write_bytes(first), other.write_bytes(second)
    extra = one.with_name(f"{'0' * 64}.age")
    extra.write_bytes(first)
    code, problems = check(out, capsys)
    assert code == 1 and ("unlisted", extra.relative_to(out).as_posix()) in problems
    assert "expected no such file" in umed.verify(source, out).summary()
    extra.rename(one.with_name("notes.age"))
    code, problems = check(out, capsys)
    assert code == 1 and ("private", "umed/unlock/notes.age") in problems


@pytest.mark.parametrize("where", ["notes.txt", "umed/unlock/key.age", "images/x.bin"])
@pytest.mark.parametrize("which", ["unlock.key", "recipient"])
def test_a_secret_key_in_the_release_fails_the_check(where, which, out, people, capsys):
    key = people["anne"].key if which == "recipient" else out.with_name("out-private") / "unlock.key"
    (out / where).write_bytes(key.read_bytes())
    for more in ((), ("--private", str(out.with_name("out-private")))):
        code, problems = check(out, capsys, *more)
        assert code == 1 and ("private", where) in problems


def test_a_resumed_run_makes_the_same_plaintexts_and_keeps_what_stands(out, source, people):
    before, plain = sealed(out), plaintexts(out)
    shutil.move(out / "umed" / "unlock", out.parent / "lost")
    assert protect(source, out, "--resume", "--unlock-dir", str(out.parent / "x")) == 2  # that run had them inside
    shutil.move(out.parent / "lost", out / "umed" / "unlock")
    payload_path(out, "images/a.png").unlink()
    assert protect(source, out, "--resume") == 0  # its recipients are kept
    after = sealed(out)
    assert plaintexts(out) == plain and before.keys() == after.keys()
    same = {name for name in before if before[name] == after[name]}
    assert same == before.keys() - {"key.age", payload_path(out, "images/a.png").name}
    assert umed.verify(source, out).ok and unlock(out, out.parent / "again", people["anne"].key) == 0


def test_workers_change_no_plaintext(out, source, people, tmp_path, quick_workers):
    key = str(out.with_name("out-private") / "release.key")
    shutil.copy(key, tmp_path / "release.key")
    done = umed.protect(
        source, tmp_path / "second", method="checkerboard", key_file=tmp_path / "release.key", workers=2,
        recipients=people["anne"].list,
    )  # fmt: skip
    assert "4 files for 1 recipient" in done.unlock and done.to_dict()["unlock"] == done.unlock
    (tmp_path / "x").mkdir()
    for name in ("second", "second-private"):
        (tmp_path / name).rename(tmp_path / "x" / name.replace("second", "out"))
    assert plaintexts(tmp_path / "x" / "out") == plaintexts(out)


def test_a_resumed_run_may_add_recipients(out, source, people):
    assert protect(source, out, "--resume", "--recipients", str(people["ben"].list)) == 0
    for number, name in enumerate(("anne", "ben")):
        assert unlock(out, out.parent / f"again{number}", people[name].key) == 0


def test_overwrite_takes_key_and_recipients_with_it(out, source, people, capsys):
    old = out.with_name("out-private") / "unlock.key"
    before = old.read_bytes()
    assert protect(source, out, "--overwrite", "--recipients", str(people["ben"].list)) == 0
    assert old.read_bytes() != before and unlock(out, out.parent / "again", people["anne"].key) == 1
    assert unlock(out, out.parent / "again", people["ben"].key) == 0
    assert protect(source, out, "--overwrite") == 0
    assert not old.exists() and not (out / "umed" / "unlock").exists() and umed.verify(source, out).ok


def test_a_folder_of_its_own_is_no_part_of_the_release(source, people, tmp_path, capsys):
    out, aside = tmp_path / "out", tmp_path / "aside"
    options = ("--recipients", str(people["anne"].list), "--unlock-dir", str(aside))
    assert protect(source, out, *options) == 0
    assert not (out / "umed" / "unlock").exists() and b"unlock" not in (out / "umed" / "manifest.json").read_bytes()
    assert umed.verify(source, out).ok and check(out, capsys) == (0, set())
    assert unlock(out, tmp_path / "again", people["anne"].key) == 1
    assert "--unlock-dir" in capsys.readouterr().err
    assert unlock(out, tmp_path / "again", people["anne"].key, "--unlock-dir", str(aside)) == 0
    assert protect(source, out, "--resume") == 2
    assert "--unlock-dir: expected --unlock-dir DIR, where that run wrote them" in capsys.readouterr().err
    assert protect(source, out, "--resume", "--unlock-dir", str(aside)) == 0
    words = ["unlock", "grant", str(out), "--recipients", str(people["ben"].list), "--unlock-dir", str(aside)]
    manifest = (out / "umed" / "manifest.json").read_bytes()
    assert main(words) == 0 and (out / "umed" / "manifest.json").read_bytes() == manifest
    assert unlock(out, tmp_path / "more", people["ben"].key, "--unlock-dir", str(aside)) == 0


@pytest.mark.parametrize("where", ["out/more", "in/more", "out-private/more", "full"])
def test_where_unlock_files_may_not_go(where, source, people, tmp_path, capsys):
    shutil.copytree(source, tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    code = protect(
        tmp_path / "in",
        tmp_path / "out",
        "--recipients",
        str(people["anne"].list),
        "--unlock-dir",
        str(tmp_path / where),
    )
    assert code == 1 and "--unlock-dir" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_what_is_wrong_with_the_list_is_said_before_anything_is_written(source, people, tmp_path, capsys):
    (tmp_path / "list").write_text(people["anne"].key.read_text())
    for more in ((), ("--dry-run",), ("--preview",)):
        assert protect(source, tmp_path / "out", "--recipients", str(tmp_path / "list"), *more) == 1
        said = capsys.readouterr().err
        assert "line 2: expected a public key" in said and "AGE-SECRET-KEY-1" not in said
    assert protect(source, tmp_path / "out", "--unlock-dir", str(tmp_path / "x")) == 2
    assert not (tmp_path / "out").exists() and not (tmp_path / "out-private").exists()


def test_an_original_that_has_changed_since_is_refused(source, people, tmp_path, monkeypatch, capsys):
    shutil.copytree(source, tmp_path / "in")
    from umed.unlock import write_unlock as module

    honest = module._payloads

    def later(*args):
        (tmp_path / "in" / "images" / "a.png").write_bytes((source / "images" / "a.png").read_bytes() + b"\0")
        return honest(*args)

    monkeypatch.setattr(module, "_payloads", later)
    assert protect(tmp_path / "in", tmp_path / "out", "--recipients", str(people["anne"].list)) == 1
    assert "expected the original of the run, got another one" in capsys.readouterr().err


def test_grant_lets_another_one_in_and_writes_one_file_anew(out, source, people, capsys):
    before, rest = sealed(out), {n: d for n, d in files(out).items()}
    assert unlock(out, out.parent / "ben", people["ben"].key) == 1
    capsys.readouterr()
    assert main(["unlock", "grant", str(out), "--recipients", str(people["ben"].list), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["added"] == [people["ben"].public] and found["recipients"][0] == people["anne"].public
    after = sealed(out)
    assert {name for name in before if before[name] != after[name]} == {"key.age"} and files(out) == rest
    for name in ("anne", "ben"):
        assert unlock(out, out.parent / name, people[name].key) == 0
    assert umed.verify(source, out).ok and check(out, capsys) == (0, set())
    capsys.readouterr()
    assert main(["unlock", "grant", str(out), "--recipients", str(people["ben"].list)]) == 0
    said = capsys.readouterr().out
    assert "2 can unlock it now, 0 of them new" in said and "nobody can be taken off again" in said


def test_grant_needs_the_private_folder_its_key_and_a_sound_release(out, people, capsys):
    private, words = (
        out.with_name("out-private"),
        ["unlock", "grant", str(out), "--recipients", str(people["ben"].list)],
    )
    before = {**files(out.parent)}
    key = (private / "unlock.key").read_bytes()

    def fails(says, code=1):
        capsys.readouterr()
        assert main(words) == code
        assert says in capsys.readouterr().err

    (private / "unlock.key").unlink()
    fails("expected the key of the unlock files, got none")
    age_keys.write_identity(private / "unlock.key", age_keys.new_identity())
    fails("index.age: expected a file for unlock.key, got one for other keys")
    (private / "unlock.key").write_bytes(key)
    record = (private / "release.json").read_text()
    (private / "release.json").write_text(record.replace('"epsilon": 0.0', '"epsilon": 0.1', 1))
    fails("edited since")
    (private / "release.json").write_text(record)
    (out / "umed" / "unlock" / "key.age").rename(out.parent / "key.age")
    fails("expected the unlock files of the release, got none")
    (out / "umed" / "unlock" / "key.age").symlink_to(out.parent / "key.age")
    fails("expected no link")
    (out / "umed" / "unlock" / "key.age").unlink()
    (out.parent / "key.age").rename(out / "umed" / "unlock" / "key.age")
    assert files(out.parent) == before
    assert main(words) == 0
