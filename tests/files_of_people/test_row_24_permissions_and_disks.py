# SPDX-License-Identifier: Apache-2.0
"""Row 24: whatever the system refuses, every command ends with one line and 1, and never with a traceback."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.files_of_people.every_command import NOBODY, WORDS, Places, Said, call, places
from umed.cli.main import COMMANDS
from umed.core.failures import Terminated

WRITERS = [name for name, words in WORDS.items() if "{out}" in words]
as_nobody = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to be somebody else")


@pytest.fixture(scope="module")
def there() -> Iterator[Places]:
    with places() as made:
        yield made


def refused(said: Said, code: int = 1) -> str:
    """The last line of stderr, which names what happened; the one before may be a warning."""
    assert said.code == code and said.out == "", said
    assert "Traceback" not in said.err and "as a bug" not in said.err, said
    *before, line = said.err.splitlines()
    assert line.startswith("umed: ") and len(line) > 20
    assert all("all of them are taken" in one for one in before), said
    return line


def test_every_command_is_in_the_table() -> None:
    assert set(WORDS) == set(COMMANDS)


ENDS: list[tuple[BaseException, int, str]] = [
    (PermissionError(errno.EACCES, "Permission denied", "a/b.nii"), 1, "a/b.nii: Permission denied: "),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full. Make room"),
    (OSError(errno.EROFS, "Read-only file system", "out"), 1, "out: Read-only file system: "),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "out"), 1, "the disk is full"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 1, "the name is too long"),
    (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), 1, "a -> b: Invalid cross-device link"),
    (OSError(errno.EMFILE, "Too many open files", "a"), 1, "ulimit"),
    (OSError(errno.EIO, "Input/output error", "a\nb"), 1, "a b: Input/output error"),
    (OSError("cannot identify image file"), 1, "cannot identify image file"),
    (FileExistsError(errno.EEXIST, "File exists", "out"), 1, "out: File exists: "),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/out"), 1, "a file stands where a folder is expected"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "f"), 1, "a folder stands where a file is expected"),
    (MemoryError(), 1, "out of memory. "),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "out of memory ("),
    (RecursionError("maximum recursion depth exceeded"), 1, "nested too deeply"),
    (KeyboardInterrupt(), 130, "stopped; run the same command again"),
    (Terminated(15), 143, "stopped; run the same command again"),
    (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize(("error", "code", "words"), ENDS, ids=lambda one: type(one).__name__)
def test_whatever_comes_out_of_a_command_is_one_line(
    command: str, error: BaseException, code: int, words: str, there: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setattr(COMMANDS[command], "run", fail)
    said = call(there.words(command))
    assert said.code == code and said.out == ""
    assert said.err.startswith("umed: ") and words in said.err and said.err.count("\n") == 1
    monkeypatch.setenv("UMED_DEBUG", "1")
    with pytest.raises(type(error)):
        call(there.words(command))


def test_a_reader_who_has_left_gets_no_traceback(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(COMMANDS["info"], "run", fail)
    monkeypatch.setattr("umed.cli.main._silence", lambda: None)
    assert call(["info"]) == (1, "", "")


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("place", ["below a file", "name too long", "no such device"])
def test_a_place_that_cannot_be(command: str, place: str, there: Places) -> None:
    where = {
        "below a file": there.file / "out",
        "name too long": there.root / ("x" * 300),
        "no such device": Path("/proc/umed-out"),
    }[place]
    if place == "no such device" and not Path("/proc/self").exists():
        pytest.skip("no /proc")
    refused(call(there._replace(out=where).words(command)))


@as_nobody
@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("what", ["unwritable parent", "read-only output"])
def test_a_place_that_may_not_be_written_to(command: str, what: str, there: Places) -> None:
    locked = there.root / "locked"
    locked.mkdir()
    locked.chmod(0o755)
    try:
        where = locked if what == "read-only output" else locked / "out"
        if command == "keygen" and where == locked:
            where = locked / "k"
        refused(call(there._replace(out=where).words(command), NOBODY))
        assert not list(locked.iterdir())
    finally:
        shutil.rmtree(locked)


@as_nobody
@pytest.mark.parametrize("command", [name for name, words in WORDS.items() if "{data}" in words or "{dicom}" in words])
@pytest.mark.parametrize("what", ["folder", "subfolder", "folder of masks"])
def test_an_input_that_may_not_be_read(command: str, what: str, there: Places) -> None:
    name = "data" if "{data}" in WORDS[command] else "dicom"
    copy = there.root / "copy"
    shutil.copytree(getattr(there, name), copy)
    (copy / "sub").mkdir()
    try:
        locked = {"folder": copy, "subfolder": copy / "sub", "folder of masks": copy / "masks"}[what]
        if not locked.exists():
            pytest.skip("DICOM files lie in one folder here")
        locked.chmod(0)
        said = call(there._replace(**{name: copy, "out": there.root / "new"}).words(command), NOBODY)
        if command == "anonymize" and what == "subfolder":
            assert said.code == 3 and "cannot be read" in said.out  # the others are done, this one is named
        else:
            assert "Permission denied" in refused(said)
    finally:
        for folder in (copy, copy / "sub", copy / "masks"):
            if folder.exists():
                folder.chmod(0o700)
        for path in (copy, *there.root.glob("new*")):
            shutil.rmtree(path)


def _full(*_args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _no_rename(first: object, second: object, **_options: object) -> None:
    raise OSError(errno.ENOTSUP, "Operation not supported", str(first), None, str(second))


@pytest.mark.parametrize(
    "command", ["protect", "anonymize", "train-generator", "keygen", "unlock", "report", "benchmark"]
)
@pytest.mark.parametrize(("function", "act"), [("fsync", _full), ("replace", _no_rename)], ids=["full", "no rename"])
def test_a_disk_that_is_full_or_cannot_rename(
    command: str, function: str, act: Callable[..., None], there: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (command, function) == ("keygen", "replace"):
        pytest.skip("a key is not renamed")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, function, act)
            line = refused(call(there.words(command)))
        assert ("No space left" if function == "fsync" else "Operation not supported") in line
        assert not list(there.root.rglob(".umed-tmp-*"))
    finally:
        for path in there.root.glob("o*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_disk_without_links_is_good_enough_for_a_benchmark(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    from umed.benchmark.grid.case_split import subset_dataset

    def no_links(*_args: object, **_options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    out = subset_dataset(there.data, {"0", "1"}, there.root / "few")
    assert (out / "images" / "0.png").read_bytes() == (there.data / "images" / "0.png").read_bytes()
    shutil.rmtree(out)
