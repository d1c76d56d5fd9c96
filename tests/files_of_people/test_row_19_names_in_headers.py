# SPDX-License-Identifier: Apache-2.0
"""Names in header fields stay, since headers do; inspect, protect and check-release say each field by its name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tests.tiff_files import add_mask, exif_block, pixels, write_tiff
from umed.cli.main import main

METHOD = ("--method", "checkerboard", "--quiet")


def run(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, int, dict[str, set[str]]]:
    """What inspect prints, the exit code of protect, and the fields of its check by severity."""
    foreseen = main(["inspect", str(root)])
    said = capsys.readouterr().out
    code = main(["protect", str(root), str(out), *METHOD[:2], "--json"])
    assert foreseen == code
    check = json.loads(capsys.readouterr().out)["release_check"]
    fields = {
        severity: {one["what"].partition(" = ")[0] for one in check[severity] if " = " in one["what"]}
        for severity in ("problems", "warnings")
    }
    return said, code, fields


def test_nifti(tmp_path: Path, make_decathlon: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = make_decathlon(tmp_path / "in", cases=2, test=False)
    path = root / "imagesTr/case_000.nii.gz"
    image = nibabel.load(path)
    for field in ("descrip", "db_name", "intent_name", "aux_file"):
        image.header[field] = "Roe^Jane"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"seen by Dr Muster"))
    nibabel.save(image, path)
    said, code, fields = run(root, tmp_path / "out", capsys)
    names = {f"nifti.{name}" for name in ("descrip", "db_name", "intent_name", "aux_file", "extension")}
    for name in names:
        assert f"warning: {name} holds text that may name somebody in 1 file (imagesTr/case_000.nii.gz: " in said
    assert "Dr Muster" in said and code == 3 and fields["problems"] == names
    assert main(["check-release", str(tmp_path / "out"), "--original", str(root)]) == 1
    printed = capsys.readouterr().out
    assert all(name in printed for name in names) and "exiftool" in printed
    accepted = [word for name in sorted(names) for word in ("--accept-text", name)]
    assert main(["check-release", str(tmp_path / "out"), "--original", str(root), *accepted]) == 0


def test_nifti_of_a_program_is_not_warned_about(
    tmp_path: Path, make_decathlon: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_decathlon(tmp_path / "in", cases=2, test=False)
    for path in sorted((root / "imagesTr").iterdir()):
        image = nibabel.load(path)
        image.header["descrip"] = "FSL5.0"
        nibabel.save(image, path)
    said, code, fields = run(root, tmp_path / "out", capsys)
    assert "warning" not in said and code == 0 and not fields["problems"]


def screen_profile(name: str) -> bytes:
    """A colour profile that is called after somebody's screen."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    text = name.encode("utf-16-be")
    body = b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(text), 28) + text
    (count,) = struct.unpack_from(">I", profile, 128)
    for number in range(count):
        if profile[132 + 12 * number : 136 + 12 * number] == b"desc":
            struct.pack_into(">II", profile, 136 + 12 * number, len(profile), len(body))
    whole = bytes(profile) + body
    return struct.pack(">I", len(whole)) + whole[4:]


def picture(kind: str, path: Path) -> None:
    """A picture with one telling field."""
    stored = pixels(3)
    info = PngImagePlugin.PngInfo()
    options: dict[str, Any] = {}
    if kind == "png exif":
        options = {"exif": exif_block()}
    elif kind == "icc":
        options = {"icc_profile": screen_profile("Screen of Jane Roe")}
    elif kind.startswith("png"):
        info.add_text("Author", "Jane Roe", zip=kind == "png zTXt")
        options = {"pnginfo": info}
    if kind.startswith(("png", "icc")):
        Image.fromarray(stored).save(path.with_suffix(".png"), **options)
    elif kind == "jpeg comment":
        Image.fromarray(stored).save(path.with_suffix(".jpg"), comment=b"Jane Roe", quality=95)
    elif kind == "jpeg exif":
        Image.fromarray(stored).save(path.with_suffix(".jpg"), exif=b"Exif\0\0" + exif_block(), quality=95)
    else:
        code = {"Artist": 315, "HostComputer": 316, "Copyright": 33432, "PageName": 285}[kind]
        write_tiff(
            path.with_suffix(".tif"), stored, metadata=None, software=False, extratags=[(code, 2, 9, "Jane Roe", True)]
        )


@pytest.mark.parametrize(
    ("kind", "in_source", "in_output"),
    [
        ("png tEXt", "png.tEXt.Author", "png.tEXt.Author"),
        ("png zTXt", "png.zTXt.Author", "png.zTXt.Author"),
        ("png exif", "exif.Artist", "exif.Artist"),
        ("jpeg exif", "exif.Artist", "exif.Artist"),
        ("jpeg comment", "jpeg.comment", "png.tEXt.Comment"),
        ("Artist", "tiff.Artist", "tiff.Artist"),
        ("HostComputer", "tiff.HostComputer", "tiff.HostComputer"),
        ("Copyright", "tiff.Copyright", "tiff.Copyright"),
        ("PageName", "tiff.PageName", "tiff.PageName"),
        ("icc", "icc.description", ""),
    ],
)
def test_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, in_source: str, in_output: str
) -> None:
    root = tmp_path / "in"
    (root / "images").mkdir(parents=True)
    picture(kind, root / "images/a")
    add_mask(root, "a")
    said, code, fields = run(root, tmp_path / "out", capsys)
    assert f"warning: {in_source} holds" in said and "Jane" in said
    if in_output:
        assert code == 3 and in_output in fields["problems"]
    else:  # the name of a screen is a warning
        assert code == 0 and in_source in fields["warnings"]
    text = json.dumps(json.loads((tmp_path / "out/umed/manifest.json").read_text()))
    assert "Jane" not in text


def test_inspect_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    write_tiff(root / "images/a.tif", pixels(), metadata=None, description="Jane Roe")
    add_mask(root, "a")
    assert main(["inspect", str(root), "--json"]) == 3
    [one] = json.loads(capsys.readouterr().out)["texts"]
    assert one == {"file": "images/a.tif", "field": "tiff.ImageDescription", "kind": "free", "excerpt": "Jane Roe"}


def test_real_files(tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    source = shared_data / "nifti_zoo/niivue_spmMotor.nii.gz"
    image = nibabel.load(source)
    (root / "images/a.nii.gz").write_bytes(source.read_bytes())
    mask = np.zeros(image.shape[:3], np.uint8)
    mask[4:9, 4:9, 4:9] = 1
    nibabel.save(nibabel.Nifti1Image(mask, image.affine), root / "masks/a.nii.gz")
    assert main(["inspect", str(root)]) == 3
    assert "warning: nifti.descrip holds text that may name somebody in 1 file" in capsys.readouterr().out
