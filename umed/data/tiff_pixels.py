# SPDX-License-Identifier: Apache-2.0
"""Strips and tiles of a TIFF: pixels cut up and packed as the source's were, and unpacked where tifffile cannot.

Formats: TIFF 6.0 (Adobe, 1992) sections 8, 9, 13, 14 and 15; predictor 3 from Adobe Photoshop TIFF Technical Note 3.
LZW and PackBits are libtiff's, through Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umed.data import tiff_tags

NONE, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS = 1, 5, 8, 32946, 32773
LOSSLESS = (NONE, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS)
"""Compressions that are read and written."""
_PILLOW = {LZW: "tiff_lzw", PACK_BITS: "packbits"}
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
LEVEL = 6


@dataclass(frozen=True)
class TiffLayout:
    """How the pixels of a page lie in its file.

    Args:
        order: ``"<"`` or ``">"``, of the whole file.
        big: whether it is a BigTIFF.
        shape: height, width, samples a pixel.
        dtype: of a sample, native order.
        part: height and width of a tile, or of a strip, which is as wide as the page.
        tiled: whether the parts are tiles, which are filled up to their size.
        planar: whether each sample has planes of its own.
        scheme: compression, one of :data:`LOSSLESS`.
        predictor: 1 none, 2 horizontal differences, 3 of floats.
        reversed_bits: whether the lowest bit of a byte comes first.
    """

    order: Literal["<", ">"]
    big: bool
    shape: tuple[int, int, int]
    dtype: str
    part: tuple[int, int]
    tiled: bool
    planar: bool
    scheme: int
    predictor: int
    reversed_bits: bool = False

    @property
    def windows(self) -> Iterator[tuple[slice, slice, slice]]:
        """Rows, columns and samples of each part, in the order of the file; tiles may reach beyond the page."""
        height, width, samples = self.shape
        down, across = self.part
        for plane in [slice(i, i + 1) for i in range(samples)] if self.planar else [slice(0, samples)]:
            for y in range(0, height, down):
                for x in range(0, width, across):
                    stop = y + down if self.tiled else min(y + down, height)
                    yield slice(y, stop), slice(x, x + across), plane


def pack(layout: TiffLayout, pixels: NDArray[Any]) -> list[bytes]:
    """Cut pixels into strips or tiles and pack them; the same pixels give the same bytes.

    Args:
        layout: of the page.
        pixels: of ``layout.shape``, its type.

    Returns:
        The packed parts in the order of the file.
    """
    return [_pack(layout, _cut(pixels, window)) for window in layout.windows]


def unpack(layout: TiffLayout, parts: list[bytes]) -> NDArray[Any]:
    """Decode what :func:`pack` makes, and what other programs make in the same layout.

    Args:
        layout: of the page.
        parts: packed, in the order of the file.

    Returns:
        Pixels of ``layout.shape``.

    Raises:
        ValueError: if a part is missing, cut short or damaged.
    """
    windows = list(layout.windows)
    if len(windows) != len(parts):
        raise ValueError(f"{len(parts)} strips or tiles where {len(windows)} are needed")
    pixels = np.zeros(layout.shape, layout.dtype)
    for (rows, columns, samples), part in zip(windows, parts, strict=True):
        shape = rows.stop - rows.start, columns.stop - columns.start, samples.stop - samples.start
        if part:  # else it is left out, which stands for zeros
            one = _unpack(layout, part, shape)
            inside = pixels[rows, columns, samples]
            inside[...] = one[: inside.shape[0], : inside.shape[1]]
    return pixels


def _cut(pixels: NDArray[Any], window: tuple[slice, slice, slice]) -> NDArray[Any]:
    """One part, filled up with zeros."""
    inside = pixels[window]
    shape = tuple(one.stop - one.start for one in window)
    if inside.shape == shape:
        return np.ascontiguousarray(inside)
    whole = np.zeros(shape, pixels.dtype)
    whole[tuple(slice(0, n) for n in inside.shape)] = inside
    return whole


def _whole(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Unsigned integers of the same size: differences of all types are taken modulo their range."""
    return np.dtype(f"u{dtype.itemsize}")


def _pack(layout: TiffLayout, part: NDArray[Any]) -> bytes:
    values = part
    stored = np.dtype(layout.dtype).newbyteorder(layout.order)
    if layout.predictor == 2:
        plain = part.view(_whole(part.dtype))
        values = plain.copy()
        values[:, 1:] = plain[:, 1:] - plain[:, :-1]
        stored = _whole(part.dtype).newbyteorder(layout.order)
    if layout.predictor == 3:
        planes = _planes(part)
        differences = planes.copy()
        differences[:, part.shape[2] :] = planes[:, part.shape[2] :] - planes[:, : -part.shape[2]]
        raw = differences.tobytes()
    else:
        raw = values.astype(stored).tobytes()
    rows = part.shape[0]
    if layout.scheme in (DEFLATE, OLD_DEFLATE):
        packed = zlib.compress(raw, LEVEL)
    else:
        packed = raw if layout.scheme == NONE else _pillow_pack(layout.scheme, raw, rows)
    return packed.translate(_REVERSED) if layout.reversed_bits else packed


def _unpack(layout: TiffLayout, packed: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
    dtype = np.dtype(layout.dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    packed = packed.translate(_REVERSED) if layout.reversed_bits else packed
    if layout.scheme in (DEFLATE, OLD_DEFLATE):
        raw = zlib.decompressobj().decompress(packed, size)  # no bombs
    else:
        raw = packed if layout.scheme == NONE else _pillow_unpack(layout.scheme, packed, shape[0], size // shape[0])
    if len(raw) < size:
        raise ValueError(f"{len(raw)} bytes in a strip or tile of {size}")
    raw = raw[:size]
    if layout.predictor == 3:
        lines = np.frombuffer(raw, np.uint8).reshape(shape[0], -1, shape[2])
        planes = np.cumsum(lines, axis=1, dtype=np.uint8).reshape(shape[0], dtype.itemsize, -1)
        big = np.ascontiguousarray(np.moveaxis(planes, 1, 2)).view(dtype.newbyteorder(">"))
        floats: NDArray[Any] = big.reshape(shape)
        return floats.astype(dtype)
    if layout.predictor == 2:
        whole = _whole(dtype)
        values = np.frombuffer(raw, whole.newbyteorder(layout.order)).reshape(shape).astype(whole)
        summed: NDArray[Any] = np.cumsum(values, axis=1, dtype=whole)
        return summed.view(dtype)
    return np.frombuffer(raw, dtype.newbyteorder(layout.order)).reshape(shape).astype(dtype)


def _planes(part: NDArray[Any]) -> NDArray[np.uint8]:
    """Bytes of floats, those of the same weight together, the heaviest first: ``(rows, bytes of a row)``."""
    size = part.dtype.itemsize
    raw = part.astype(part.dtype.newbyteorder(">")).view(np.uint8).reshape(part.shape[0], -1, size)
    return np.ascontiguousarray(np.moveaxis(raw, 2, 1)).reshape(part.shape[0], -1)


def _pillow_pack(scheme: int, raw: bytes, rows: int) -> bytes:
    """Packed by libtiff, as one strip of grey bytes."""
    stream = io.BytesIO()
    picture = Image.frombytes("L", (len(raw) // rows, rows), raw)
    picture.save(stream, "TIFF", compression=_PILLOW[scheme], strip_size=len(raw) + 1)
    [strip] = tiff_tags.walk(stream.getvalue()).directories[0].images
    return strip


def _pillow_unpack(scheme: int, packed: bytes, rows: int, width: int) -> bytes:
    """Unpacked by libtiff, as one strip of grey bytes."""
    tags = ((256, width), (257, rows), (258, 8), (259, scheme), (262, 1), (273, 122), (277, 1), (278, rows))
    entries = [struct.pack("<HHII", code, 4, 1, value) for code, value in (*tags, (279, len(packed)))]
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    with Image.open(io.BytesIO(head + packed)) as image:
        raw: bytes = image.tobytes()
    return raw
