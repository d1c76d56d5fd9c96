# SPDX-License-Identifier: Apache-2.0
"""What a recipient may be handed: damaged, cut, swapped, of another release, made to do harm. One line, no file."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.outcome_files import lay
from tests.unlock.unlock_runs import Person, files, payload_path, person, protect, unlock
from umed.cli.main import main
from umed.core.errors import UmedError
from umed.core.keyfile import Key
from umed.unlock import age_keys
from umed.unlock.payload import WHOLE, Payload, decode_payload, index_payload
from umed.unlock.restore import unlock as restore
from umed.unlock.unlock_folder import put_sealed, unlock_name


@pytest.fixture(scope="module")
def anne(tmp_path_factory) -> Person:
    return person(tmp_path_factory.mktemp("people"), "anne")


@pytest.fixture(scope="module")
def made(tmp_path_factory, anne) -> Path:
    """A folder with ``in`` and ``out``: two pictures of one size, one volume."""
    root = tmp_path_factory.mktemp("made")
    lay(root / "in", "images/a.png", "masks/a.png=1", "images/b.png", "masks/b.png=1")
    lay(root / "in", "images/v.nii.gz", "masks/v.nii.gz=1")
    assert protect(root / "in", root / "out", "--recipients", str(anne.list)) == 0
    return root


@pytest.fixture
def release(made, tmp_path) -> Path:
    """A copy of the release, to be damaged."""
    shutil.copytree(made / "out", tmp_path / "out")
    shutil.copytree(made / "out-private", tmp_path / "out-private")
    return tmp_path / "out"


def refused(release: Path, key: Path, capsys, *more: str) -> str:
    """Unlocking ends with 1, one line on stderr, and nothing new beside the release."""
    before = sorted(path.name for path in release.parent.iterdir())
    capsys.readouterr()
    assert unlock(release, release.parent / "again", key, *more) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("umed: ") and said.out == ""
    assert sorted(path.name for path in release.parent.iterdir()) == before
    return said.err


def release_key(release: Path) -> list[str]:
    """What only the owner has."""
    return age_keys.read_identities(release.with_name("out-private") / "unlock.key")


def test_unlocking_gives_the_originals_and_leaves_the_release_alone(made, release, anne):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in release.rglob("*") if path.is_file()}
    found = restore(release, release.parent / "again", key=anne.key)
    assert found.restored == ("images/a.png", "images/b.png", "images/v.nii.gz")
    assert found.copied == ("masks/a.png", "masks/b.png", "masks/v.nii.gz")
    assert files(release.parent / "again").keys() == files(made / "in").keys()
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in release.rglob("*") if p.is_file()}
    if os.name == "posix":
        assert (release.parent / "again").stat().st_mode & 0o777 == 0o700


def test_keys_that_open_nothing(release, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("others")
    assert "for other keys" in refused(release, person(folder, "ben").key, capsys)
    (folder / "empty.key").touch(0o600)
    assert "an empty file" in refused(release, folder / "empty.key", capsys)
    Key.random().write(folder / "project.key")
    assert "from which umed draws codes" in refused(release, folder / "project.key", capsys)
    assert "no such key file" in refused(release, folder / "none.key", capsys)
    assert "for other keys" in refused(release, release.with_name("out-private") / "unlock.key", capsys)


@pytest.mark.parametrize("which", ["key.age", "index.age", "images/a.png"])
def test_files_that_are_empty_cut_longer_or_gone(which, release, anne, capsys):
    path = payload_path(release, which) if "/" in which else release / "umed" / "unlock" / which
    whole = path.read_bytes()
    for damaged, says in (
        (b"", "an empty one"),
        (b"hello", "other bytes"),
        (whole[:100], "changed or cut short"),
        (whole[: len(whole) // 2], "changed or cut short"),
        (whole[:-1], "changed or cut short"),
        (whole + b"x", "changed or cut short"),
    ):
        path.write_bytes(damaged)
        assert says in refused(release, anne.key, capsys)
    path.unlink()
    assert "expected an unlock file, got none" in refused(release, anne.key, capsys)
    path.symlink_to(release / "images" / "a.png")
    assert "expected an unlock file, got none" in refused(release, anne.key, capsys)
    shutil.rmtree(release / "umed" / "unlock")
    assert "made without --recipients" in refused(release, anne.key, capsys)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_in_any_file_of_the_release_gives_nothing(data, made, anne, tmp_path):
    release = tmp_path / f"out{data.draw(st.integers(0, 1 << 62))}"
    shutil.copytree(made / "out", release, dirs_exist_ok=True)
    told = ("manifest.json", "about.html")  # for everybody; unlocking needs neither
    names = [path for path in sorted(release.rglob("*")) if path.is_file() and path.name not in told]
    path = data.draw(st.sampled_from(names))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(UmedError) as stop:
        restore(release, tmp_path / "again", key=anne.key)
    assert "\n" not in str(stop.value) and not (tmp_path / "again").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".umed")]
    shutil.rmtree(release)


def test_swapped_unlock_files_and_published_files(release, anne, capsys):
    one, other = payload_path(release, "images/a.png"), payload_path(release, "images/b.png")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    assert "expected the unlock file of images/a.png, got that of another" in refused(release, anne.key, capsys)
    one.write_bytes(first)
    a, b = release / "images" / "a.png", release / "images" / "b.png"
    mine = a.read_bytes()
    a.write_bytes(b.read_bytes())
    assert "a.png: expected the published file that its unlock file is bound to" in refused(release, anne.key, capsys)
    a.write_bytes(mine)
    (release / "masks" / "a.png").write_bytes((release / "masks" / "b.png").read_bytes())
    assert "masks/a.png: expected the published file" in refused(release, anne.key, capsys)
    (release / "masks" / "a.png").unlink()
    assert "expected a file of the release, got none" in refused(release, anne.key, capsys)


def test_an_unlock_file_of_another_run_of_the_same_data(made, release, anne, capsys, tmp_path):
    protect(made / "in", tmp_path / "second", "--recipients", str(anne.list), "--epsilon", "8/255")
    theirs = payload_path(tmp_path / "second", "images/a.png").read_bytes()
    payload_path(release, "images/a.png").write_bytes(theirs)
    assert "for other keys" in refused(release, anne.key, capsys)
    plain = age_keys.decrypt(theirs, age_keys.read_identities(tmp_path / "second-private" / "unlock.key"), "f")
    put_sealed(payload_path(release, "images/a.png"), plain, release_key(release)[0])
    assert "expected the unlock file of this release, got one of another" in refused(release, anne.key, capsys)
    shutil.rmtree(release / "umed" / "unlock")
    shutil.copytree(tmp_path / "second" / "umed" / "unlock", release / "umed" / "unlock")
    assert "the published file that its unlock file is bound to" in refused(release, anne.key, capsys)


def forge(release: Path, payload: Payload, **listed: object) -> None:
    """What somebody who has the key of the release may write."""
    identity = release_key(release)[0]
    folder = release / "umed" / "unlock"
    opened = age_keys.decrypt((folder / "index.age").read_bytes(), [identity], "f")
    index = json.loads(decode_payload(opened, "f").data)
    index[payload.path] = {"sha256": payload.sha256, "payload": True}
    put_sealed(folder / "index.age", index_payload({**index, **listed}).encode(), identity)
    put_sealed(folder / unlock_name(payload.path), payload.encode(), identity)


def opened(release: Path, name: str) -> Payload:
    plain = age_keys.decrypt(payload_path(release, name).read_bytes(), release_key(release), "f")
    return decode_payload(plain, "f")


def changed(payload: Payload, **fields: object) -> Payload:
    return Payload(**{**vars(payload), **fields})


def test_names_that_lead_out_of_the_folder_write_nothing(release, anne, capsys):
    one = opened(release, "images/a.png")
    for name in ("../evil.png", "/tmp/evil.png", "images/../../evil.png"):
        forge(release, changed(one, kind=WHOLE, data=b"\0evil", size=4, name=name))
        assert "names of files inside the release" in refused(release, anne.key, capsys)
        forge(release, one, **{name: {"sha256": "0" * 64, "payload": False}})
        assert "names of files inside the release" in refused(release, anne.key, capsys)
        forge(release, one)
        identity, folder = release_key(release)[0], release / "umed" / "unlock"
        whole = decode_payload(age_keys.decrypt((folder / "index.age").read_bytes(), [identity], "f"), "f")
        listed = {n: e for n, e in json.loads(whole.data).items() if n in files(release)}
        put_sealed(folder / "index.age", index_payload(listed).encode(), identity)
    assert not list(release.parent.parent.glob("evil*")) and unlock(release, release.parent / "again", anne.key) == 0


def test_two_originals_of_one_name_are_refused(release, anne, capsys):
    digest = hashlib.sha256(b"x").hexdigest()
    one = changed(opened(release, "images/a.png"), kind=WHOLE, data=b"\0x", size=1, digest=digest)
    for name in ("images/b.png", "masks/a.png", "images/a.txt", "images/b.jpg"):
        forge(release, changed(one, name=name))
        assert f"{name}: expected the name of the original of images/a.png" in refused(release, anne.key, capsys)
    (release / "images" / "a.jpg").write_bytes(b"y")
    listed = {"images/a.jpg": {"sha256": hashlib.sha256(b"y").hexdigest(), "payload": False}}
    forge(release, changed(one, name="images/a.jpg"), **listed)
    assert "images/a.jpg: expected one original of this name, got two" in refused(release, anne.key, capsys)


def test_what_would_unpack_beyond_measure_is_refused_before_it_does(release, anne, capsys):
    one = opened(release, "images/a.png")
    bomb = b"\1" + bz2.compress(bytes(300_000_000))
    forge(release, changed(one, kind=WHOLE, data=bomb, size=300_000_000))
    assert "expected an original of at most" in refused(release, anne.key, capsys)
    forge(release, changed(one, kind=WHOLE, data=bomb, size=1000))
    assert "expected a packed original, got a damaged one" in refused(release, anne.key, capsys)
    forge(release, changed(one, size=one.size + 1))
    assert "expected a payload for this image" in refused(release, anne.key, capsys)
    with open(payload_path(release, "images/a.png"), "r+b") as file:
        file.truncate(1 << 32)
    assert "expected an unlock file of at most" in refused(release, anne.key, capsys)


def test_what_comes_out_must_be_what_went_in(release, anne, capsys):
    one = opened(release, "images/a.png")
    for other in (changed(one, digest="0" * 64), changed(one, data=opened(release, "images/b.png").data)):
        forge(release, other)
        assert "expected the original, got other content" in refused(release, anne.key, capsys)
    forge(release, changed(one, data=one.data[:-2]))
    assert "expected the packed difference" in refused(release, anne.key, capsys)
    forge(release, changed(one, kind="pixels"))
    assert refused(release, anne.key, capsys)


def test_a_key_file_with_another_content_is_refused(release, anne, capsys):
    path = release / "umed" / "unlock" / "key.age"
    for text in (b"", b"hello", b"\xff", f"{age_keys.new_identity()}\n{age_keys.new_identity()}\n".encode()):
        path.write_bytes(age_keys.encrypt(text, [anne.public]))
        assert "expected the key of a release" in refused(release, anne.key, capsys)


def test_links_in_the_release_are_not_followed(release, anne, capsys):
    shutil.move(release / "images", release.parent / "elsewhere")
    (release / "images").symlink_to(release.parent / "elsewhere")
    assert "expected plain files and folders in the release, got a link" in refused(release, anne.key, capsys)
    (release / "images").unlink()
    shutil.move(release.parent / "elsewhere", release / "images")
    shutil.move(release / "masks" / "a.png", release.parent / "a.png")
    (release / "masks" / "a.png").symlink_to(release.parent / "a.png")
    assert "got a link" in refused(release, anne.key, capsys)


def test_where_the_originals_may_go(release, anne, capsys, tmp_path):
    for target in (release, release / "new", release.parent):
        assert unlock(release, target, anne.key) == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("full", "expected a new or empty folder"),
        ("file", "got a file"),
        ("link", "got a link"),
        ("none/new", "got none above it"),
    ):
        capsys.readouterr()
        assert unlock(release, tmp_path / name, anne.key) == 1
        assert says in capsys.readouterr().err
    assert (tmp_path / "full" / "x").read_text() == "mine" and not list((tmp_path / "empty").iterdir())
    assert unlock(release, tmp_path / "empty", anne.key) == 0
    assert files(tmp_path / "empty").keys() == files(release).keys()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_run_that_is_stopped_leaves_nothing(error, release, anne, monkeypatch, capsys):
    def stopped(*args: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules[restore.__module__], "_copy", stopped)
    before = sorted(release.parent.iterdir())
    assert unlock(release, release.parent / "again", anne.key) in (1, 130)
    assert sorted(release.parent.iterdir()) == before


def test_words_that_make_no_sense_are_usage(release, anne, capsys):
    for words, says in (
        ([str(release), "x"], "--key: expected the secret key"),
        ([str(release), "x", "--key", str(anne.key), "--recipients", str(anne.list)], "expected the word grant"),
        (["grant", str(release)], "--recipients: expected a file"),
    ):
        assert main(["unlock", *words]) == 2
        assert says in capsys.readouterr().err


def test_json(release, anne, capsys):
    assert unlock(release, release.parent / "again", anne.key, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["restored"] == ["images/a.png", "images/b.png", "images/v.nii.gz"] and found["exit_code"] == 0
    assert unlock(release, release.parent / "again", anne.key, "--json") == 1
    assert "expected a new or empty folder" in json.loads(capsys.readouterr().out)["error"]
