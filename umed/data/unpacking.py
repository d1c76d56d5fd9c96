# SPDX-License-Identifier: Apache-2.0
"""Unpacks foreign gzip, zip, tar, bzip2 and xz files in memory, within bounds; whatever is wrong is said, never raised.

Formats: gzip RFC 1952; zip, tar, bzip2 and xz as the standard library reads them.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20
_CHUNK = 1 << 16
"""What is handed to zlib at once; it makes at most 1032 times as much of it."""
GZIP = b"\x1f\x8b"
FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
}
"""Archives that are recognised and not read."""


@dataclass
class Allowance:
    """What may still be unpacked of one file.

    Args:
        data: bytes, of everything together.
        members: of all archives together.
    """

    data: int = 256 * MIB
    members: int = 20_000


@dataclass(frozen=True)
class Gunzipped:
    """What a gzip file holds.

    Args:
        content: what was packed, of all members together; as far as the bound went.
        texts: what its headers say: ``("gzip.name", ...)``, ``"gzip.comment"``, ``"gzip.extra"``.
        trailing: bytes after the last member, without padding by zeros.
        problem: why it is not whole; empty where it is.
    """

    content: bytes
    texts: tuple[tuple[str, str], ...]
    trailing: bytes = b""
    problem: str = ""


def gunzip(data: bytes, most: int) -> Gunzipped:
    """Unpack a gzip file of any number of members.

    Args:
        data: the file.
        most: bytes to unpack at most.
    """
    out, texts, place, problem = bytearray(), list[tuple[str, str]](), 0, ""
    while data[place : place + 2] == GZIP and not problem:
        head = _gzip_header(data, place)
        if head is None:
            problem = "a gzip header that is cut short"
            break
        texts += [pair for pair in head if pair not in texts]
        unpacker = zlib.decompressobj(31)
        try:
            while not unpacker.eof and place < len(data):
                out += unpacker.decompress(data[place : place + _CHUNK])
                place = min(place + _CHUNK, len(data))
                if len(out) > most:
                    return Gunzipped(bytes(out[:most]), tuple(texts), b"", f"more than {most} bytes when unpacked")
        except zlib.error as error:
            problem = f"a damaged gzip stream ({error})"
        if not problem and not unpacker.eof:
            problem = "a gzip stream that is cut short"
        place -= len(unpacker.unused_data)
    return Gunzipped(bytes(out), tuple(texts), b"" if problem else data[place:].strip(b"\0"), problem)


def _gzip_header(data: bytes, place: int) -> list[tuple[str, str]] | None:
    """Texts in the header of a gzip member; ``None`` where it is cut short."""
    if len(data) < place + 10:
        return None
    flags, at, found = data[place + 3], place + 10, []
    if flags & 4:
        if len(data) < at + 2:
            return None
        (size,) = struct.unpack_from("<H", data, at)
        extra = data[at + 2 : at + 2 + size]
        if extra[:2] != b"BC":  # the sizes of blocks that bgzip writes
            found.append(("gzip.extra", extra.decode("latin-1")))
        at += 2 + size
    for flag, name in ((8, "gzip.name"), (16, "gzip.comment")):
        if flags & flag:
            end = data.find(b"\0", at)
            if end < 0:
                return None
            found.append((name, data[at:end].decode("latin-1")))
            at = end + 1
    return found


def archive_kind(data: bytes) -> str:
    """What kind of archive begins like this; empty for none. A gzip is told by :data:`GZIP`."""
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if data[257:262] == b"ustar":
        return "tar"
    if data[:3] == b"BZh" and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if data[:6] == b"\xfd7zXZ\0":
        return "xz"
    return next((name for magic, name in FOREIGN.items() if data.startswith(magic)), "")


def members(data: bytes, allowance: Allowance) -> Iterator[tuple[str, bytes, str]]:
    """What an archive holds.

    Args:
        data: the archive.
        allowance: what may be unpacked, lowered by what is.

    Yields:
        Name and content of each member, and why it could not be unpacked (empty where it could).
    """
    kind = archive_kind(data)
    if kind in FOREIGN.values():
        yield "", b"", f"a {kind} archive, which cannot be looked into"
        return
    readers: dict[str, Callable[[bytes, Allowance], Iterator[tuple[str, bytes, str]]]] = {
        "zip": _zip,
        "tar": _tar,
        "bzip2": lambda packed, left: _stream(bz2.BZ2Decompressor(), packed, left),
        "xz": lambda packed, left: _stream(lzma.LZMADecompressor(memlimit=256 * MIB), packed, left),
    }
    if kind not in readers:
        return
    try:
        yield from readers[kind](data, allowance)
    except Exception as error:  # the standard library raises many kinds on damaged bytes
        yield "", b"", f"a broken {kind} archive ({type(error).__name__})"


def _zip(data: bytes, allowance: Allowance) -> Iterator[tuple[str, bytes, str]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                yield member.filename, b"", "an encrypted member of a zip, which cannot be looked into"
                continue
            yield _take(member.filename, lambda most, one=member: archive.open(one).read(most), allowance)  # type: ignore[misc]
            if allowance.members <= 0:
                return


def _tar(data: bytes, allowance: Allowance) -> Iterator[tuple[str, bytes, str]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            if not member.isfile():
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield _take(member.name, file.read, allowance)
            if allowance.members <= 0:
                return


def _stream(unpacker: Any, data: bytes, allowance: Allowance) -> Iterator[tuple[str, bytes, str]]:
    yield _take("", lambda most: unpacker.decompress(data, max_length=most), allowance)


def _take(name: str, read: Callable[[int], bytes], allowance: Allowance) -> tuple[str, bytes, str]:
    """Read one member, no further than is allowed."""
    allowance.members -= 1
    if allowance.members <= 0:
        return name, b"", "an archive of too many members"
    try:
        content = read(allowance.data + 1)
    except Exception as error:
        return name, b"", f"a member that cannot be unpacked ({type(error).__name__})"
    if len(content) > allowance.data:
        allowance.data = 0
        return name, b"", "more than may be unpacked of one file"
    allowance.data -= len(content)
    return name, content, ""
