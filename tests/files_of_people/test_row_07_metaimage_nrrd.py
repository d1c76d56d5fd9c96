# SPDX-License-Identifier: Apache-2.0
"""Row 7: MetaImage and NRRD are read and written by SimpleITK under the same header; other formats are named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from tests.itk_files import head_of, make_itk_nnunet, metaimage, save
from umed.cli.main import main
from umed.data import formats

KINDS = {
    "mha packed": (".mha", True, 9),
    "mhd and raw": (".mhd", False, 15),
    "mhd and zraw": (".mhd", True, 15),
    "nrrd packed": (".nrrd", True, 9),
    "nhdr and raw.gz": (".nhdr", True, 15),
}
PROMISE = ["--epsilon", "4/255", "--radius", "3px"]


def protect(root: Path, out: Path, *options: str) -> int:
    return main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *options])


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_row_07_images_and_masks_are_protected_and_keep_their_format(tmp_path, capsys, kind):
    ending, compress, count = KINDS[kind]
    root, out = make_itk_nnunet(tmp_path / "in", ending, compress), tmp_path / "out"
    protect(root, out)
    assert "3 cases: 2 protected, 1 unchanged" in capsys.readouterr().out
    assert names(out) == names(root) | {"umed/about.html", "umed/manifest.json"} and len(names(out)) == count
    manifest = json.loads((out / "umed/manifest.json").read_text())["files"]
    for number, what in ((0, "protected image"), (1, "protected image"), (2, "unprotected image")):
        image = root / "imagesTr" / f"c{number}_0000{ending}"
        written = out / "imagesTr" / image.name
        before, after = SimpleITK.ReadImage(str(image)), SimpleITK.ReadImage(str(written))
        moved = SimpleITK.GetArrayFromImage(after).astype(int) - SimpleITK.GetArrayFromImage(before)
        label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(root / "labelsTr" / f"c{number}{ending}")))
        assert bool(moved.any()) == bool(label.any()) and (number == 2 or (moved[label > 0] != 0).mean() > 0.9)
        for get in ("GetSpacing", "GetOrigin", "GetDirection", "GetPixelIDTypeAsString"):
            assert getattr(after, get)() == getattr(before, get)()
        heads = [re.sub(rb"CompressedDataSize = \d+", b"", head_of(path)) for path in (image, written)]
        assert heads[0] == heads[1]
        assert compress or image.stat().st_size == written.stat().st_size
        for one in (image.name, *formats.companions(image)):
            assert manifest[f"imagesTr/{one}"]["what"] == what
    for name in names(root / "labelsTr"):
        assert (out / "labelsTr" / name).read_bytes() == (root / "labelsTr" / name).read_bytes()
        assert manifest[f"labelsTr/{name}"]["what"] == "label"
    assert main(["verify", str(root), str(out)]) == 0
    assert main(["check-release", str(out), "--original", str(root)]) == 0
    (tmp_path / "out-private").rename(tmp_path / "away")
    assert main(["verify", str(root), str(out), *PROMISE]) == 0, capsys.readouterr().out
    capsys.readouterr()


def test_row_07_same_input_same_bytes_resume_and_overwrite(tmp_path, capsys):
    ending = ".nhdr"
    root, out = make_itk_nnunet(tmp_path / "in", ending, True), tmp_path / "out"
    protect(root, out)
    first = {name: (out / name).read_bytes() for name in names(out) if not name.startswith("umed/")}
    data = next((out / "imagesTr").glob("c0_0000.*raw*"))
    held = data.stat().st_mtime_ns
    assert protect(root, out, "--resume") in (0, 3) and data.stat().st_mtime_ns == held
    data.unlink()
    assert protect(root, out, "--resume") in (0, 3) and data.read_bytes() == first[f"imagesTr/{data.name}"]
    protect(root, out, "--overwrite")
    assert {name: (out / name).read_bytes() for name in first} == first
    source = root / "imagesTr" / data.name
    source.write_bytes(b"")  # the data, not the header: the case is done again, and fails
    assert protect(root, out, "--resume") != 0
    assert not data.exists() and not data.with_suffix("").with_suffix(ending).exists()
    capsys.readouterr()


def edited(out: Path, name: str, change) -> None:
    path = out / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("record", [True, False])
def test_row_07_verify_sees_what_was_done_to_either_file(tmp_path, capsys, record):
    root, good = make_itk_nnunet(tmp_path / "in", ".mhd", False), tmp_path / "good"
    protect(root, good)
    command = ["verify", str(root)]
    options = ["--private", str(tmp_path / "good-private")] if record else PROMISE
    edits = {
        "restored": ("imagesTr/c0_0000.raw", lambda _: (root / "imagesTr/c0_0000.raw").read_bytes()),
        "one voxel outside": ("imagesTr/c0_0000.raw", lambda data: bytes([data[0] ^ 4]) + data[1:]),
        "bytes behind": ("imagesTr/c1_0000.raw", lambda data: data + b"Jane Roe"),
        "header": ("imagesTr/c1_0000.mhd", lambda data: data.replace(b"Offset = -10", b"Offset = -11")),
        "other data": ("imagesTr/c1_0000.mhd", lambda data: data.replace(b"c1_0000.raw", b"c0_0000.raw")),
        "unchanged": ("imagesTr/c2_0000.raw", lambda data: bytes([data[0] ^ 1]) + data[1:]),
        "label": ("labelsTr/c0.raw", lambda data: data[:-1] + b"\1"),
    }
    for what, (name, change) in edits.items():
        out = tmp_path / f"out {what}"
        shutil.copytree(good, out)
        edited(out, name, change)
        assert main([*command, str(out), *options]) == 1, what
        assert name.split("/")[1].split("_")[0].split(".")[0] in capsys.readouterr().out
    for name in ("imagesTr/c0_0000.raw", "labelsTr/c1.raw"):
        out = tmp_path / f"without {Path(name).name}"
        shutil.copytree(good, out)
        (out / name).unlink()
        assert main([*command, str(out), *options]) == 1
        assert f"{name}: expected" in capsys.readouterr().out
    out = tmp_path / "added"
    shutil.copytree(good, out)
    (out / "imagesTr/backup.raw").write_bytes((root / "imagesTr/c0_0000.raw").read_bytes())
    assert main([*command, str(out), *options]) == 1
    assert "imagesTr/backup.raw: expected no such file" in capsys.readouterr().out
    assert main([*command, str(good), *options]) == 0
    capsys.readouterr()


def test_row_07_check_release_knows_originals_and_names_in_headers(tmp_path, capsys):
    texts = [("0010|0010", "Roe^Jane"), ("0008|1030", "liver, seen by Dr. Doe")]
    for ending in (".mhd", ".nrrd"):
        root = make_itk_nnunet(tmp_path / f"in{ending}", ending, True, texts=texts)
        out = tmp_path / f"out{ending}"
        protect(root, out)
        capsys.readouterr()
        main(["check-release", str(out), "--original", str(root)])
        said = capsys.readouterr().out
        kind = "nrrd" if ending[1] == "n" else "metaimage"
        assert f"{kind}.0010|0010" in said and "Roe^Jane" in said
        accept = [word for key, _ in texts for word in ("--accept-text", f"{kind}.{key}")]
        assert main(["check-release", str(out), "--original", str(root), *accept]) == 0
        capsys.readouterr()
        for path in (root / "imagesTr").glob("c0_0000.*"):
            shutil.copyfile(path, out / "imagesTr" / path.name)
        assert main(["check-release", str(out), "--original", str(root), *accept]) == 1
        said = capsys.readouterr().out
        assert "the bytes of imagesTr/c0_0000" in said


def test_row_07_layouts_vectors_and_segmentations(tmp_path, capsys):
    """Pairs: RGB vectors with a PNG mask, a NIfTI mask, a segmentation of 3D Slicer."""
    root = tmp_path / "in"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 190, (24, 30, 3)).astype(np.uint8)
    disc = np.zeros((24, 30), np.uint8)
    disc[6:18, 8:20] = 255
    save(colours, root / "images/rgb.mha", compress=True, vector=True)
    Image.fromarray(disc).save(root / "masks/rgb.png")
    volume = (rng.normal(500, 60, (6, 20, 16))).astype(np.float32)
    ball = np.zeros(volume.shape, np.uint8)
    ball[2:5, 5:15, 4:12] = 1
    save(volume, root / "images/vol.nrrd", compress=True)
    save(ball, root / "masks/vol.nii.gz", compress=True)
    save(volume, root / "images/seg.nrrd", compress=False)
    keys = [("Segment0_LabelValue", "1"), ("Segment0_Layer", "0"), ("Segment0_ID", "Segment_1")]
    save(ball, root / "masks/seg.seg.nrrd", compress=True, texts=keys)
    assert protect(root, tmp_path / "out") == 0, capsys.readouterr()
    assert "3 cases: 3 protected" in capsys.readouterr().out
    assert names(root) <= names(tmp_path / "out")
    before, after = formats.read(root / "images/rgb.mha"), formats.read(tmp_path / "out/images/rgb.mha")
    moved = (before.stored != after.stored).any(axis=-1)
    assert moved.T[9:15, 11:17].mean() > 0.9 and not moved.T[:2].any() and not moved.T[:, 25:].any()
    assert main(["verify", str(root), str(tmp_path / "out")]) == 0
    assert main(["check-release", str(tmp_path / "out"), "--original", str(root)]) == 0
    capsys.readouterr()


def test_row_07_decathlon_of_4d_headers_with_data_files(tmp_path, capsys):
    root = tmp_path / "in"
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    array = np.random.default_rng(0).normal(500, 60, (2, 6, 20, 16)).astype(np.float32)
    metaimage(root / "imagesTr/a.mhd", array.T, data_file="a.raw", big=True)
    ball = np.zeros((16, 20, 6), np.uint8)
    ball[4:12, 5:15, 2:5] = 1
    metaimage(root / "labelsTr/a.mhd", ball, packing="zlib", data_file="a.zraw")
    entry = {"image": "./imagesTr/a.mhd", "label": "./labelsTr/a.mhd"}
    index = {"modality": {"0": "MRI", "1": "MRI"}, "labels": {"0": "background", "1": "ball"}, "training": [entry]}
    (root / "dataset.json").write_text(json.dumps(index))
    assert protect(root, tmp_path / "out") == 0, capsys.readouterr()
    after = formats.read(tmp_path / "out/imagesTr/a.mhd")
    assert after.stored.shape == (16, 20, 6, 2) and after.encoding.dtype == ">f4"
    assert all((after.stored[..., c] != array.T[..., c]).any() for c in (0, 1))
    assert main(["verify", str(root), str(tmp_path / "out")]) == 0
    assert main(["check-release", str(tmp_path / "out"), "--original", str(root)]) == 0
    capsys.readouterr()


def test_row_07_data_files_that_lie_elsewhere_or_belong_to_two(tmp_path, capsys):
    root = make_itk_nnunet(tmp_path / "in", ".mhd", False)
    header = root / "imagesTr/c0_0000.mhd"
    shutil.copyfile(root / "imagesTr/c0_0000.raw", tmp_path / "elsewhere.raw")
    header.write_bytes(header.read_bytes().replace(b"c0_0000.raw", b"../../elsewhere.raw"))
    two = root / "imagesTr/c2_0000.mhd"
    two.write_bytes(two.read_bytes().replace(b"c2_0000.raw", b"c1_0000.raw"))
    assert protect(root, tmp_path / "out") == 3
    main(["inspect", str(root)])
    said = "".join(capsys.readouterr())
    assert "c0_0000.mhd: expected a data file in the folder of its header, got ElementDataFile: '../../else" in said
    assert "imagesTr/c2_0000.mhd" in said and "imagesTr/c1_0000.raw, which is that of imagesTr/c1_0000.mhd" in said
    images = {name for name in names(tmp_path / "out") if name.startswith("imagesTr")}
    assert images == {"imagesTr/c1_0000.mhd", "imagesTr/c1_0000.raw"}
    assert main(["verify", str(root), str(tmp_path / "out")]) == 0
    capsys.readouterr()


def test_row_07_a_link_that_leads_out_of_the_data_set(tmp_path, capsys):
    root = make_itk_nnunet(tmp_path / "in", ".nhdr", False)
    (root / "imagesTr/c0_0000.raw").rename(tmp_path / "outside.raw")
    (root / "imagesTr/c0_0000.raw").symlink_to(tmp_path / "outside.raw")
    protect(root, tmp_path / "out")
    main(["inspect", str(root)])
    assert "got a link that leads out of it" in "".join(capsys.readouterr())
    assert not {name for name in names(tmp_path / "out") if "c0_0000" in name}


@pytest.mark.parametrize("ending", [".bmp", ".gif", ".webp"])
def test_row_07_pictures_of_other_formats_name_the_cure(tmp_path, capsys, ending):
    root = tmp_path / "in"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    pixels = np.random.default_rng(0).integers(50, 200, (24, 24, 3)).astype(np.uint8)
    disc = np.zeros((24, 24), np.uint8)
    disc[8:16, 8:16] = 255
    for name in (f"a{ending}", "b.png"):
        Image.fromarray(pixels).save(root / "images" / name)
        Image.fromarray(disc).save(root / "masks" / f"{name[0]}.png")
    protect(root, tmp_path / "out")
    said = "".join(capsys.readouterr())
    assert f"images/a{ending}" in said and "convert it to PNG" in said
    assert not {name for name in names(tmp_path / "out") if name.startswith("images/a")}
    assert (tmp_path / "out/images/b.png").is_file()
