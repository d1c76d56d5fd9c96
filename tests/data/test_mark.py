# SPDX-License-Identifier: Apache-2.0
"""``--mark``: a sentence in PNG and TIFF, not a pixel moved, and nothing else accepted in its place."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

import umed
from umed.data import formats, png
from umed.data.mark import MARK, is_mark
from umed.data.side_data import side_data
from umed.plan.planning import Plan

PIXELS = np.random.default_rng(0).integers(0, 200, (12, 14, 3)).astype(np.uint8)


def source(folder: Path, ending: str) -> Path:
    path = folder / f"a{ending}"
    if ending == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", "Jane Roe")
        Image.fromarray(PIXELS).save(path, pnginfo=info)
    elif ending == ".tif":
        tifffile.imwrite(path, PIXELS, description="Jane Roe", metadata=None)
    else:
        nibabel.save(nibabel.Nifti1Image(PIXELS.astype(np.int16), np.eye(4)), path)
    return path


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_the_mark_and_nothing_else(tmp_path: Path, ending: str) -> None:
    path = source(tmp_path, ending)
    volume = formats.read(path)
    marked, plain = tmp_path / f"marked{ending}", tmp_path / f"plain{ending}"
    formats.write(volume, volume.stored + np.uint8(1), marked, mark=MARK)
    formats.write(volume, volume.stored + np.uint8(1), plain)
    back, bare = formats.read(marked), formats.read(plain)
    assert np.array_equal(back.stored, PIXELS + 1)
    said = [text for _, text in side_data(path.read_bytes()).texts]
    assert sorted(text for _, text in side_data(marked.read_bytes()).texts) == sorted([*said, MARK])
    assert [text for _, text in side_data(plain.read_bytes()).texts] == said
    assert formats.header_difference(volume, back, mark=True) == formats.header_difference(volume, bare) == ""
    assert "new" in formats.header_difference(volume, back)
    assert "expected the mark, once, got it 0 times" in formats.header_difference(volume, bare, mark=True)
    first = marked.read_bytes()
    formats.write(volume, volume.stored + np.uint8(1), marked, mark=MARK)
    assert marked.read_bytes() == first


def test_another_comment_is_no_mark(tmp_path: Path) -> None:
    volume = formats.read(source(tmp_path, ".png"))
    other = tmp_path / "other.png"
    for chunks in (((b"tEXt", f"Comment\0{MARK} Jane".encode()),), ((b"tEXt", f"Comment\0{MARK}".encode()),) * 2):
        other.write_bytes(png.encode(PIXELS, chunks))
        assert "expected" in formats.header_difference(volume, formats.read(other), mark=True)
    assert not is_mark("Jane") and is_mark(MARK.replace("umed ", "umed 9."))


def test_a_copy_keeps_what_its_source_says(tmp_path: Path) -> None:
    path = source(tmp_path, ".png")
    (tmp_path / "copy.png").write_bytes(path.read_bytes())
    assert formats.header_difference(formats.read(path), formats.read(tmp_path / "copy.png")) == ""


def test_nifti_gets_none(tmp_path: Path) -> None:
    volume = formats.read(source(tmp_path, ".nii.gz"))
    formats.write(volume, volume.stored, tmp_path / "b.nii.gz", mark=MARK)
    assert formats.header_difference(volume, formats.read(tmp_path / "b.nii.gz"), mark=True) == ""


def test_it_decides_bytes_so_it_is_part_of_what_decides_a_run() -> None:
    assert Plan().decisive()["mark"] is False and Plan(mark=True).fingerprint != Plan().fingerprint


@pytest.mark.parametrize("mark", [False, True])
def test_protect_and_verify(pictures, tmp_path: Path, mark: bool) -> None:
    root, out = pictures(count=3, empty=(2,)), tmp_path / "out"
    umed.protect(root, out, method="random", mark=mark)
    for name, expected in (("case_0.png", [MARK] if mark else []), ("case_2.png", [])):
        data = (out / "images" / name).read_bytes()
        assert [text for _, text in side_data(data).texts] == expected
        Image.open(io.BytesIO(data)).verify()
    assert umed.verify(root, out).ok
