# SPDX-License-Identifier: Apache-2.0
"""The directories of a TIFF or EXIF block, walked within bounds, and what no directory refers to.

Format: TIFF 6.0 (Adobe, 1992) with BigTIFF, and Exif 3.0 (CIPA DC-008), whose blocks are TIFF files without pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type."""
ASCII, BYTE, UNDEFINED = 2, 1, 7
WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
DATA = ((273, 279), (324, 325), (288, 289), (513, 514))
"""Offsets and byte counts: strips, tiles, free space, a JPEG thumbnail."""
SUBDIRECTORIES = {330: "sub-image", 34665: "exif", 34853: "gps", 40965: "interoperability"}
MOST_DIRECTORIES, MOST_ENTRIES = 4096, 4096
_GAP = 16
"""Fewer bytes than this between the parts are padding."""


@dataclass(frozen=True)
class Tag:
    """One entry of a directory.

    Args:
        code: of the tag.
        kind: of its values, see :data:`SIZES`.
        raw: its bytes.
        numbers: of whole-number kinds.
        place: where its bytes lie.
    """

    code: int
    kind: int
    raw: bytes
    numbers: tuple[int, ...] = ()
    place: int = 0


@dataclass(frozen=True)
class Directory:
    """One directory.

    Args:
        kind: ``"image"``, ``"sub-image"``, ``"exif"``, ``"gps"`` or ``"interoperability"``.
        tags: its entries.
        images: bytes of each strip, tile or thumbnail that it refers to.
        span: where its entries begin and end, with the offset of the next directory.
    """

    kind: str
    tags: tuple[Tag, ...]
    images: tuple[bytes, ...] = field(default=(), repr=False)
    span: tuple[int, int] = (0, 0)


@dataclass
class TiffWalk:
    """What was found.

    Args:
        directories: those of images in their order, each followed by what hangs below it.
        unreferenced: bytes that nothing refers to, from all gaps.
        problems: what is wrong with the structure.
        gaps: where the unreferenced bytes lie.
    """

    directories: list[Directory] = field(default_factory=list)
    unreferenced: bytes = b""
    problems: list[str] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)


def walk(data: bytes) -> TiffWalk:
    """Walk all directories of a TIFF.

    Args:
        data: from the byte-order mark to the end.
    """
    found, used = TiffWalk(), [(0, 8)]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        found.problems.append("no TIFF header")
        return found
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    if big and len(data) < 16:
        found.problems.append("a header that is cut short")
        return found
    used.append((0, 16 if big else 8))
    left = [("image", struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0])]
    seen: set[int] = set()
    while left:
        kind, start = left.pop(0)
        if not start:
            continue
        if start in seen or len(seen) >= MOST_DIRECTORIES:
            found.problems.append("directories that lead in a circle, or too many")
            continue
        seen.add(start)
        try:
            directory, below, after = _directory(data, order, big, kind, start, used)
        except (struct.error, ValueError, OverflowError) as error:  # OverflowError: an offset of 2**63 and more
            found.problems.append(f"a damaged directory ({error})")
            continue
        found.directories.append(directory)
        left = [*below, *([(kind, after)] if kind in ("image", "sub-image") else []), *left]
    found.gaps = _gaps(data, used)
    found.unreferenced = b"".join(data[start:stop] for start, stop in found.gaps)
    return found


def _directory(
    data: bytes, order: str, big: bool, kind: str, start: int, used: list[tuple[int, int]]
) -> tuple[Directory, list[tuple[str, int]], int]:
    """One directory, those below it, and the offset of the next."""
    head, width, room = (8, 20, 8) if big else (2, 12, 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start)
    if count > MOST_ENTRIES:
        raise ValueError(f"{count} entries")
    tags = []
    for number in range(count):
        at = start + head + number * width
        code, form, size = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", data, at)
        total, place = SIZES.get(form, 0) * size, at + width - room
        if total > room:
            (place,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, place)
            if place + total > len(data):
                raise ValueError(f"tag {code} lies beyond the end")
            used.append((place, place + total))
        raw, letter = data[place : place + total], WHOLE.get(form)
        numbers = struct.unpack(f"{order}{size}{letter}", raw) if letter and total <= 1 << 24 else ()
        tags.append(Tag(code, form, raw, numbers, place))
    end = start + head + count * width
    (after,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, end)
    used.append((start, end + room))
    by_code = {tag.code: tag for tag in tags}
    images = []
    for offsets, counts in DATA:
        if offsets in by_code and counts in by_code:
            for place, size in zip(by_code[offsets].numbers, by_code[counts].numbers, strict=False):
                used.append((place, place + size))
                images.append(data[place : place + size])
    below = [
        (name, place) for code, name in SUBDIRECTORIES.items() if code in by_code for place in by_code[code].numbers
    ]
    return Directory(kind, tuple(tags), tuple(images), (start, end + room)), below, after


def _gaps(data: bytes, used: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What lies between the parts that something refers to, where it is more than padding."""
    gaps, end = [], 0
    for start, stop in [*sorted(used), (len(data), len(data))]:
        gap = data[end:start]
        if len(gap) >= _GAP and gap.strip(b"\0"):
            gaps.append((end, start))
        end = max(end, min(stop, len(data)))
    return gaps
