# SPDX-License-Identifier: Apache-2.0
"""Zip files as folders of DICOM: members are listed within limits, and never unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from umed.core.errors import InputError
from umed.dicom.members import ZipMember
from umed.dicom.objects import Limits

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_SMALL = 1 << 20
"""A member that unpacks to less than this is never called a bomb."""


def is_zip(path: Path, *, named: bool = True) -> bool:
    """Whether a file is a zip, by its first bytes.

    With ``named`` also by the ending ``.zip``, as office documents are zips too.
    """
    if named and path.suffix.lower() != ".zip":
        return False
    with open(path, "rb") as file:
        return file.read(4) in MAGIC


def members(path: Path, name: str, limits: Limits) -> tuple[list[tuple[ZipMember, str]], list[tuple[str, str]]]:
    """List the members of a zip by its directory; none is unpacked.

    Args:
        path: the zip.
        name: its name for people.
        limits: bounds on members, sizes and ratios; a member never becomes larger than its entry says.

    Returns:
        Members with the names that people see (``name!member``), and names with reasons of what was refused.

    Raises:
        InputError: if the zip as a whole is broken or exceeds a limit. Without its name.
    """
    found: list[tuple[ZipMember, str]] = []
    refused: list[tuple[str, str]] = []
    total = 0
    whole = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: (entry.filename, entry.header_offset))
            if len(entries) > limits.zip_members:
                raise InputError(f"expected a zip of at most {limits.zip_members} files, got {len(entries)}")
            for entry in entries:
                if entry.is_dir():
                    continue
                shown = f"{name}!{printable(entry.filename)}"
                try:
                    _check(entry, limits)
                    total += entry.file_size
                    if total > limits.zip_bytes:
                        raise InputError(f"expected a zip that unpacks to at most {limits.zip_bytes} bytes, got more")
                    if total > _SMALL and total > limits.zip_ratio * whole:  # members that share their bytes
                        raise InputError(f"expected a zip that unpacks to at most {limits.zip_ratio} times its size")
                    if shown.lower().endswith(".zip") and _begins_like_zip(archive, entry):
                        raise InputError("is a zip inside a zip; unpack it and give the folder")
                except Exception as e:  # zipfile raises many kinds on damaged bytes
                    reason = str(e) if isinstance(e, InputError) else f"cannot be unpacked ({printable(str(e))})"
                    refused.append((shown, reason))
                    continue
                member = ZipMember(path, printable(entry.filename), entry.header_offset, entry.file_size)
                found.append((member, shown))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"expected a zip, got a broken one ({printable(str(error))}). Pack it again.") from error
    return found, refused


def _check(entry: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse a member by what its entry says."""
    # zipfile has cut the name at a NUL and turned the separators of this system; the raw name shows tricks
    raw = entry.orig_filename
    parts = PurePosixPath(raw.replace("\\", "/")).parts
    if raw.startswith(("/", "\\")) or ".." in parts or "\0" in raw or (parts and parts[0].endswith(":")):
        raise InputError("has a name that leads out of its folder")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        raise InputError("is hidden")
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise InputError("is a link or no ordinary file")
    if entry.flag_bits & 0x1:
        raise InputError("is encrypted; unpack the zip with its password and give the folder")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise InputError("is packed by something else than deflate; unpack the zip and give the folder")
    if entry.file_size > _SMALL and entry.file_size > limits.zip_ratio * max(entry.compress_size, 1):
        raise InputError(f"unpacks to more than {limits.zip_ratio} times its size")
    single = limits.header_bytes + limits.pixels_bytes
    if entry.file_size > single:
        raise InputError(f"expected a file of at most {single} bytes, got a larger one")


def _begins_like_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    with archive.open(entry) as file:
        return file.read(4) in MAGIC


def printable(text: str, most: int = 300) -> str:
    r"""A name that was found, safe to print on one line: no control characters, no lone surrogates, not endless.

    >>> printable("a\nb")
    'a?b'
    """
    clean = "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode("utf-8"))
    return clean if len(clean) <= most else clean[: most - 3] + "..."
