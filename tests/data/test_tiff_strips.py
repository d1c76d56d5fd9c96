# SPDX-License-Identifier: Apache-2.0
"""Where the pixels of a strip end: what tifffile and Pillow write ends there, and what is put behind it is found."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import forged
from umed.data import picture_fields, tiff_strips, tiff_tags

PACKINGS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate")
SECRET = b"Erika Muster 1964"


def surplus(data: bytes) -> bytes:
    return tiff_strips.surplus(data, tiff_tags.walk(data).directories[0])


def picture(seed: int, height: int, width: int, colour: bool, noisy: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if colour else (height, width)
    return rng.integers(0, 256 if noisy else 2, shape).astype(np.uint8)


def by_pillow(pixels: np.ndarray, packing: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", compression=packing)
    return stream.getvalue()


def by_tifffile(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, **options)
    return stream.getvalue()


@pytest.mark.parametrize("packing", PACKINGS)
@given(st.integers(0, 99), st.integers(1, 200), st.integers(1, 90), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_whole_strips_end_where_their_pixels_do(
    packing: str, seed: int, height: int, width: int, colour: bool, noisy: bool
) -> None:
    data = by_pillow(picture(seed, height, width, colour, noisy), packing)
    assert surplus(data).strip(b"\0") == b""
    assert surplus(forged.tiff_strip(data, SECRET)).endswith(SECRET)


def test_a_long_lzw_strip_with_a_full_table() -> None:
    data = by_pillow(picture(1, 400, 500, True, True), "tiff_lzw")
    assert surplus(data) == b"" and surplus(forged.tiff_strip(data, SECRET)) == SECRET


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate"},
        {"compression": "deflate", "predictor": 2, "rowsperstrip": 7},
        {"rowsperstrip": 7},
        {"tile": (16, 32)},
        {"tile": (16, 32), "compression": "deflate"},
        {"planarconfig": "separate", "photometric": "rgb"},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
)
def test_layouts_of_strips_and_tiles(options: dict[str, Any]) -> None:
    pixels = picture(2, 45, 50, True, True)
    if "planarconfig" in options:
        pixels = np.moveaxis(pixels, -1, 0).copy()
    data = by_tifffile(pixels, **options)
    assert surplus(data) == b""
    if not options.get("bigtiff"):
        assert surplus(forged.tiff_strip(data, SECRET)) == SECRET


def test_masks_of_single_bits() -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(3, 33, 21, False, True) > 99).save(stream, "TIFF")
    assert surplus(stream.getvalue()) == b""


def test_rows_beyond_the_last_within_a_deflate_stream() -> None:
    pixels = picture(4, 30, 20, False, True)
    data = bytearray(by_tifffile(pixels, compression="deflate", rowsperstrip=30))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["ImageLength"]  # type: ignore[union-attr]
        struct.pack_into("<H" if tag.dtype == 3 else "<I", data, tag.valueoffset, 20)
    assert surplus(bytes(data)) == pixels[20:].tobytes()


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_check_of_a_release_names_them(packing: str) -> None:
    data = by_pillow(picture(5, 30, 20, False, True), packing)
    assert not picture_fields.tiff(data).parts
    [part] = picture_fields.tiff(forged.tiff_strip(data, SECRET)).parts
    assert part.data == SECRET and "strips" in part.what


def test_bytes_that_are_said_to_be_free_are_looked_at() -> None:
    data = by_tifffile(picture(6, 30, 20, False, True))
    extra = [(288, "I", 1, len(data) + 500, True), (289, "I", 1, len(SECRET), True)]
    again = by_tifffile(picture(6, 30, 20, False, True), extratags=extra)
    again = again.ljust(len(data) + 500, b"\0") + SECRET
    assert SECRET in b"".join(part.data for part in picture_fields.tiff(again).parts)
