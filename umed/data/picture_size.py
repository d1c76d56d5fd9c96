# SPDX-License-Identifier: Apache-2.0
"""Pictures that declare more pixels than a limit, or than their bytes can hold, are refused before they are decoded."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from umed.core.errors import InputError
from umed.data import png
from umed.data.declared_size import DEFLATE

MOST_PIXELS = 178_956_970
"""Of a picture that Pillow decodes: twice its own limit, from which on it refuses."""
MOST_BYTES = 8 << 30
"""Of the decoded pixels of a TIFF or of a PNG that Pillow does not decode."""
_FREE = 64 << 20
"""Decoded bytes that need no reason: a blank page of a packing without a bound."""
_RATIOS = {1: 1, 5: 2800, 8: DEFLATE, 32946: DEFLATE, 32773: 64}
"""By TIFF's code: how many times as large what is packed can become (LZW: 4096 values of 12 bits)."""
_OTHER_RATIO = 10_000
_CHUNK = 1 << 16


@contextmanager
def open_picture(path: Path, data: bytes) -> Iterator[Image.Image]:
    """Open a picture with Pillow, which decodes nothing yet.

    Args:
        path: for errors.
        data: the file.

    Raises:
        InputError: when it declares more pixels than the limit, or a PNG more than its bytes can hold.
    """
    if data.startswith(png.SIGNATURE):
        check_png(path, png.chunks(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            opened = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise _too_large(path, f"{MOST_PIXELS} pixels", "more by its header") from error
        with opened as image:
            yield image


def check_png(path: Path, parts: list[tuple[bytes, bytes]]) -> None:
    """Hold the size in the header of a PNG against its packed pixels.

    Args:
        path: for errors.
        parts: from :func:`umed.data.png.chunks`.

    Raises:
        InputError: when they cannot hold as many, or it declares more than the limit.
    """
    head = parts[0][1]
    if len(head) < 13:
        raise ValueError("no IHDR chunk")
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    bits = png.SAMPLES.get(head[9], 1) * head[8]
    needed = height * -(-width * bits // 8)
    packed = sum(len(body) for kind, body in parts if kind == b"IDAT")
    _check(path, (height, width), needed, DEFLATE * packed, packed)


def check_tiff_page(path: Path, page: Any, data: bytes) -> None:
    """Hold the size of a page, as tifffile tells it, against its packed pixels.

    Args:
        path: for errors.
        page: of tifffile.
        data: the file.

    Raises:
        InputError: when they cannot hold as many, hold more, or it declares more than the limit.
    """
    packed = sum(int(size) for size in page.databytecounts)
    scheme = int(page.compression)
    shape = (int(page.imagelength), int(page.imagewidth))
    _check(path, shape, int(page.nbytes), _RATIOS.get(scheme, _OTHER_RATIO) * packed + _FREE, packed)
    if scheme in (8, 32946):
        for place, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            _check_deflated(path, memoryview(data)[place : place + size], int(page.nbytes))


def _check_deflated(path: Path, part: memoryview, nbytes: int) -> None:
    """A deflated part must not unpack to more than its page; tifffile would unpack all of it."""
    if DEFLATE * len(part) <= nbytes + _CHUNK:
        return
    unpacker, made = zlib.decompressobj(), 0
    try:
        for at in range(0, len(part), _CHUNK):
            left: bytes | memoryview = part[at : at + _CHUNK]
            while left and not unpacker.eof:
                made += len(unpacker.decompress(left, 1 << 20))
                left = unpacker.unconsumed_tail
                if made > nbytes + _CHUNK:
                    raise InputError(
                        f"{path}: expected a page of {nbytes} bytes, got more in one part of it. Save it again."
                    )
    except zlib.error:
        return  # for whoever decodes it


def _check(path: Path, shape: tuple[int, int], needed: int, possible: int, packed: int) -> None:
    if needed > MOST_BYTES:
        raise _too_large(path, f"{MOST_BYTES} bytes of pixels", f"{needed} by its header")
    if needed > possible + _CHUNK:
        raise InputError(
            f"{path}: expected {shape[0]} x {shape[1]} pixels by its header, got {packed} packed bytes, which cannot "
            "hold as many. The file is cut short or its header is damaged: fetch it again."
        )


def _too_large(path: Path, most: str, got: str) -> InputError:
    return InputError(
        f"{path}: expected at most {most}, got {got}. Cut it into tiles, or save it as NIfTI or MetaImage."
    )
