# SPDX-License-Identifier: Apache-2.0
"""Finds DICOM files in any mess of folders and zips, and reads one so that nothing but an ``InputError`` can come out.

What a file holds is checked by a walk over its lengths (:mod:`umed.dicom.read.stream`) before pydicom builds objects
from it, so that memory and nesting stay within :class:`umed.dicom.objects.Limits`.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from umed.core.errors import InputError, UmedError
from umed.core.time_limit import limited
from umed.dicom.held import texts_at_rest, value_of
from umed.dicom.members import FileRef, open_file
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.read import archives, stream
from umed.dicom.read.archives import printable
from umed.dicom.read.plain import split as plain_split

_INFLATE_FREE = 256 << 20
_INFLATE_RATIO = 64
"""A deflated data set may grow to this many times its size, or to the free amount; zlib alone allows 1030 times."""
_WHOLE, _SMALL = 4 << 20, 64 << 10
"""Bytes of files that are read at once: all of them, or only their header."""
_QUIET = threading.RLock()


def find(root: Path, limits: Limits = LIMITS) -> tuple[list[tuple[FileRef, str]], list[tuple[str, str]]]:
    """All files that may be DICOM below a folder, or in a zip, of which nothing is unpacked.

    Args:
        root: a folder, a zip, or one file.
        limits: bounds.

    Returns:
        Files and their names for people (relative, posix), sorted by name; and names with reasons of what is left out:
        hidden files, links that lead out of the folder or to folders, special files, members of zips.

    Raises:
        InputError: if ``root`` does not exist or holds more files than the limit.
    """
    if not root.exists():
        raise InputError(f"{root}: expected a folder of DICOM files or a zip, got nothing. Check the path.")
    found: list[tuple[FileRef, str]] = []
    refused: list[tuple[str, str]] = []
    if root.is_file():
        candidates = [(root, printable(root.name))]
    else:
        candidates = _walk(root, refused, limits)
    for path, name in candidates:
        try:
            if not archives.is_zip(path, named=path != root):
                found.append((path, name))
                continue
            members, others = archives.members(path, name, limits)
            found.extend(members)
            refused.extend(others)
        except (InputError, OSError) as error:
            refused.append((name, str(error) if isinstance(error, InputError) else _cannot(error)))
    return sorted(found, key=lambda entry: entry[1]), sorted(refused)


def _walk(root: Path, refused: list[tuple[str, str]], limits: Limits) -> list[tuple[Path, str]]:
    """Ordinary files below a folder, without following links to folders."""
    real_root = root.resolve()
    files: list[tuple[Path, str]] = []
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            refused.append((printable(folder.relative_to(root).as_posix()), _cannot(error)))
            continue
        for entry in listed:
            path = folder / entry.name
            name = printable(path.relative_to(root).as_posix())
            try:
                reason = _left_out(entry, path, real_root)
            except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
                reason = _cannot(error)
            if reason:
                refused.append((name, reason))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                files.append((path, name))
        if len(files) + len(refused) > limits.files:
            raise InputError(f"{root}: expected at most {limits.files} files, got more. Give a smaller folder.")
    return sorted(files, key=lambda entry: entry[1])


def _left_out(entry: os.DirEntry[str], path: Path, real_root: Path) -> str:
    """Why an entry of a folder is not read, ``""`` if it is."""
    if entry.name.startswith(".") or entry.name == "__MACOSX":
        return "is hidden"
    if entry.is_symlink():
        target = path.resolve(strict=True)
        if real_root not in (target, *target.parents):
            return "is a link that leads out of the folder"
        if target.is_dir():
            return "is a link to a folder of the same input"
    mode = entry.stat().st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        return "is no ordinary file"
    return "is empty" if stat.S_ISREG(mode) and entry.stat().st_size == 0 else ""


def _cannot(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read ({printable(reason)})"


@contextmanager
def guard(name: object) -> Iterator[None]:
    """Whatever goes wrong inside becomes an ``InputError`` in one line, and pydicom's warnings are silent.

    pydicom converts values when they are first looked at, so a broken one may raise long after the file was read.
    Wrap what touches values of a foreign file.

    Args:
        name: what the error is about, usually the path.

    Raises:
        InputError: for any exception that is not umed's own; those pass.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UmedError:
            raise
        except (Exception, SystemError) as error:
            raise InputError(f"{name}: expected a sound DICOM file, got {_brief(error)}") from error


def read(path: FileRef, limits: Limits = LIMITS, *, pixels: bool) -> FileDataset:
    """Read one DICOM file.

    Files without a preamble or meta header are read when they begin like a data set. Blank SOPClassUID and
    SOPInstanceUID are filled from the file meta information, a missing TransferSyntaxUID from what is there.

    Args:
        path: the file, or the member of a zip.
        limits: bounds, checked before anything is built.
        pixels: whether to read pixel data, too, and what follows them.

    Returns:
        The data set; values are converted when they are looked at, see :func:`guard`.

    Raises:
        InputError: if it cannot be read, is not DICOM, is broken, or exceeds a limit; with the path.
    """
    try:
        file, size = open_file(path)
        with file, limited(limits.seconds):
            return _read(file, size, limits, pixels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: {_cannot(error)}") from error


def read_open(file: BinaryIO, size: int, limits: Limits = LIMITS, *, pixels: bool) -> FileDataset:
    """Read a DICOM file that is open, or in memory, of so many bytes; as :func:`read`, without a path in errors."""
    return _read(file, size, limits, pixels)


def _read(file: BinaryIO, size: int, limits: Limits, pixels: bool) -> FileDataset:
    most = limits.header_bytes + limits.pixels_bytes
    if size > most:
        raise InputError(f"expected a file of at most {most} bytes, got {size}")
    if size <= (_WHOLE if pixels else _SMALL):  # thousands of small reads are faster in memory
        file.seek(0)
        file = io.BytesIO(file.read(size))
    try:
        layout = stream.survey(file, size, limits)
    except RecursionError as error:
        raise InputError("expected sequences nested less deep") from error
    source: BinaryIO = file
    if layout.syntax == stream.DEFLATED:
        source, size = _inflate(file, layout.start, min(most, max(_INFLATE_FREE, _INFLATE_RATIO * size)))
        inner = stream.survey_set(source, size, layout.start, limits)
        layout = replace(layout, pixels=inner.pixels)
    end = size if pixels or layout.pixels is None else layout.pixels
    data = b""
    if layout.bare or not pixels or size <= _WHOLE:
        source.seek(0)
        data = (b"\0" * stream.PREAMBLE + b"DICM" if layout.bare else b"") + source.read(end)
        source = io.BytesIO(data)
    plain = data and layout.syntax == stream.EXPLICIT and not (layout.bare or layout.guessed)
    source.seek(0)
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            split = plain_split(data, layout.start, end) if plain else None
            dataset = pydicom.dcmread(source, force=True) if split is None else split
            _complete(dataset, layout.syntax)
        except Exception as error:
            raise InputError(f"expected a sound DICOM file, got {_brief(error)}") from error
    return dataset


def _brief(error: BaseException) -> str:
    """Kind and first line of a foreign error, without the trace that pydicom puts into it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {printable(lines[0], 200)}" if lines else type(error).__name__


def _inflate(file: BinaryIO, start: int, most: int) -> tuple[BinaryIO, int]:
    """A copy of a deflated file with the data set inflated and a meta header that says so (PS3.5 A.5)."""
    file.seek(0)
    head = file.read(start)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(file.read(), most)
    except zlib.error as error:
        raise InputError(f"expected a deflated data set, got: {error}") from error
    if inflater.unconsumed_tail:
        raise InputError(f"expected a data set that inflates to at most {most} bytes, got more")
    if not inflater.eof:
        raise InputError("the deflated data set is cut off")
    old, new = stream.DEFLATED.encode(), stream.EXPLICIT.encode()
    place = head.rfind(old)
    head = head[:place] + new.ljust(len(old), b"\0") + head[place + len(old) :]
    return io.BytesIO(head + body), len(head) + len(body)


def _complete(dataset: FileDataset, syntax: str) -> None:
    """Fill what the meta header and the data set can tell each other."""
    meta = dataset.file_meta
    if value_of(meta, "TransferSyntaxUID") != syntax:
        meta.TransferSyntaxUID = UID(syntax)
    for keyword, source in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if texts_at_rest(dataset, keyword) is None and not dataset.get(keyword) and meta.get(source):
            setattr(dataset, keyword, UID(str(meta.get(source))))
