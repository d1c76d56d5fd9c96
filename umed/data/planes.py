# SPDX-License-Identifier: Apache-2.0
"""Slices of images in any readable format, and signatures by which equal ones are found again.

A signature is a hash of a slice's sorted values, so it is the same in another format, type, orientation or place in a
volume. Slices of one or two values have none: they are nobody's.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from umed.core.errors import InputError
from umed.core.types import Volume
from umed.data import itk, nifti, png, tiff, tiff_pixels
from umed.data.nifti_fields import nifti_layout
from umed.data.side_data import PNG, TIFF

MOST_VALUES = 1 << 29
"""Values of all pages of a picture that are decoded at most, each counted as large as the last."""
MOST_FRAMES = 1000
NPY = b"\x93NUMPY"
_PICTURES = (PNG, b"\xff\xd8\xff", b"GIF8", b"BM")
_CHUNK = 1 << 16
_FEWEST = 3
"""Distinct values of a slice below which it has no signature."""


def is_picture(data: bytes) -> bool:
    """Whether bytes begin like an image or array that :func:`grids` decodes."""
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return (
        data.startswith((*_PICTURES, *TIFF, NPY))
        or webp
        or nifti_layout(data[:540]) is not None
        or itk.is_attached(data)
    )


def grids(data: bytes) -> Iterator[NDArray[Any]]:
    """Decode an image, whatever its name; gzip must have been unpacked.

    Args:
        data: NIfTI, MetaImage or NRRD in one file, PNG, JPEG, TIFF, GIF, BMP, WebP or ``.npy``.

    Yields:
        One grid a channel, frame and page, ``(X, Y)`` or ``(X, Y, Z)``, as stored, and rescaled where that differs.

    Raises:
        InputError: when it cannot be decoded, or is too large.
    """
    log = logging.getLogger("tifffile")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)  # what it has to say about damaged files is raised here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if nifti_layout(data[:540]) is not None:
                yield from volume_grids(nifti.decode(Path("image"), data, False, ""))
            elif itk.is_attached(data):
                _bounded(itk.parse(Path("image"), data).sizes)
                yield from volume_grids(itk.decode(Path("image"), data))
            elif data.startswith(NPY):
                yield from _array(data)
            elif data[:4] in TIFF:
                yield from _tiff(data)
            else:
                yield from _picture(data)
    except InputError:
        raise
    except Exception as error:  # decoders raise many kinds on damaged bytes
        raise InputError(f"expected a readable image, got {type(error).__name__}: {str(error)[:80]}.") from error
    finally:
        log.setLevel(level)


def volume_grids(volume: Volume) -> Iterator[NDArray[Any]]:
    """One grid a channel of a volume without its alpha plane, as stored, and rescaled where that differs."""
    code = volume.encoding
    for grid in volume.channels:
        yield grid
        if (code.slope, code.inter) != (1.0, 0.0):
            yield grid * np.float64(code.slope) + code.inter


def stacks(grid: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The slices of a grid along each axis: ``(slices, values)``; a picture is its own one slice."""
    if grid.ndim == 2:
        yield grid.reshape(1, -1)
    elif grid.ndim == 3:
        for axis in range(3):
            yield np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)


def signatures(stack: NDArray[Any]) -> list[bytes]:
    """Signature of each row, 16 bytes; empty for rows with fewer than three distinct values.

    Args:
        stack: ``(slices, values)``, integers or floats.

    >>> one, other, flat = signatures(np.array([[1, 2, 3, 3], [3, 1, 2, 3], [7, 7, 7, 7]]))
    >>> one == other, len(one), flat
    (True, 16, b'')
    """
    with np.errstate(all="ignore"):
        values = np.sort(stack.astype("<f4") + np.float32(0), axis=1)  # no negative zeros
    distinct = (values[:, 1:] != values[:, :-1]).sum(axis=1) + 1
    if np.isnan(values[:, -1:]).any():  # sorted to the end; each differs from all, and together they are one value
        distinct -= np.maximum(np.isnan(values).sum(axis=1) - 1, 0)
    return [
        hashlib.blake2b(row.tobytes(), digest_size=16).digest() if count >= _FEWEST else b""
        for row, count in zip(values, distinct, strict=True)
    ]


def all_signatures(data: bytes) -> set[bytes]:
    """Signatures of all slices of an image; raises as :func:`grids` does."""
    found = {one for grid in grids(data) for stack in stacks(grid) for one in signatures(stack)}
    return found - {b""}


def _bounded(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MOST_VALUES:
        raise InputError(f"expected at most {MOST_VALUES} values, got shape {shape}.")


def _split(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Channels of a picture, and slices of what has more axes."""
    if pixels.ndim == 3 and pixels.shape[2] <= 4:
        yield from np.moveaxis(pixels, -1, 0)
    elif pixels.ndim in (2, 3):
        yield pixels
    elif pixels.ndim > 3:
        for part in pixels:
            yield from _split(part)


def _array(data: bytes) -> Iterator[NDArray[Any]]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    _bounded(shape)
    if dtype.kind not in "iufb" or math.prod(shape) * dtype.itemsize > len(data) - file.tell():
        raise InputError(f"expected numbers that fit into {len(data)} bytes, got {dtype} {shape}.")
    file.seek(0)
    yield from _split(np.lib.format.read_array(file, allow_pickle=False))


def _tiff(data: bytes) -> Iterator[NDArray[Any]]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if not len(file.pages):
            raise InputError("expected a page, got none.")
        for number, page in enumerate(file.pages):
            if number >= MOST_FRAMES:
                raise InputError(f"expected at most {MOST_FRAMES} pages, got more.")
            for one in (page, *(page.pages or ())):
                _bounded((number + 1, *one.shape))
                _no_bomb(one, data)
                pixels = _page(one, number, data)
                planar = pixels.ndim == 3 and int(getattr(one, "planarconfig", 1) or 1) == 2
                yield from (pixels if planar else _split(pixels))


def _page(page: Any, number: int, data: bytes) -> NDArray[Any]:
    """Pixels of a page as stored; LZW, PackBits, fax and predictors need an optional codec in tifffile."""
    try:
        found: NDArray[Any] = page.asarray()
        return found
    except ValueError:
        if int(page.compression) in tiff_pixels.LOSSLESS and page.dtype is not None and page.bitspersample >= 8:
            parts = [data[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
            return tiff_pixels.unpack(tiff.layout_of(page), parts)
        if page.is_subifd:
            raise
    with Image.open(io.BytesIO(data)) as image:
        image.seek(number)
        return np.array(image)


def _no_bomb(page: Any, data: bytes) -> None:
    """Make sure that no deflated part of a page unpacks to more than the page; tifffile would unpack all of it."""
    if int(page.compression) not in (8, 32946):
        return
    for place, size in zip(page.dataoffsets, page.databytecounts, strict=False):
        unpacker, made = zlib.decompressobj(), 0
        for at in range(place, place + size, _CHUNK):
            made += len(unpacker.decompress(data[at : min(at + _CHUNK, place + size)]))
            if made > page.nbytes + _CHUNK:
                raise InputError(f"expected a page of {page.nbytes} bytes, got more in one part of it.")


def _picture(data: bytes) -> Iterator[NDArray[Any]]:
    if data.startswith(PNG) and data[24:26] in (b"\x10\2", b"\x10\4", b"\x10\6") and not data[28]:  # 16-bit colour
        _bounded((int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), 4))
        yield from np.moveaxis(png.decode(png.chunks(data)), -1, 0)
        return
    with Image.open(io.BytesIO(data)) as image:
        for number in range(min(getattr(image, "n_frames", 1), MOST_FRAMES)):
            image.seek(number)
            _bounded((number + 1, *image.size, len(image.getbands())))
            shown = image.convert("RGB") if image.mode in ("P", "CMYK", "YCbCr", "1", "LAB", "HSV", "RGBX") else image
            yield from _split(np.asarray(shown))
