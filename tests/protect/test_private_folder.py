# SPDX-License-Identifier: Apache-2.0
"""What must never be published lies apart, is its owner's alone, and is never lost or mixed up with another's."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sealed import record
from umed.cases.records import private_of
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.protect.check_release import check_release
from umed.protect.run import protect
from umed.protect.verify import verify

PLAIN = {"method": "random", "report": False}


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_only_its_owner_may_read_it_and_the_output_holds_none_of_it(phantom: Path, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        result = protect(phantom, tmp_path / "out", method="umed", training={"iterations": 1, "batch_size": 1})
    finally:
        os.umask(before)
    private = tmp_path / "out-private"
    assert result.private == private and result.report == private / "report.html"
    for path in [private, *private.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    names = {"release.key", "release.json", "plan.json", "targets.json", "left_out.json", "report.html", "trace.json"}
    assert {path.name for path in private.iterdir()} == names | {"cases", "generators", "lock"}
    assert {path.name for path in (tmp_path / "out" / "umed").iterdir()} == {
        "manifest.json",
        "about.html",
        "commitment.json",
    }
    said = result.summary()
    assert (
        f"publish: {tmp_path / 'out'} (umed check-release: nothing" in said
        and f"never publish: {private} (plan, records, generators, report). Keep it, its key" in said
    )
    page = (tmp_path / "out/umed/about.html").read_text()
    assert "<img" not in page and "data:image" not in page and "phantom_0" not in page and "not for diagnosis" in page


@pytest.mark.parametrize("place", ["out/private", "out", ".", "in/private", "in", "file"])
def test_a_private_folder_in_the_way_of_another_is_refused(phantom: Path, tmp_path: Path, place: str) -> None:
    root = shutil.copytree(phantom, tmp_path / "in")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"expected a (private )?folder.*--private"):
        protect(root, tmp_path / "out", private=tmp_path / place, **PLAIN)
    assert tree(tmp_path) == before and not (tmp_path / "out").exists()


def test_a_link_does_not_hide_that_it_lies_in_the_output(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    with pytest.raises(InputError, match="one inside the other"):
        protect(phantom, tmp_path / "out", private=tmp_path / "link" / "private", **PLAIN)


def test_another_place_is_found_again_only_where_it_is_given(phantom: Path, tmp_path: Path) -> None:
    out, private = tmp_path / "out", tmp_path / "vault" / "of mine"
    protect(phantom, out, private=private, **PLAIN)
    assert (private / "release.key").is_file() and not private_of(out).exists()
    with pytest.raises(InputError, match=r"no private folder of its run in .*out-private.*--private"):
        protect(phantom, out, resume=True, **PLAIN)
    before = tree(tmp_path)
    assert protect(phantom, out, private=private, resume=True, **PLAIN).exit_code == 0
    assert tree(tmp_path) == before
    with pytest.raises(
        InputError, match=r"expected the private folder of .*other, got that of .*out, which is still there"
    ):
        protect(phantom, tmp_path / "other", private=private, resume=True, **PLAIN)


def test_a_private_folder_that_is_there_is_never_lost(phantom: Path, tmp_path: Path) -> None:
    out, private = tmp_path / "out", tmp_path / "out-private"
    private.mkdir()
    (private / "letters.txt").write_text("mine")
    with pytest.raises(InputError, match=r"got one with other files \(letters.txt\)"):
        protect(phantom, out, **PLAIN)
    assert tree(private) == {"letters.txt": b"mine"} and not out.exists()
    (private / "letters.txt").unlink()
    protect(phantom, out, **PLAIN)
    shutil.rmtree(out)  # the release was moved away; its key must not be replaced
    before = tree(private)
    with pytest.raises(InputError, match="--resume to go on or --overwrite"):
        protect(phantom, out, **PLAIN)
    assert tree(private) == before
    key = before["release.key"]
    for again in ("resume", "overwrite"):
        protect(phantom, out, **PLAIN, **{again: True})
        assert (private / "release.key").read_bytes() == key


def test_a_key_that_lies_there_is_used(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "out-private").mkdir()
    key = Key.create(tmp_path / "out-private" / "release.key")
    protect(phantom, tmp_path / "out", **PLAIN)
    assert record(tmp_path / "out")["key"] == key.digest()
    assert not stat.S_IMODE((tmp_path / "out-private").stat().st_mode) & 0o077


def test_a_key_that_is_given_decides_and_is_not_copied(phantom: Path, tmp_path: Path) -> None:
    keys = {name: Key.create(tmp_path / name) for name in ("a.key", "b.key")}
    for name, key in (("one", "a.key"), ("two", "a.key"), ("three", "b.key")):
        protect(phantom, tmp_path / name, key_file=tmp_path / key, **PLAIN)
        assert not (tmp_path / f"{name}-private" / "release.key").exists()
    one, two, three = (tree(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two and record(tmp_path / "one")["release"] == record(tmp_path / "three")["release"]
    assert all(one[name] != three[name] for name in one if name.startswith("imagesTr/"))
    with pytest.raises(InputError, match=r"expected the key of the run, got none. Give it with --key-file"):
        protect(phantom, tmp_path / "one", resume=True, **PLAIN)
    with pytest.raises(ConfigError, match="got another key"):
        protect(phantom, tmp_path / "one", resume=True, key_file=tmp_path / "b.key", **PLAIN)
    shutil.copy(tmp_path / "b.key", tmp_path / "one-private" / "release.key")
    with pytest.raises(ConfigError, match="expected no other key, got one beside"):
        protect(phantom, tmp_path / "one", resume=True, key_file=tmp_path / "a.key", **PLAIN)
    assert not any(
        key.secret.hex().encode() in data for key in keys.values() for data in (*one.values(), *three.values())
    )


def test_a_key_in_the_output_or_for_all_to_read_is_refused(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    Key.create(tmp_path / "out" / "k")
    with pytest.raises(ConfigError, match="outside the output"):
        protect(phantom, tmp_path / "out", key_file=tmp_path / "out" / "k", **PLAIN)
    Key.create(tmp_path / "k")
    (tmp_path / "k").chmod(0o604)
    with pytest.raises(InputError, match="chmod 600"):
        protect(phantom, tmp_path / "new", key_file=tmp_path / "k", **PLAIN)
    protect(phantom, tmp_path / "made", **PLAIN)
    (tmp_path / "made-private/release.key").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        protect(phantom, tmp_path / "made", resume=True, **PLAIN)
    assert not (tmp_path / "new").exists()


def test_a_lost_key_is_no_new_key(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", **PLAIN)
    (tmp_path / "out-private/release.key").unlink()
    for again in ("resume", "overwrite"):
        with pytest.raises(InputError, match="if it is lost, the run cannot go on"):
            protect(phantom, tmp_path / "out", **PLAIN, **{again: True})
    assert not (tmp_path / "out-private/release.key").exists()


@pytest.mark.parametrize("left", ["plan.json", "generators", "cases"])
def test_an_output_of_umed_0_1_is_called_that(phantom: Path, tmp_path: Path, left: str) -> None:
    place = tmp_path / "out" / "umed" / left
    place.mkdir(parents=True) if "." not in left else (place.parent.mkdir(parents=True), place.write_text("{}"))
    for again in ("resume", "overwrite"):
        with pytest.raises(InputError, match=r"got one of umed 0.1, whose code is public and lies in it"):
            protect(phantom, tmp_path / "out", **PLAIN, **{again: True})


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"output": "out"}', '{"output": "out", "key": "k", "files": ["../x"]}']
)
def test_damaged_records_are_named(phantom: Path, tmp_path: Path, content: str) -> None:
    protect(phantom, tmp_path / "out", **PLAIN)
    (tmp_path / "out-private/targets.json").write_text(content)
    with pytest.raises((InputError, ConfigError), match=r"targets.json: expected|got another key"):
        protect(phantom, tmp_path / "out", overwrite=True, **PLAIN)
    assert (tmp_path / "out/imagesTr/phantom_000.nii.gz").is_file()


def test_the_same_image_under_two_names_has_two_codes_and_other_content_another(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures(count=2)
    for folder in ("images", "masks"):
        shutil.copy(root / folder / "case_0.png", root / folder / "case_1.png")
    protect(root, tmp_path / "out", **PLAIN)
    one, two = ((tmp_path / "out/images" / f"case_{n}.png").read_bytes() for n in (0, 1))
    assert one != two


def test_two_runs_never_write_to_one_output(phantom: Path, tmp_path: Path) -> None:
    def second(stage: str, done: int, total: int) -> None:
        for again in ({"resume": True}, {"overwrite": True}) if stage == "protect" else ():
            with pytest.raises(InputError, match="expected to be the only run that writes here"):
                protect(phantom, tmp_path / "out", **PLAIN, **again)

    assert protect(phantom, tmp_path / "out", progress=second, **PLAIN).exit_code == 0
    assert protect(phantom, tmp_path / "out", resume=True, **PLAIN).exit_code == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from umed.protect.check_release import check_release
from umed.protect.run import protect
from umed.protect.verify import verify
def stop(stage, done, total):
    if stage == sys.argv[4] and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
training = {"iterations": 4, "batch_size": 1, "checkpoint_every": 1}
protect(sys.argv[1], sys.argv[2], key_file=sys.argv[3], training=training, report=False, progress=stop)
"""


@pytest.mark.usefixtures("quick_workers")
def test_one_key_gives_the_same_bytes_with_workers_and_after_a_kill(phantom: Path, tmp_path: Path) -> None:
    Key.create(tmp_path / "k")
    Key.create(tmp_path / "other")
    options = {"training": {"iterations": 4, "batch_size": 1, "checkpoint_every": 1}, "report": False}
    for name, more in (("one", {}), ("two", {"workers": 2})):
        assert protect(phantom, tmp_path / name, key_file=tmp_path / "k", **options, **more).exit_code == 0
    for stage in ("train", "protect"):
        words = [sys.executable, "-c", KILLED, phantom, tmp_path / stage, tmp_path / "k", stage]
        assert subprocess.run([str(word) for word in words], check=False).returncode == -signal.SIGKILL
        again = {"key_file": tmp_path / "k", "resume": True, "workers": 2}
        assert protect(phantom, tmp_path / stage, **options, **again).exit_code == 0
    whole = tree(tmp_path / "one")
    assert all(tree(tmp_path / name) == whole for name in ("two", "train", "protect"))
    protect(phantom, tmp_path / "else", key_file=tmp_path / "other", **options)
    assert [
        name for name, data in tree(tmp_path / "else").items() if name.startswith("images") and data == whole[name]
    ] == []


@pytest.mark.parametrize(
    "where", ["out/imagesTr", "out/labelsTr/phantom_000.nii.gz", "out-private/lock", "out-private/x"]
)
def test_no_link_is_followed_where_a_run_writes(phantom: Path, tmp_path: Path, where: str) -> None:
    root = shutil.copytree(phantom, tmp_path / "in")
    (tmp_path / "precious").write_text("mine")
    place = tmp_path / where
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(root / "imagesTr" if where == "out/imagesTr" else tmp_path / "precious")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"expected no link where a run writes|got one with other files"):
        protect(root, tmp_path / "out", **PLAIN)
    assert tree(tmp_path) == before


def test_a_folder_that_serves_another_output_is_not_taken(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    protect(phantom, tmp_path / "x/out", private=tmp_path / "p", **PLAIN)
    before = tree(tmp_path)
    for again in ("resume", "overwrite"):
        with pytest.raises(InputError, match="got that of .*x/out, which is still there"):
            protect(phantom, tmp_path / "y/out", private=tmp_path / "p", **PLAIN, **{again: True})
    assert tree(tmp_path) == before
    (tmp_path / "x/out").rename(tmp_path / "moved")
    assert protect(phantom, tmp_path / "moved", private=tmp_path / "p", resume=True, **PLAIN).exit_code == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_what_another_user_has_laid_out_is_refused(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "out-private").mkdir(mode=0o700)
    Key.create(tmp_path / "out-private/release.key")
    for path in ("out-private/release.key", "out-private"):
        os.chown(tmp_path / path, 12345, 12345)
        with pytest.raises(InputError, match="expected what is yours, got another user's"):
            protect(phantom, tmp_path / "out", **PLAIN)
        os.chown(tmp_path / path, 0, 0)


def test_two_private_folders_never_write_one_output(phantom: Path, tmp_path: Path) -> None:
    def second(stage: str, done: int, total: int) -> None:
        if stage == "look":
            return  # nothing is written yet
        with pytest.raises(InputError, match="expected"):
            protect(phantom, tmp_path / "out", private=tmp_path / "other", **PLAIN)

    assert protect(phantom, tmp_path / "out", progress=second, **PLAIN).exit_code == 0


def test_a_public_code_is_called_that(phantom: Path, tmp_path: Path) -> None:
    for method in ("checkerboard", "random"):
        assert "a control, not for a release" in protect(phantom, tmp_path / method, method=method).summary()
    secret = protect(phantom, tmp_path / "two", method="umed", training={"iterations": 0}, report=False)
    assert "warning" not in secret.summary()


def test_nothing_is_published_where_nothing_was_released(phantom: Path, tmp_path: Path) -> None:
    said = protect(phantom, tmp_path / "out", method="random", epsilon="1/10000").summary()
    assert f"do not publish {tmp_path / 'out'}: nothing was protected" in said and "\npublish:" not in said


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o750, 0o701, 0o704])
def test_a_private_folder_that_others_may_look_into_is_a_warning(tmp_path: Path, phantom: Path, mode: int) -> None:
    out = tmp_path / "my out"
    private = protect(phantom, out, **PLAIN).private
    assert "warning" not in verify(phantom, out).summary() + check_release(out).summary()
    private.chmod(mode)
    command = f"chmod -R go-rwx '{private}'"
    found, check = verify(phantom, out), check_release(out)
    assert found.ok and f"got mode {mode:03o}; run: {command}" in found.summary()
    assert check.ok and [(one.kind, one.what) for one in check.warnings] == [
        ("open-private", f"mode {mode:03o}; run: {command}")
    ]
    subprocess.run(command, shell=True, check=True)
    assert "warning" not in verify(phantom, out).summary() + check_release(out).summary()
