# SPDX-License-Identifier: Apache-2.0
"""The parts of PNG that Pillow lacks: 16-bit colour, and other chunks carried over byte for byte.

Format: W3C PNG specification, third edition, https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by colour type: grey, RGB, palette, grey + alpha, RGBA."""
COLOUR_TYPE = {1: 0, 3: 2, 2: 4, 4: 6}
"""Colour type by samples a pixel."""
KNOWN = (
    *(b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"mDCv", b"cLLi", b"pHYs", b"bKGD"),
    *(b"hIST", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"PLTE"),
)
"""Chunks that say how to show the pixels, and hold true of other pixels, too."""
TEXT = (b"tEXt", b"zTXt", b"iTXt")
LEVEL = 6


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks of a PNG file as ``(type, body)``.

    Args:
        data: the whole file.

    Raises:
        ValueError: if it is not PNG, is cut short, or a checksum is wrong.
    """
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    found: list[tuple[bytes, bytes]] = []
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        check = data[place + 8 + size : place + 12 + size]
        if len(check) < 4 or zlib.crc32(kind + body) != int.from_bytes(check, "big"):
            raise ValueError(f"chunk {kind!r} is damaged or cut short")
        found.append((kind, body))
        place += 12 + size
        if kind == b"IEND":
            return found
    raise ValueError("no IEND chunk")


def decode(parts: list[tuple[bytes, bytes]]) -> NDArray[Any]:
    """Decode the pixels of a non-interlaced 8- or 16-bit PNG.

    Args:
        parts: from :func:`chunks`.

    Returns:
        ``(H, W, samples)``, uint8 or big-endian uint16.

    Raises:
        ValueError: if the data are interlaced or damaged.
    """
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", parts[0][1])
    if interlace or depth not in (8, 16):
        raise ValueError("interlaced or below 8 bits")
    pixel = SAMPLES[colour] * depth // 8
    size = height * (1 + width * pixel)
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"), size + 1)  # no bombs
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes of pixels instead of {size}")
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * pixel)
    pixels = _unfilter(lines[:, 0], lines[:, 1:].reshape(height, width, pixel))
    dtype = np.dtype(np.uint8) if depth == 8 else np.dtype(">u2")
    return np.ascontiguousarray(pixels).view(dtype).reshape(height, width, SAMPLES[colour])


def encode(pixels: NDArray[Any], kept: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """Encode pixels as PNG; the same input gives the same bytes.

    Args:
        pixels: ``(H, W)`` or ``(H, W, samples)``, uint8 or uint16.
        kept: further chunks in their order; ``(b"IDAT", b"")`` among them marks the place of the pixels, which are last
            otherwise.

    Returns:
        The file.
    """
    grid = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, samples = grid.shape
    depth = 8 * grid.dtype.itemsize
    rows = np.ascontiguousarray(grid, dtype=np.uint8 if depth == 8 else ">u2").view(np.uint8).reshape(height, width, -1)
    around = np.zeros((height + 1, width + 1, rows.shape[2]), np.uint8)
    around[1:, 1:] = rows
    lines = np.empty((height, 1 + rows[0].size), np.uint8)
    lines[:, 0] = 4
    lines[:, 1:] = (rows - _paeth(around[1:, :-1], around[:-1, 1:], around[:-1, :-1])).reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPE[samples], 0, 0, 0)
    packed = (b"IDAT", zlib.compress(lines.tobytes(), LEVEL))
    around_it = [packed if kind == b"IDAT" else (kind, body) for kind, body in kept]
    parts = [(b"IHDR", head), *around_it, *([] if packed in around_it else [packed]), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def _paeth(left: NDArray[Any], up: NDArray[Any], corner: NDArray[Any]) -> NDArray[np.uint8]:
    """Paeth's predictor, section 9.4 of the specification."""
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    near_a, near_b, near_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    picked = np.where((near_a <= near_b) & (near_a <= near_c), a, np.where(near_b <= near_c, b, c))
    return picked.astype(np.uint8)


def _unfilter(kinds: NDArray[np.uint8], filtered: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the five line filters along anti-diagonals, where every pixel's neighbours are already known.

    Args:
        kinds: ``(H,)`` filter type of each line.
        filtered: ``(H, W, bytes a pixel)``.
    """
    if kinds.max(initial=0) > 4:
        raise ValueError(f"unknown filter type {kinds.max()}")
    height, width, pixel = filtered.shape
    skewed = np.zeros((height + width + 1, height + 1, pixel), np.uint8)  # one row and column of zeros as the border
    for line in range(height):
        skewed[line + 2 : line + 2 + width, line + 1] = filtered[line]
    kind = kinds[:, None]
    for step in range(height + width - 1):
        low, high = max(0, step - width + 1), min(height, step + 1)
        here = slice(low + 1, high + 1)
        above = slice(low, high)
        left, up, corner = skewed[step + 1, here], skewed[step + 1, above], skewed[step, above]
        part = kind[low:high]
        mean = ((left.astype(np.uint16) + up) >> 1).astype(np.uint8)
        guess = np.select(
            [part == 1, part == 2, part == 3, part == 4], [left, up, mean, _paeth(left, up, corner)], np.uint8(0)
        )
        skewed[step + 2, here] += guess
    pixels = np.empty_like(filtered)
    for line in range(height):
        pixels[line] = skewed[line + 2 : line + 2 + width, line + 1]
    return pixels
