# SPDX-License-Identifier: Apache-2.0
"""ImageJ, tiled, planar, striped, big and differently packed TIFF: kept as it was; what is left out is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.tiff_files import add_mask, exif_block, pixels, tags, thumbnail, write_tiff
from umed.cli.main import main
from umed.data import png, tiff_tags

METHOD = ("--method", "checkerboard", "--quiet")
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "imagej": (
        pixels(dtype="u2"),
        {"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "um", "spacing": 3.0, "min": 0, "max": 200}},
    ),
    "tiled": (pixels(3), {"tile": (16, 32), "compression": "zlib", "predictor": True}),
    "planar": (pixels(3, "u2"), {"planarconfig": "separate", "rowsperstrip": 5, "byteorder": ">"}),
    "bigtiff": (pixels(dtype="f4"), {"bigtiff": True, "resolution": (300, 300), "resolutionunit": "inch"}),
    "private": (
        pixels(),
        {"software": "ImageJ 1.54", "extratags": [(65001, 12, 2, (1.5, 2.5), True)], "metadata": None},
    ),
}


def test_every_layout_is_kept(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    for name, (stored, options) in KINDS.items():
        if stored.ndim == 2:
            write_tiff(root / f"grey/images/{name}.tif", stored, **options)
            add_mask(root / "grey", name)
        else:
            write_tiff(root / f"colour/images/{name}.tif", stored, **options)
            add_mask(root / "colour", name)
    for part in ("grey", "colour"):
        assert main(["protect", str(root / part), str(out / part), *METHOD]) == 0
        assert main(["verify", str(root / part), str(out / part)]) == 0
        for path in sorted((root / part / "images").iterdir()):
            written = out / part / "images" / path.name
            assert tags(written) == tags(path), path.name
            with tifffile.TiffFile(path) as before, tifffile.TiffFile(written) as after:
                assert (before.byteorder, before.is_bigtiff) == (after.byteorder, after.is_bigtiff)
                assert before.imagej_metadata == after.imagej_metadata
                old, new = before.pages.first, after.pages.first
                assert (old.tile, old.rowsperstrip, old.planarconfig, old.predictor, old.compression) == (
                    *(new.tile, new.rowsperstrip, new.planarconfig, new.predictor, new.compression),
                )
                assert (new.asarray() != old.asarray()).any()


def test_what_gives_the_original_back_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    stored = pixels(3)
    (root / "images").mkdir(parents=True)
    small = thumbnail(stored)
    with tifffile.TiffWriter(root / "images/slide.tif") as writer:
        layers = [(37724, 7, 1000, stored.tobytes()[:1000], True), (65002, 7, len(small), small, True)]
        writer.write(stored, photometric="rgb", metadata=None, software=False, extratags=layers, subifds=1)
        writer.write(stored[::2, ::2].copy(), photometric="rgb", metadata=None, subfiletype=1)
        writer.write(stored[::2, ::2].copy(), photometric="rgb", metadata=None, subfiletype=1)
    Image.fromarray(stored).save(
        root / "images/photo.jpg", exif=b"Exif\0\0" + exif_block(small), quality=95, dpi=(96, 96)
    )
    for name in ("slide", "photo"):
        add_mask(root, name)
    code = main(["protect", str(root), str(out), *METHOD[:2], "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["protected"] == 2
    left = {one["id"]: one["measures"]["files"][0]["not_kept"] for one in found["outcomes"]}
    assert left["photo"] == ["EXIF thumbnail"]
    assert left["slide"] == ["sub-images", "Photoshop layers", "picture in tag 65002", "smaller page"]
    kinds = {one["kind"] for one in found["release_check"]["problems"]}
    assert code == 3 and kinds == {"text"}  # the name in EXIF, and nothing hidden
    slide = (out / "images/slide.tif").read_bytes()
    assert len(tiff_tags.walk(slide).directories) == 1 and small not in slide
    written = (out / "images/photo.png").read_bytes()
    assert small not in written and small[20:60] not in written
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[0x013B] == "Roe^Jane" and round(image.info["dpi"][0]) == 96
    main(["protect", str(root), str(tmp_path / "again"), "--method", "checkerboard"])
    assert "not carried over, it would give originals back or fits only them: EXIF thumbnail (1 file); " in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientation_stays_and_the_mask_must_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], orientation: int
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    (root / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = np.zeros((37, 41), np.uint8)
    mask[8:26, 10:30] = 255
    for name in ("fits", "turned"):
        Image.fromarray(pixels(3)).save(root / f"images/{name}.jpg", exif=exif, quality=95)
        add_mask(root, name, mask.T.copy() if name == "turned" and orientation == 6 else mask)
    Image.fromarray(pixels(3)).save(root / "images/upright.png")
    add_mask(root, "upright")
    code = main(["protect", str(root), str(out), *METHOD[:2], "--json"])
    outcomes = {one["id"]: one for one in json.loads(capsys.readouterr().out)["outcomes"]}
    if orientation == 1:
        assert code == 0 and {one["status"] for one in outcomes.values()} == {"protected"}
        return
    assert outcomes["turned"]["status"] == "failed" and f"orientation {orientation}" in outcomes["turned"]["reason"]
    assert "mogrify -auto-orient" in outcomes["turned"]["reason"]
    if orientation == 3:  # nothing tells
        assert code == 3 and outcomes["fits"]["status"] == "failed"
        return
    assert code == 3 and outcomes["fits"]["status"] == "protected"
    with Image.open(out / "images/fits.png") as image:
        assert image.getexif()[0x0112] == 6 and image.size == (41, 37)


def test_chunks_of_png_stay_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    (root / "images").mkdir(parents=True)
    before = (
        (b"gAMA", (45455).to_bytes(4, "big")),
        (b"pHYs", bytes(8) + b"\0"),
        (b"prIv", b"as\1 it"),
        (b"iDOT", bytes(28)),
    )
    after = ((b"tEXt", b"Software\0ImageJ 1.54"), (b"tIME", b"\x07\xe3\1\2\3\4\5"))
    (root / "images/a.png").write_bytes(png.encode(pixels(3), (*before, (b"IDAT", b""), *after)))
    add_mask(root, "a")
    assert main(["protect", str(root), str(out), *METHOD[:2], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcomes"][0]["measures"]["files"][0]["not_kept"] == ["chunk iDOT, which belongs to the old pixels"]
    parts = png.chunks((out / "images/a.png").read_bytes())
    assert [kind for kind, _ in parts][1:-1] == [b"gAMA", b"pHYs", b"prIv", b"IDAT", b"tEXt", b"tIME"]
    assert [pair for pair in parts if pair[0] not in (b"IHDR", b"IDAT", b"IEND")] == [*before[:3], *after]
    assert main(["verify", str(root), str(out)]) == 0
