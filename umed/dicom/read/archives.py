# SPDX-License-Identifier: Apache-2.0
"""Zip files as folders of DICOM: members are unpacked one by one under names of our own, within limits."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from umed.core.errors import InputError
from umed.dicom.objects import Limits

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK = 1 << 20
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


def unpack(path: Path, name: str, work: Path, limits: Limits) -> tuple[list[tuple[Path, str]], list[tuple[str, str]]]:
    """Unpack the members of a zip.

    Args:
        path: the zip.
        name: its name for people.
        work: folder for the members; they are called ``000000.dcm`` and so on, never by their own names.
        limits: bounds on members, sizes and ratios; checked against what is really unpacked, not what is declared.

    Returns:
        Files with the names that people see (``name!member``), and names with reasons of what was refused.

    Raises:
        InputError: if the zip as a whole is broken or exceeds a limit. Without its name.
    """
    found: list[tuple[Path, str]] = []
    refused: list[tuple[str, str]] = []
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: (member.filename, member.header_offset))
            if len(members) > limits.zip_members:
                raise InputError(f"expected a zip of at most {limits.zip_members} files, got {len(members)}")
            work.mkdir(parents=True, exist_ok=True)
            for number, member in enumerate(members):
                if member.is_dir():
                    continue
                shown = f"{name}!{printable(member.filename)}"
                target = work / f"{number:06d}.dcm"
                try:
                    _check(member, limits)
                    total += _extract(archive, member, target, limits, limits.zip_bytes - total)
                    if is_zip(target, named=False) and shown.lower().endswith(".zip"):
                        raise InputError("is a zip inside a zip; unpack it and give the folder")
                except Exception as e:  # zipfile raises many kinds on damaged bytes
                    target.unlink(missing_ok=True)
                    reason = str(e) if isinstance(e, InputError) else f"cannot be unpacked ({printable(str(e))})"
                    refused.append((shown, reason))
                    continue
                found.append((target, shown))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"expected a zip, got a broken one ({printable(str(error))}). Pack it again.") from error
    return found, refused


def _check(member: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse a member by what its entry says."""
    # zipfile has cut the name at a NUL and turned the separators of this system; the raw name shows tricks
    raw = member.orig_filename
    parts = PurePosixPath(raw.replace("\\", "/")).parts
    if raw.startswith(("/", "\\")) or ".." in parts or "\0" in raw or (parts and parts[0].endswith(":")):
        raise InputError("has a name that leads out of its folder")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        raise InputError("is hidden")
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise InputError("is a link or no ordinary file")
    if member.flag_bits & 0x1:
        raise InputError("is encrypted; unpack the zip with its password and give the folder")
    if member.file_size > _SMALL and member.file_size > limits.zip_ratio * max(member.compress_size, 1):
        raise InputError(f"unpacks to more than {limits.zip_ratio} times its size")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limits: Limits, left: int) -> int:
    """Unpack one member; returns its size."""
    single = limits.header_bytes + limits.pixels_bytes
    size = 0
    with archive.open(member) as source, open(target, "wb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > left:
                raise InputError(f"expected a zip that unpacks to at most {limits.zip_bytes} bytes, got more")
            if size > single:
                raise InputError(f"expected a file of at most {single} bytes, got a larger one")
            file.write(block)
    return size


def printable(text: str, most: int = 300) -> str:
    r"""A name that was found, safe to print on one line: no control characters, no lone surrogates, not endless.

    >>> printable("a\nb")
    'a?b'
    """
    clean = "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode("utf-8"))
    return clean if len(clean) <= most else clean[: most - 3] + "..."
