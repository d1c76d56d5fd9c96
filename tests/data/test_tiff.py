# SPDX-License-Identifier: Apache-2.0
"""TIFF of every kind that is read: written with other pixels, all tags stay, tifffile and Pillow agree."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from tests.tiff_files import exif_block, pixels, tags, thumbnail, write_tiff
from umed.core.errors import InputError
from umed.data import formats, side_data, tiff, tiff_pixels, tiff_tags
from umed.data.container import container_difference
from umed.data.mark import MARK


def again(path: Path, mark: str = "") -> tuple[Any, Any, Path]:
    """Read, turn the pixels upside down, write twice, read; everything that must hold of both files."""
    volume = formats.read(path)
    new = volume.stored[::-1].copy()
    target = path.with_name(f"new_{path.name}")
    formats.write(volume, new, target, mark=mark)
    first = target.read_bytes()
    formats.write(volume, new, target, mark=mark)
    back = formats.read(target)
    assert target.read_bytes() == first
    assert np.array_equal(back.stored, new) and back.stored.dtype == volume.stored.dtype
    assert formats.header_difference(volume, back, mark=bool(mark)) == ""
    assert container_difference(volume, back, mark=bool(mark)) == ""
    found = side_data.side_data(first)
    assert found.parts == () and found.problems == ()
    return volume, back, target


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["u1", "u2", "f4", "f2"]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from("<>"),
    st.booleans(),
    st.sampled_from([None, (16, 32), (64, 64)]),
    st.sampled_from([None, 1, 5, 100]),
    st.booleans(),
    st.sampled_from([(None, False), ("zlib", False), ("zlib", True)]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_what_tifffile_writes(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    samples: int,
    order: str,
    big: bool,
    tile: tuple[int, int] | None,
    rows: int | None,
    planar: bool,
    packing: tuple[str | None, bool],
    size: tuple[int, int],
) -> None:
    shape = size if samples == 1 else (*size, samples)
    stored = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    options: dict[str, Any] = {"bigtiff": big, "byteorder": order, "metadata": None, "description": "a µ b".encode()}
    options |= {"tile": tile} if tile else {"rowsperstrip": rows}
    options |= {"planarconfig": "separate"} if planar and samples > 1 else {}
    options |= {"compression": packing[0], "predictor": packing[1] and dtype[0] == "u"} if packing[0] else {}
    path = write_tiff(tmp_path_factory.mktemp("tiff") / "a.tif", stored, **options)
    volume, back, target = again(path)
    assert np.array_equal(volume.stored, stored) and tags(path) == tags(target)
    read = tifffile.imread(target)
    assert np.array_equal(np.moveaxis(read, 0, -1) if planar and samples > 1 else read, stored[::-1])


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "raw"])
@pytest.mark.parametrize(
    ("mode", "predictor"), [("L", 1), ("L", 2), ("RGB", 1), ("RGB", 2), ("I;16", 2), ("F", 1), ("F", 3)]
)
def test_what_libtiff_writes(tmp_path: Path, packing: str, mode: str, predictor: int) -> None:
    if predictor > 1 and packing in ("packbits", "raw"):
        predictor = 1
    dtype = {"I;16": "u2", "F": "f4"}.get(mode, "u1")
    stored = pixels(3 if mode == "RGB" else 1, dtype)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[317], info[315] = predictor, "FSL5.0"
    Image.fromarray(stored).save(tmp_path / "a.tif", compression=packing, tiffinfo=info, strip_size=500)
    volume, _, target = again(tmp_path / "a.tif")
    assert np.array_equal(volume.stored, stored)
    with Image.open(target) as image:
        assert np.array_equal(np.asarray(image), stored[::-1])
    assert tags(target) == tags(tmp_path / "a.tif")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["u1", "u2", "f4", "f2"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 4])),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(tiff_pixels.LOSSLESS),
    st.sampled_from([1, 2, 3]),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from("<>"),
)
def test_packed_pixels_come_back(
    dtype: str,
    shape: tuple[int, int, int],
    part: tuple[int, int],
    scheme: int,
    predictor: int,
    flags: tuple[bool, bool, bool],
    order: Any,
) -> None:
    predictor = 1 if predictor == 3 and dtype[0] != "f" else predictor
    tiled, planar, reversed_bits = flags
    part = part if tiled else (part[0], shape[1])
    layout = tiff_pixels.TiffLayout(order, False, shape, dtype, part, tiled, planar, scheme, predictor, reversed_bits)
    stored = (np.random.default_rng(1).random(shape) * 200).astype(dtype)
    parts = tiff_pixels.pack(layout, stored)
    assert np.array_equal(tiff_pixels.unpack(layout, parts), stored)
    with pytest.raises(ValueError, match="strips or tiles"):
        tiff_pixels.unpack(layout, parts[:-1])


def test_a_strip_that_is_cut_short(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    [count] = [tag for tag in tiff_tags.walk(bytes(data)).directories[0].tags if tag.code == 279]
    struct.pack_into("<I", data, count.place, 40)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match="readable"):
        formats.read(tmp_path / "a.tif")


def test_a_description_that_tells_of_more_slices_than_there_are_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(), metadata=None, description="ImageJ=1.53t\nimages=40\nslices=40\n")
    with pytest.raises(InputError, match="expected one page, got 40 slices"):
        formats.read(path)
    stack = np.stack([pixels(seed=seed) for seed in range(4)])
    tifffile.imwrite(path, stack, photometric="minisblack", truncate=True)
    with pytest.raises(InputError, match="expected one page, got 4 slices"):
        formats.read(path)
    tifffile.imwrite(path, stack, photometric="minisblack", imagej=True)
    with pytest.raises(InputError, match=r"expected one page, got 4 .*NIfTI"):
        formats.read(path)


def test_directories_below_stay_and_their_pictures_go(tmp_path: Path) -> None:
    small = thumbnail(pixels(3))
    plain = formats.read(write_tiff(tmp_path / "plain.tif", pixels(3), metadata=None))
    exif = ((36867, 2, b"2019:01:02 03:04:05\0"), (37500, 7, b"maker" + small), (40965, 4, ((1, 2, b"R98\0"),)))
    kept = (*plain.header.kept, (34665, 4, exif), (34853, 4, ((1, 2, b"N\0"),)))
    (tmp_path / "a.tif").write_bytes(tiff.encode(plain.header.layout, kept, plain.stored))
    volume, _, target = again(tmp_path / "a.tif")
    with Image.open(target) as image:
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2019:01:02 03:04:05"
        assert image.getexif().get_ifd(0x8825)[1] == "N"
    kinds = [one.kind for one in tiff_tags.walk(target.read_bytes()).directories]
    assert kinds == ["image", "exif", "interoperability", "gps"]
    assert volume.header.dropped == ("picture in tag 37500",) and small not in target.read_bytes()


@pytest.mark.parametrize(
    ("kind", "constant", "alpha"), [(0, False, False), (0, True, True), (1, False, True), (2, False, True)]
)
def test_an_unspecified_sample_is_a_channel(tmp_path: Path, kind: int, constant: bool, alpha: bool) -> None:
    stored = pixels(4)
    stored[..., 3] = 255 if constant else stored[..., 3]
    path = write_tiff(tmp_path / "a.tif", stored, metadata=None, extrasamples=(kind,))
    volume, back, _ = again(path)
    assert volume.alpha == back.alpha == alpha and len(volume.channels) == (3 if alpha else 4)


def test_what_nothing_refers_to_goes(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels(), metadata=None)
    path.write_bytes(path.read_bytes() + pixels(seed=4).tobytes())
    volume, _, target = again(path)
    assert volume.header.dropped == ("bytes that no TIFF tag refers to",)
    assert pixels(seed=4).tobytes()[:40] not in target.read_bytes()


def test_the_mark_takes_the_first_free_text_field(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels(), ome=True, metadata={"axes": "YX"})
    _, _, target = again(path, MARK)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(target) as after:
        assert before.ome_metadata == after.ome_metadata and after.pages.first.software == before.pages.first.software
        assert after.pages.first.tags[269].value == MARK
    _, _, once = again(target, MARK)  # an earlier mark makes room
    assert [raw for code, _, raw in tags(once) if code == 269] == [MARK.encode() + b"\0"]
    full = [(code, 2, 2, "x", True) for code in (285, 269)]
    write_tiff(path, pixels(), metadata=None, description="a", software="b", extratags=full)
    with pytest.raises(InputError, match="free text field"):
        again(path, MARK)


def test_every_forged_tag_is_seen(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels(), metadata=None, description="one", resolution=(2, 2))
    volume = formats.read(path)
    kept, layout = volume.header.kept, volume.header.layout
    target = tmp_path / "b.tif"
    for place, (code, kind, raw) in enumerate(kept):
        if code in (256, 257, 258, 259, 262, 277, 278, 296, 338, 339, 284):
            continue
        for forged in (
            (*kept[:place], *kept[place + 1 :]),
            (*kept[:place], (code, kind, b"x" + raw[1:]), *kept[place + 1 :]),
        ):
            target.write_bytes(tiff.encode(layout, forged, volume.stored))
            assert f"tag {code}" in formats.header_difference(volume, formats.read(target))
    target.write_bytes(tiff.encode(layout, (*kept, (65000, 2, b"Jane\0")), volume.stored))
    assert "tag 65000 new" in formats.header_difference(volume, formats.read(target))
    with tifffile.TiffWriter(target) as writer:
        writer.write(volume.stored, metadata=None, description="one", resolution=(2, 2))
        writer.write(volume.stored[::2, ::2].copy(), metadata=None, subfiletype=1)
    assert "smaller page" in formats.header_difference(volume, formats.read(target))


SEEDS = [
    write
    for order in "<>"
    for write in (
        lambda path, order=order: tifffile.imwrite(
            path, pixels(3), byteorder=order, compression="zlib", description="x"
        ),
        lambda path, order=order: tifffile.imwrite(path, pixels(), byteorder=order, tile=(16, 16), bigtiff=True),
    )
]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8), st.data())
def test_damaged_files_are_refused_or_written_back(
    tmp_path_factory: pytest.TempPathFactory, write: Any, flips: list[tuple[int, int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    write(path)
    damaged = bytearray(path.read_bytes())
    for place, value in flips:
        damaged[place % len(damaged)] = value
    path.write_bytes(damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))])
    try:
        volume = formats.read(path)
    except InputError as error:
        assert "expected" in str(error)
        return
    target = path.with_name("b.tif")
    formats.write(volume, volume.stored, target)
    assert formats.header_difference(volume, formats.read(target)) in ("",)


def test_an_exif_block_is_one_that_pillow_reads() -> None:
    small = thumbnail(pixels(3))
    exif = Image.Exif()
    exif.load(exif_block(small))
    assert exif[0x013B] == "Roe^Jane" and tiff_tags.walk(exif_block(small)).directories[-1].images == (small,)
    assert Image.open(io.BytesIO(small)).size == (21, 19)
