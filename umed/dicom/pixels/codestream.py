# SPDX-License-Identifier: Apache-2.0
"""Size of a compressed picture from its own header, so that one that lies about it never reaches a decoder.

A decoder allocates what the compressed stream says, not what Rows and Columns say.
"""

from __future__ import annotations

import struct

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Start-of-frame markers of JPEG (ITU-T T.81 B.1.1.3) and JPEG-LS (T.87)."""
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))


def size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components that the bytes of a JPEG, JPEG-LS or JPEG 2000 frame announce.

    ``None`` if it is of no such kind or its header is broken.

    >>> size(bytes.fromhex("ffd8ffc0001108000400020301110002110003110000"))
    (4, 2, 3)
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    start = b"\xff\x4f\xff\x51"
    boxed = frame[4:8] == b"jP  "  # a JP2 file, which DICOM does not allow but some write
    at = frame.find(start, 0, 1 << 16) if boxed else (0 if frame.startswith(start) else -1)
    if at < 0 or len(frame) < at + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)  # SIZ marker, ITU-T T.800 A.5.1
    (components,) = struct.unpack_from(">H", frame, at + 40)
    return max(bottom - top, 0), max(right - left, 0), components


def _jpeg(frame: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _JPEG_SIZES:
            if at + 10 > len(frame):
                return None
            rows, columns, components = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, components
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None
