# SPDX-License-Identifier: Apache-2.0
"""Members of zips as files that are read straight from the zip into memory; nothing is ever unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from umed.core.errors import InputError
from umed.data.files import sha256


@dataclass(frozen=True)
class ZipMember:
    """One file in a zip.

    Args:
        archive: the zip.
        name: of the member, fit to be printed.
        offset: where its header lies in the zip, which tells members of the same name apart.
        size: bytes when it is unpacked, as the zip says; never more are.
    """

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}!{self.name}"

    def open(self) -> BinaryIO:
        """All of it, in memory.

        Raises:
            InputError: when it is damaged, or the zip has changed since it was listed. Without its name.
            OSError: when the zip cannot be read.
        """
        state = os.stat(self.archive)
        archive, entries = _opened(str(self.archive), os.getpid(), (state.st_ino, state.st_size, state.st_mtime_ns))
        entry = entries.get(self.offset)
        if entry is None or entry.file_size != self.size:
            raise InputError("expected the zip that was listed, got one that has changed since. Start again.")
        try:
            with archive.open(entry) as source:
                data = source.read(self.size)  # zipfile compares the checksum with the entry
        except Exception as error:  # zipfile raises many kinds on damaged bytes, OSError for an offset that is none
            raise InputError(f"cannot be unpacked ({_line(error)})") from error
        if len(data) != self.size:
            raise InputError(f"cannot be unpacked ({len(data)} bytes where the zip says {self.size})")
        return io.BytesIO(data)


FileRef = Path | ZipMember
"""Where the bytes of a DICOM file are: on disk, or in a zip."""


def open_file(place: FileRef) -> tuple[BinaryIO, int]:
    """Open a file or a member of a zip for reading.

    Args:
        place: where it is.

    Returns:
        A binary file that can be sought in, to be closed, and its size in bytes.

    Raises:
        InputError: as :meth:`ZipMember.open`.
        OSError: when it cannot be read.
    """
    if isinstance(place, ZipMember):
        return place.open(), place.size
    file = open(place, "rb")
    return file, os.fstat(file.fileno()).st_size


def digest_of(place: FileRef) -> str:
    """SHA-256 of a file or a member of a zip, hexadecimal; raises as :func:`open_file`."""
    if isinstance(place, ZipMember):
        with place.open() as file:
            return hashlib.sha256(file.read()).hexdigest()
    return sha256(place)


@lru_cache(maxsize=4)
def _opened(
    archive: str, process: int, state: tuple[int, int, int]
) -> tuple[zipfile.ZipFile, dict[int, zipfile.ZipInfo]]:
    """A zip that stays open, as listing one of many members takes long; a forked process opens its own."""
    try:
        opened = zipfile.ZipFile(archive)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"expected a zip, got a broken one ({_line(error)}). Pack it again.") from error
    return opened, {entry.header_offset: entry for entry in opened.infolist()}


def _line(error: BaseException) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(error).encode("utf-8", "replace").decode("utf-8"))
    return text[:300] or type(error).__name__
