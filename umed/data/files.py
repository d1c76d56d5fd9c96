# SPDX-License-Identifier: Apache-2.0
"""Files as a whole: checksums, atomic writes, and the rules for the output folder."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from umed.core.errors import InputError, VerificationError

RECORDS = "umed"
"""Folder in the output that holds the public manifest and page."""
PROPOSALS = "proposals.json"
"""File beside masks that says which of them a network proposed, see :mod:`umed.cases.proposals`; it is no mask."""
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
TEMPORARY = ".umed-tmp-"
"""Prefix of files that are being written; the ending stays, because writers look at it."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Args:
        path: the file; read in blocks.

    Raises:
        OSError: if it is no plain file; a pipe would be waited for without end.
    """
    if not path.is_file():
        code = errno.EINVAL if path.exists() else errno.ENOENT
        raise OSError(code, "is no plain file" if path.exists() else os.strerror(code), str(path))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by relative name; none where there is no folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}


@contextmanager
def atomic(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Write a file so that it is either whole or not there.

    Args:
        path: final name; its folder is made.
        durable: flush it to disk before it gets its name; without, a power failure may leave it empty, so something
            else must be able to tell.

    Yields:
        A temporary name in the same folder with the same ending. On success it is flushed to disk and renamed, on any
        error removed. The name is fixed, so that a killed run leaves at most one, which the next run writes over.
    """
    if not path.parent.is_dir():  # mkdir alone says so by an exception, which takes longer
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(TEMPORARY + path.name)
    temporary.unlink(missing_ok=True)  # of a killed run, or a link that somebody has laid
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say where it is full
        raise
    finally:
        temporary.unlink(missing_ok=True)


def out_of_reach(error: BaseException) -> bool:
    """Whether an error says that a file cannot be read just now, and nothing of what is in it."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _OUT_OF_REACH)


def set_aside(path: Path, expected: str, got: str, then: str) -> Path:
    """Rename a file that an earlier run should have left whole, and warn of it in one line.

    Args:
        path: the file, or a folder in its place.
        expected: what it should be.
        got: what it is.
        then: what happens now.

    Returns:
        Its new name, ``*.broken``; one of an earlier time is replaced.
    """
    aside = path.with_name(f"{path.name}.broken")
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    path.replace(aside)
    warnings.warn(f"{path}: expected {expected}, got {got}; set aside as {aside.name}. {then}", stacklevel=2)
    return aside


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time in, where the system has file locks; a process that dies leaves no lock behind.

    Args:
        path: the lock file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: nothing keeps two runs apart
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Let one process in and refuse all others, where the system has file locks.

    Args:
        path: the lock file, which stays, or a folder; what it lies in is there.
        what: is being written, for people.

    Raises:
        InputError: when another process is in.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two runs apart
        yield
        return
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{what}: expected to be the only run that writes here, got another at work. Wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(handle)


def links(folder: Path) -> Iterator[Path]:
    """Links anywhere below a folder, which lead writing somewhere else."""
    for parent, folders, names in os.walk(folder):
        yield from (path for path in (Path(parent, name) for name in (*folders, *names)) if path.is_symlink())


def copy(source: Path, target: Path) -> None:
    """Copy the bytes of a file atomically, without its times and permissions.

    Args:
        source: file to read.
        target: file to write.
    """
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def check_readable(root: Path) -> None:
    """Make sure that every folder below one can be listed, since what lies in others would be left out in silence.

    Args:
        root: a folder; anything else is left to whoever reads it.

    Raises:
        InputError: naming the first that cannot.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: expected a folder that can be read, got none ({error.strerror}); what lies in it would "
            f"be left out in silence. Check its permissions, or move it out of {root}."
        ) from error

    if root.is_dir():
        for _ in os.walk(root, onerror=refuse):
            pass


def checked_copy(source: Path, target: Path, digest: str) -> str:
    """Copy a file and read the copy again.

    Args:
        source: file to read.
        target: file to write, under its temporary name.
        digest: SHA-256 that the copy must have; any if empty.

    Returns:
        SHA-256 of the copy as it lies on the disk.

    Raises:
        VerificationError: when it is another one.
    """
    shutil.copyfile(source, target)
    found = sha256(target)
    if digest and found != digest:
        raise VerificationError(f"{source.name}: expected a copy of the same bytes, got others. Check the disk.")
    return found


def check_apart(
    other: Path,
    folder: Path,
    *,
    what: str = "input",
    kind: str = "folder",
    step: str = "Pick another output folder",
    why: str = "nothing in the input is ever changed",
) -> None:
    """Make sure that a folder to write to is no file, and that neither it nor another one lies in the other.

    Args:
        other: what is read, or goes elsewhere.
        folder: the folder to write.
        what: the other one is, for people.
        kind: of the folder, for people.
        step: what to do otherwise.
        why: they must be apart.

    Raises:
        InputError: if it is otherwise.
    """
    one, two = other.resolve(), folder.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise InputError(
            f"{folder}: expected a {kind} apart from the {what} {other}, got one inside the other. {step}; {why}."
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, got a file. {step}.")
