# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from tests.layout_files import lay, names
from umed.cli.main import main
from umed.core.errors import InputError
from umed.data.layout_suggest import suggest_map
from umed.data.layouts import find_dataset

KNOWN = {
    "pairs": [f"images/c{n}.png" for n in "123"] + [f"masks/c{n}_seg.png=1" for n in "123"],
    "beside": [f"c{n}{end}" for n in "12" for end in (".png", "_mask.png=1", "_mask_1.png=1")],
    "splits": [
        f"{s}/{f}/{n}.png{v}" for s in ("train", "val") for n in "ab" for f, v in (("images", ""), ("masks", "=1"))
    ],
    "case folders": [f"p{n}/{f}" for n in "12" for f in ("image.nii.gz", "mask.nii.gz=1")],
    "BraTS": [f"B_{n}/B_{n}_{p}" for n in "123" for p in ("flair.nii", "t1.nii", "t1ce.nii", "seg.nii=4")],
    "TotalSegmentator": [
        *(
            f"s{n}/{f}"
            for n in "12"
            for f in ("ct.nii.gz", "segmentations/liver.nii.gz=1", "segmentations/spleen.nii.gz=1")
        )
    ],
}


def accepted(tmp_path: Path, root: Path) -> dict[str, tuple[list[str], list[str], tuple[int, ...]]]:
    """What the draft finds, by image files."""
    draft = suggest_map(root)
    assert not any(line.isupper() for line in draft.splitlines()) and "EDIT IT" not in draft
    (tmp_path / "map.yaml").write_text(draft)
    dataset = find_dataset(root, tmp_path / "map.yaml")
    assert not dataset.problems
    return {case.images[0].as_posix(): (names(case.images), names(case.labels), case.classes) for case in dataset.cases}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_draft_reads_a_known_layout_alike(tmp_path: Path, kind: str) -> None:
    root = lay(tmp_path / "in", *KNOWN[kind])
    wanted = {
        case.images[0].as_posix(): (names(case.images), names(case.labels), case.classes)
        for case in find_dataset(root).cases
    }
    assert accepted(tmp_path, root) == wanted


UNKNOWN = {
    "channels and rois": (
        [f"scans/P{n}_{c}.nii.gz" for n in "12" for c in ("t1", "t2")]
        + [f"rois/P{n}/{c}.nii.gz=1" for n in "12" for c in ("gtv", "lung")],
        (
            "scans/P1_t1.nii.gz",
            ["scans/P1_t1.nii.gz", "scans/P1_t2.nii.gz"],
            ["rois/P1/gtv.nii.gz", "rois/P1/lung.nii.gz"],
            (1, 2),
        ),
    ),
    "deep": (
        [f"d/{n}/ct/scan.nii.gz" for n in ("A1", "A2", "B7")]
        + [f"d/{n}/manual/roi.nii.gz=1" for n in ("A1", "A2", "B7")],
        ("d/A1/ct/scan.nii.gz", ["d/A1/ct/scan.nii.gz"], ["d/A1/manual/roi.nii.gz"], ()),
    ),
    "no word for masks": (
        [f"x/{n}.png" for n in "abc"] + [f"y/{n}.png=1" for n in "abc"],
        ("x/a.png", ["x/a.png"], ["y/a.png"], ()),
    ),
    "ISIC": (
        [f"T1_Training_Input/I_{n}.jpg" for n in "12"]
        + [f"T1_Training_GroundTruth/I_{n}_segmentation.png=1" for n in "12"],
        (
            "T1_Training_Input/I_1.jpg",
            ["T1_Training_Input/I_1.jpg"],
            ["T1_Training_GroundTruth/I_1_segmentation.png"],
            (),
        ),
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_draft_for_a_folder_of_no_known_layout_is_accepted_as_it_is(tmp_path: Path, kind: str) -> None:
    files, (first, *wanted) = UNKNOWN[kind]
    root = lay(tmp_path / "in", *files)
    with pytest.raises(InputError, match="--suggest"):
        find_dataset(root)
    assert accepted(tmp_path, root)[first] == tuple(wanted)


def test_what_a_draft_cannot_say_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(tmp_path / "in", "a.png", "b/c.png")
    assert main(["inspect", str(root), "--suggest"]) == 0
    assert "# NO MASK WAS FOUND: fill in labels" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "absent"), "--suggest"]) == 1
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / "empty"), "--suggest"]) == 1
    assert "got no file that looks like one" in capsys.readouterr().err
