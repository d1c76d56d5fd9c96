# SPDX-License-Identifier: Apache-2.0
"""Row 16: capital folder names, train and val, a folder a case, BraTS, TotalSegmentator, BIDS; mirrored and proved."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.layout_files import lay, write_json
from tests.layout_runs import moved_only_inside, protect_and_prove
from umed.cli.main import main
from umed.data.layouts import find_dataset

BRATS = [f"B_{n}/B_{n}_{part}" for n in "12" for part in ("flair.nii", "t1.nii", "t1ce.nii", "t2.nii", "seg.nii=4")]
TOTAL = [
    f"s{n}/{part}"
    for n in "12"
    for part in ("ct.nii.gz", "segmentations/liver.nii.gz=1", "segmentations/spleen.nii.gz=1")
]
FOLDERS = {
    "capitals and splits": ["train/Images/a.png", "train/Masks/a.png=1", "val/Images/b.png", "val/Masks/b.png=1"],
    "a folder a case": ["p1/image.nii.gz", "p1/mask.nii.gz=1", "p2/image.nii.gz", "p2/mask.nii.gz=1"],
    "BraTS": BRATS,
    "TotalSegmentator": TOTAL,
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_output_mirrors_the_input(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = lay(tmp_path / "in", *FOLDERS[kind]), tmp_path / "out"
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and run.files == {name.partition("=")[0] for name in FOLDERS[kind]}
    assert len(found := moved_only_inside(root, out)) == 2 and all(found.values())
    assert {case.id: case.classes for case in find_dataset(out).cases} == {
        case.id: case.classes for case in find_dataset(root).cases
    }


def bids(root: Path) -> Path:
    """Two subjects with masks in a derivative, a sidecar for all images and one with a name in it."""
    for n in "12":
        lay(root, f"sub-{n}/anat/sub-{n}_T1w.nii.gz", f"derivatives/manual/sub-{n}/anat/sub-{n}_dseg.nii.gz=1")
    write_json(root / "dataset_description.json", {"Name": "heads", "BIDSVersion": "1.10.0", "Authors": ["A"]})
    about = {"Name": "manual", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "hand"}]}
    write_json(root / "derivatives/manual/dataset_description.json", about)
    write_json(root / "T1w.json", {"MagneticFieldStrength": 3, "PatientName": "Roe^Jane"})
    return root


def test_bids_becomes_a_bids_derivative(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = bids(tmp_path / "in"), tmp_path / "out"
    run = protect_and_prove(root, out, capsys)
    assert run.code in (0, 3) and moved_only_inside(root, out) == {"sub-1_T1w": True, "sub-2_T1w": True}
    wanted = {f"sub-{n}/anat/sub-{n}_desc-protected_T1w{end}" for n in "12" for end in (".nii.gz", ".json")}
    wanted |= {f"derivatives/manual/sub-{n}/anat/sub-{n}_dseg.nii.gz" for n in "12"}
    assert run.files == {
        *wanted,
        "dataset_description.json",
        ".bidsignore",
        "derivatives/manual/dataset_description.json",
    }
    assert not any(b"Roe" in path.read_bytes() for path in out.rglob("*.json"))
    assert [case.id for case in find_dataset(out).cases] == ["sub-1_T1w", "sub-2_T1w"]
    sidecar = out / "sub-1/anat/sub-1_desc-protected_T1w.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "PatientName": "Roe^Jane"}))
    assert main(["verify", str(root), str(out), "--quiet"]) == 1
    assert "sub-1_desc-protected_T1w.json: expected an index of exactly the released cases" in capsys.readouterr().out
    (out / ".bidsignore").write_text("umed\n*\n")
    assert main(["check-release", str(out), "--original", str(root), "--quiet"]) == 1
    assert "hidden" in capsys.readouterr().out


@pytest.mark.slow
def test_the_bids_validator_accepts_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Version 2 or later, which knows derivatives; version 1 of npm calls every ``desc-`` of them an error."""
    validator = shutil.which("bids-validator-deno") or shutil.which("bids-validator")
    if validator is None:
        pytest.skip("no bids-validator on PATH")
    if (
        subprocess.run([validator, "--version"], capture_output=True, text=True, check=False)
        .stdout.strip()
        .startswith("1.")
    ):
        pytest.skip("bids-validator of version 1, which does not know derivatives")
    root, out = bids(tmp_path / "in"), tmp_path / "out"
    protect_and_prove(root, out, capsys)
    command = [validator, str(out), "--json", "--recursive"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [one for one in issues if one["severity"] == "error"] == [] and done.returncode == 0


def test_two_ways_to_read_a_folder_are_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = lay(tmp_path / "in", "images/a.png", "masks/a.png=1", "labels/a.png=2"), tmp_path / "out"
    assert main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "labels/a.png" in said and "masks/a.png" in said and "--layout map.yaml" in said and not out.exists()
    (tmp_path / "map.yaml").write_text("images: 'images/{case}.png'\nlabels: 'labels/{case}.png'\n")
    more = ("--layout", str(tmp_path / "map.yaml"))
    assert main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *more]) in (0, 3)
    assert {path.name for path in out.iterdir()} == {"images", "labels", "umed"}
