# SPDX-License-Identifier: Apache-2.0
"""Size of a compressed picture from its own header, so that one that lies about it never reaches a decoder.

A decoder allocates what the compressed stream says, not what Rows and Columns say.
"""

from __future__ import annotations

import struct

from umed.core.errors import InputError

RLE = "1.2.840.10008.1.2.5"
"""Transfer syntax of run lengths (PS3.5 annex G)."""
_RLE_RATIO, _RLE_HEADER = 64, 64
"""Two bytes of a run become 128 at most; the header has 64."""
_PICTURES = "1.2.840.10008.1.2.4."
_OTHER_RATIO, _FREE = 4000, 64 << 20
"""JPEG 2000 and JPEG-LS have no bound: a frame of more than so many bytes must not be so many times as large."""
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


def check_frame(syntax: str, frame: bytes, shape: tuple[int, int, int], bits: int) -> None:
    """Hold a compressed frame against what the header of its file says, before any decoder sees it.

    Args:
        syntax: transfer syntax UID.
        frame: its bytes.
        shape: rows, columns and samples by the header.
        bits: of a sample.

    Raises:
        InputError: when it announces another size, or cannot hold as much.
    """
    needed = -(-shape[0] * shape[1] * shape[2] * bits // 8)
    if syntax == RLE:
        possible = _RLE_RATIO * max(len(frame) - _RLE_HEADER, 0)
    else:
        possible = max(_OTHER_RATIO * len(frame), _FREE)
    if needed > possible:
        raise InputError(
            f"the pixel data are broken: expected frames of {_words(shape)} as the header says, {needed} bytes, got "
            f"{len(frame)} compressed ones, which cannot hold as many"
        )
    if not syntax.startswith(_PICTURES):
        return
    announced = size(frame)
    if announced is None:
        raise InputError("the pixel data are broken (a frame begins like no compressed picture)")
    if announced != shape:
        raise InputError(
            f"expected frames of {_words(shape)} as the header says, got a stream of {_words(announced)} (rows x "
            "columns x samples); the file is damaged"
        )


def _words(shape: tuple[int, int, int]) -> str:
    return " x ".join(str(part) for part in shape)


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
