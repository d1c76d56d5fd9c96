# SPDX-License-Identifier: Apache-2.0
"""Sizes that headers declare, held against limits before anything is unpacked or allocated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

from umed.core.errors import GeometryError, InputError

MOST_BYTES = 64 << 30
"""Bytes of one image, unpacked."""
DEFLATE = 1040
"""Nothing that zlib or gzip has packed becomes more than this many times as large."""
FREE = 1 << 24
"""Values that a mask may always have, and bytes that may always stand behind the voxels of a file."""
_BEYOND = 16
"""How many times as many values as its image a mask may have: colours, an image that is a part of it."""
_CHUNK = 1 << 16


def check_bytes(path: Path, needed: int, packed: int, ratio: int = DEFLATE) -> None:
    """Make sure that packed bytes can become what a header declares, and that it is not without measure.

    Args:
        path: for errors.
        needed: bytes by the header.
        packed: bytes that are there.
        ratio: how many times as large they may become.

    Raises:
        InputError: naming both sizes.
    """
    if needed > MOST_BYTES:
        raise InputError(
            f"{path}: expected at most {MOST_BYTES} bytes of values, got {needed} by its header. Split it, or repair "
            "its header."
        )
    if needed > ratio * packed + _CHUNK:
        raise InputError(
            f"{path}: expected {needed} bytes of values by its header, got {packed} packed bytes, which cannot hold as "
            "many. The file is cut short or its header is damaged: fetch it again."
        )


def check_mask(path: Path, shape: tuple[int, ...], values: int, grids: Iterable[tuple[str, int]]) -> None:
    """Make sure that a mask is not much larger than what it may be a mask of, before it is unpacked.

    Args:
        path: the mask.
        shape: of it, as its header declares.
        values: how many it has, as its header declares.
        grids: name and number of voxels of each image that it may belong to.

    Raises:
        GeometryError: naming the largest of them.
    """
    name, most = max(grids, key=lambda grid: grid[1], default=("its image", 0))
    if values > max(_BEYOND * most, FREE):
        raise GeometryError(
            f"{path}: expected a mask of about the size of {name}, {most} voxels, got shape {shape} by its header, "
            f"{values} values; it was not unpacked. Resample it onto the image's grid, or pair the right files."
        )


def gunzip_within(packed: bytes, most: int) -> bytes | bytearray:
    """Unpack a gzip file, of one member or several, no further than a bound.

    Args:
        packed: the file.
        most: bytes that are wanted at most.

    Returns:
        What was packed; just one byte more than ``most`` where there is more.

    Raises:
        zlib.error: when it is damaged.
        EOFError: when it is cut short.
    """
    unpacker = zlib.decompressobj(31)
    first = unpacker.decompress(packed, most + 1)
    rest = unpacker.unused_data
    if len(first) > most or (unpacker.eof and not rest.strip(b"\0")):
        return first
    if not unpacker.eof and len(first) <= most:
        raise EOFError("cut short")
    out, place, view = bytearray(first), len(packed) - len(rest), memoryview(packed)  # as pigz or bgzip write them
    del rest
    while place < len(view) and (len(view) - place > _CHUNK or bytes(view[place:]).strip(b"\0")):  # zeros are padding
        unpacker = zlib.decompressobj(31)
        while not unpacker.eof and place < len(view) and len(out) <= most:
            chunk: bytes | memoryview = view[place : place + _CHUNK]
            place += len(chunk)
            while chunk and not unpacker.eof and len(out) <= most:
                out += unpacker.decompress(chunk, most + 1 - len(out))
                chunk = unpacker.unconsumed_tail
        if len(out) > most:
            return out
        if not unpacker.eof:
            raise EOFError("cut short")
        place -= len(unpacker.unused_data)
    return out
