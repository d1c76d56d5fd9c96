# SPDX-License-Identifier: Apache-2.0
"""Text and hidden bytes of NIfTI-1 and NIfTI-2 files; see :mod:`umed.data.side_data`.

Formats: https://nifti.nimh.nih.gov/nifti-1 and .../nifti-2.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from umed.data.side_parts import SideData, SidePart, text_of

EXTENSIONS = {2: "a DICOM header", 4: "AFNI's history", 6: "a comment"}
_NIFTI_TEXT = {  # offset and size of the text fields
    348: {
        "data_type": (4, 10),
        "db_name": (14, 18),
        "descrip": (148, 80),
        "aux_file": (228, 24),
        "intent_name": (328, 16),
    },
    540: {"descrip": (240, 80), "aux_file": (320, 24), "intent_name": (508, 16), "unused_str": (525, 15)},
}
_BITS = {1: 1, 2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}
"""Bits of a voxel by NIfTI datatype."""


@dataclass(frozen=True)
class NiftiLayout:
    """Where the parts of a NIfTI file lie.

    Args:
        size: of the header: 348 or 540.
        order: ``"<"`` or ``">"``.
        offset: of the first voxel.
        end: of the last, as the header declares it.
    """

    size: int
    order: str
    offset: int
    end: int


def nifti_layout(data: bytes) -> NiftiLayout | None:
    """Where the parts of a single-file NIfTI image lie; ``None`` where it is none.

    Args:
        data: its beginning, 540 bytes of it at least if there are so many.
    """
    for order in "<>":
        size = struct.unpack_from(f"{order}i", data)[0] if len(data) >= 348 else 0
        if size == 348 and data[344:348] in (b"n+1\0", b"ni1\0"):
            dims = struct.unpack_from(f"{order}8h", data, 40)
            (code,) = struct.unpack_from(f"{order}h", data, 70)
            (place,) = struct.unpack_from(f"{order}f", data, 108)
        elif size == 540 and len(data) >= 540 and data[4:8] in (b"n+2\0", b"ni2\0"):
            dims = struct.unpack_from(f"{order}8q", data, 16)
            (code,) = struct.unpack_from(f"{order}h", data, 12)
            (place,) = struct.unpack_from(f"{order}q", data, 168)
        else:
            continue
        offset = int(place) if math.isfinite(place) and 0 <= place < 1 << 40 else 0
        count = math.prod(max(1, n) for n in dims[1 : 1 + min(max(dims[0], 0), 7)])
        return NiftiLayout(size, order, max(offset, size), max(offset, size) + count * _BITS.get(code, 8) // 8)
    return None


def nifti_fields(data: bytes) -> SideData:
    """Look at a NIfTI file, which :func:`nifti_layout` knows."""
    layout = nifti_layout(data)
    assert layout is not None
    texts = [
        (f"nifti.{name}", text_of(data[start : start + size]))
        for name, (start, size) in _NIFTI_TEXT[layout.size].items()
    ]
    problems = [] if layout.end <= len(data) else [f"{layout.end} bytes declared, {len(data)} there"]
    place, parts = layout.size + 4, []
    if data[layout.size : layout.size + 1] not in (b"", b"\0"):
        while place + 8 <= min(layout.offset, len(data)):
            size, code = struct.unpack_from(f"{layout.order}2i", data, place)
            if size < 8 or place + size > layout.offset:
                problems.append(f"an extension of {size} bytes")
                break
            content = data[place + 8 : place + size]
            if content.strip(b"\0 "):
                what = f"({EXTENSIONS[code]}) " if code in EXTENSIONS else ""
                texts.append(("nifti.extension", what + text_of(content)))
            place += size
    rest = data[place : layout.offset]
    if rest.strip(b"\0"):
        texts.append(("nifti.padding", text_of(rest)))
    tail = data[layout.end :]
    if tail.strip(b"\0"):
        parts.append(SidePart("bytes after the voxels", tail))
    return SideData("NIfTI", tuple(pair for pair in texts if pair[1]), tuple(parts), tuple(problems))
