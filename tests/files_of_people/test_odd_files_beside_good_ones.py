# SPDX-License-Identifier: Apache-2.0
"""One odd file among good ones: what it is, is said of it, and the others are protected and pass every check."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from tests.files_of_people import every_command
from tests.files_of_people import masked_pictures as made
from umed.cli.main import main
from umed.data.dicom_input import is_dicom

LESION = made.lesion()
MASK = LESION.astype(np.uint8) * 255


def _passes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verify and check-release find nothing in what was made of a data set."""
    out = root.with_name(root.name + "-out")
    assert main(["verify", str(root), str(out), "--quiet"]) == 0
    assert main(["check-release", str(out), "--original", str(root), "--quiet"]) == 0
    capsys.readouterr()


def _inspected(root: Path, capsys: pytest.CaptureFixture[str]) -> int:
    code = main(["inspect", str(root), "--json", "--quiet"])
    assert isinstance(json.loads(capsys.readouterr().out), dict)
    return code


@pytest.mark.parametrize("kind", ["lzw", "lzw with differences", "fax", "palette with lzw"])
def test_packed_tiffs_do_not_make_a_release_damaged(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.pictures(tmp_path / "in", a=MASK, b=MASK)
    if kind.startswith("lzw"):
        options: dict[str, Any] = {"tiffinfo": {317: 2}} if "differences" in kind else {}
        picture = Image.open(root / "images/a.png")
        picture.save(root / "images/a.tif", compression="tiff_lzw", **options)
        (root / "images/a.png").unlink()
    else:
        mask = Image.fromarray(MASK).convert("1" if kind == "fax" else "P")
        mask.save(root / "masks/a.tif", compression="group4" if kind == "fax" else "tiff_lzw")
        (root / "masks/a.png").unlink()
    code, outcomes, _ = made.protect(root, capsys)
    assert code == 0
    assert outcomes["a"]["status"] == "protected"
    _passes(root, capsys)


@pytest.mark.parametrize("volume", [False, True])
def test_a_mask_of_tiny_values_is_not_empty(volume: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if volume:
        block = np.repeat(LESION[..., None], 4, axis=-1).astype(np.uint8)
        root = made.volumes(tmp_path / "in", {"background": 0, "lesion": 1}, a=block, b=block)
        nibabel.save(nibabel.Nifti1Image(block * np.float32(0.0009), np.eye(4)), root / "labelsTr/a.nii.gz")
    else:
        root = made.pictures(tmp_path / "in", a=MASK, b=MASK)
        (root / "masks/a.png").unlink()
        tifffile.imwrite(root / "masks/a.tif", LESION * np.float32(0.0009))
    code, outcomes, said = made.protect(root, capsys)
    assert code == 3
    assert outcomes["a"]["status"] == "failed"
    assert outcomes["b"]["status"] == "protected"
    assert "look like probabilities: threshold them first" in said


def test_an_archive_of_pictures_does_not_make_a_folder_dicom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.pictures(tmp_path / "in", a=MASK, b=MASK)
    with zipfile.ZipFile(root / "backup.zip", "w") as packed:
        packed.write(root / "images/a.png", "a.png")
    (root / "broken.zip").write_bytes(b"PK\x03\x04")
    (root / "old").write_bytes(bytes(257) + b"ustar" + bytes(300))
    code, outcomes, said = made.protect(root, capsys, "--quiet")
    assert code == 3
    assert {one["status"] for one in outcomes.values()} == {"protected"}
    left = {one["name"]: one["kind"] for one in json.loads(said)["accounting"]["left_out"]}
    assert left == dict.fromkeys(["backup.zip", "broken.zip", "old"], "archive")
    with zipfile.ZipFile(root / "series.zip", "w") as packed:
        packed.writestr("IM0001", bytes(128) + b"DICM")
    assert is_dicom(root)


def test_a_stray_dicom_file_beside_pictures_is_named_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.pictures(tmp_path / "in", a=MASK, b=MASK)
    (root / "extra.dcm").write_bytes(b"x")
    code, _, said = made.protect(root, capsys)
    assert code == 1
    assert "move the DICOM files (.dcm, .ima, zips of them) away, or say with --layout map.yaml" in said


def test_names_as_long_as_a_system_takes_cost_one_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made.pictures(tmp_path / "in", a=MASK, **{"n" * 240: MASK, "o" * 251: MASK})
    code, outcomes, said = made.protect(root, capsys)
    assert code == 3
    assert {one["status"] for one in outcomes.values()} == {"protected"}
    first, second = sorted(outcomes)
    assert first == "a" and second.startswith("n" * 100) and len(second) <= 160, "an id is shortened, with a digest"
    assert "expected a name of at most 245 bytes" in said
    _passes(root, capsys)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert made.protect(root, capsys, "--resume")[0] == 3
    assert made.protect(root, capsys, "--overwrite")[0] == 3
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.png")}


def test_files_of_a_system_are_not_carried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made.pictures(tmp_path / "in", a=MASK, b=MASK)
    (root / "images/desktop.ini").write_text("[.ShellClassInfo]\n")
    (root / "notes.ini").write_text("size = 40\n")
    code, _, said = made.protect(root, capsys, "--carry", "--quiet")
    assert code == 0
    assert [one["name"] for one in json.loads(said)["accounting"]["left_out"]] == ["images/desktop.ini"]
    assert (tmp_path / "in-out/notes.ini").read_bytes() == (root / "notes.ini").read_bytes()
    _passes(root, capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom permissions bind")
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_unreadable_file_costs_one_case(folder: str) -> None:
    with every_command.places() as there:
        for path in (there.data, *there.data.rglob("*")):
            os.chown(path, every_command.NOBODY, every_command.NOBODY)
        (there.data / folder / "1.png").chmod(0)
        for words in (there.words("inspect"), there.words("protect")):
            said = every_command.call([*words, "--json"], user=every_command.NOBODY)
            assert said.code == 3, said.err
        done = json.loads(said.out)
        assert {one["id"]: one["status"] for one in done["outcomes"]}["1"] == "failed"
        assert done["counts"]["protected"] == 3
        words = ["check-release", str(there.out), "--original", str(there.data), "--quiet"]
        assert every_command.call(words, user=every_command.NOBODY).code == 0


def test_inspect_ends_as_a_run_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in fields, and mostly empty masks, make exit code 3 before anything is written."""
    good = made.pictures(tmp_path / "good", a=MASK, b=MASK)
    named = made.pictures(tmp_path / "named", a=MASK, b=MASK)
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Jane Roe")
    Image.open(named / "images/a.png").save(named / "images/a.png", pnginfo=text)
    empty = made.pictures(tmp_path / "empty", a=MASK, b=0 * MASK, c=0 * MASK)
    for root, expected in ((good, 0), (named, 3), (empty, 3)):
        assert _inspected(root, capsys) == expected
        assert main(["protect", str(root), str(tmp_path / "none"), *made.CHECKERBOARD, "--dry-run"]) == expected
        capsys.readouterr()
        assert made.protect(root, capsys)[0] == expected
