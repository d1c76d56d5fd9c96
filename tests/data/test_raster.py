# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from umed.core.errors import InputError
from umed.data import formats, png

RNG = np.random.default_rng(1)


def pixels(dtype, samples, shape=(13, 17)):
    grid = shape if samples == 1 else (*shape, samples)
    return RNG.integers(0, np.iinfo(dtype).max, grid, endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png_exact(tmp_path, dtype, samples):
    array = pixels(dtype, samples)
    path = tmp_path / "a.png"
    path.write_bytes(png.encode(array, ((b"gAMA", (45455).to_bytes(4, "big")),)))
    volume = formats.read(path)
    assert volume.stored.dtype == dtype and np.array_equal(volume.stored, array)
    assert volume.alpha == (samples in (2, 4))
    new = array.copy()
    new[3, 4] ^= 1
    formats.write(volume, new, tmp_path / "b.png")
    again = formats.read(tmp_path / "b.png")
    assert np.array_equal(again.stored, new) and formats.header_difference(volume, again) == ""


def test_our_png_is_read_by_pillow_and_the_other_way_round(tmp_path):
    for mode, samples in (("L", 1), ("RGB", 3), ("RGBA", 4)):
        array = pixels(np.uint8, samples)
        (tmp_path / "a.png").write_bytes(png.encode(array))
        with Image.open(tmp_path / "a.png") as image:
            assert image.mode == mode and np.array_equal(np.asarray(image), array)
        smooth = np.cumsum(array // 64, axis=0).astype(np.uint8)  # makes Pillow use all line filters
        Image.fromarray(smooth).save(tmp_path / "b.png", optimize=True)
        decoded = png.decode(png.chunks((tmp_path / "b.png").read_bytes()))
        assert np.array_equal(decoded.squeeze(), smooth)


def test_every_line_filter():
    rows = RNG.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    wide = rows.astype(int)
    zero = np.zeros(3, int)
    lines = np.zeros((5, 6, 3), np.uint8)
    for y in range(5):
        for x in range(6):
            a = wide[y, x - 1] if x else zero
            b = wide[y - 1, x] if y else zero
            c = wide[y - 1, x - 1] if x and y else zero
            p = a + b - c
            near = np.argmin(np.stack([abs(p - a), abs(p - b), abs(p - c)]), axis=0)
            guess = [zero, a, b, (a + b) // 2, np.choose(near, [a, b, c])][y]
            lines[y, x] = (wide[y, x] - guess) % 256
    assert np.array_equal(png._unfilter(np.arange(5, dtype=np.uint8), lines), rows)


def test_png_keeps_text_and_resolution(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", "Jane Doe")
    Image.fromarray(pixels(np.uint8, 3)).save(tmp_path / "a.png", pnginfo=text, dpi=(300, 300))
    volume = formats.read(tmp_path / "a.png")
    formats.write(volume, volume.stored, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert round(image.info["dpi"][0]) == 300 and image.text == {"Patient": "Jane Doe"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_exact(tmp_path, dtype, samples, compression, order):
    array = pixels(np.uint8, samples).astype(dtype)
    kind = "minisblack" if samples == 1 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=kind, compression=compression, byteorder=order)
    volume = formats.read(tmp_path / "a.tif")
    assert np.array_equal(volume.stored, array) and volume.stored.dtype == dtype
    for name in ("b.tif", "c.tif"):
        formats.write(volume, array[::-1].copy(), tmp_path / name)
    again = formats.read(tmp_path / "b.tif")
    assert np.array_equal(again.stored, array[::-1]) and formats.header_difference(volume, again) == ""
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("options", [{}, {"dpi": (72, 96)}, {"dpi": (1, 1)}])
def test_tiff_of_pillow_with_and_without_a_resolution(tmp_path, dtype, options):
    array = np.random.default_rng(0).integers(0, 200, (12, 9)).astype(dtype)
    Image.fromarray(array).save(tmp_path / "a.tif", **options)
    volume = formats.read(tmp_path / "a.tif")
    formats.write(volume, volume.stored, tmp_path / "b.tif")
    again = formats.read(tmp_path / "b.tif")
    assert np.array_equal(again.stored, array) and formats.header_difference(volume, again) == ""
    with Image.open(tmp_path / "a.tif") as before, Image.open(tmp_path / "b.tif") as after:
        fields = [
            {code: value for code, value in image.tag_v2.items() if code not in (273, 279)} for image in (before, after)
        ]
    assert fields[0] == fields[1] and (282 in fields[0]) == bool(options)


def test_lzw_tiff_through_pillow(tmp_path):
    array = pixels(np.uint8, 3)
    Image.fromarray(array).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(formats.read(tmp_path / "a.tif").stored, array)


def test_jpeg_goes_to_png(tmp_path):
    Image.fromarray(pixels(np.uint8, 3)).save(tmp_path / "a.jpg")
    volume = formats.read(tmp_path / "a.jpg")
    formats.write(volume, volume.stored, tmp_path / "a.png")
    assert np.array_equal(formats.read(tmp_path / "a.png").stored, volume.stored)
    with pytest.raises(InputError, match="lossless ending"):
        formats.write(volume, volume.stored, tmp_path / "b.jpg")


def refuse(path, words):
    with pytest.raises(InputError) as caught:
        formats.read(path)
    for word in [path.name, "expected", "got", *words]:
        assert word in str(caught.value)


def test_refusals(tmp_path):
    picture = Image.fromarray(pixels(np.uint8, 3))
    picture.convert("P").save(tmp_path / "palette.png")
    refuse(tmp_path / "palette.png", ["palette", "Save it as RGB"])
    picture.convert("1").save(tmp_path / "bits.png")
    refuse(tmp_path / "bits.png", ["8 or 16 bits"])
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    refuse(tmp_path / "pages.tif", ["one page", "3"])
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    refuse(tmp_path / "cmyk.jpg", ["CMYK"])
    (tmp_path / "cut.png").write_bytes(png.encode(pixels(np.uint8, 1))[:-30])
    refuse(tmp_path / "cut.png", ["damaged"])
    (tmp_path / "text.jpg").write_text("no picture")
    refuse(tmp_path / "text.jpg", ["readable"])
