# SPDX-License-Identifier: Apache-2.0
"""Row 16: any other folder by a mapping file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.layout_files import lay
from tests.layout_runs import moved_only_inside, protect_and_prove
from umed.cli.main import main

FILES = [f"scans/P{n}_{c}.nii.gz" for n in "12" for c in ("t1", "t2")]
ROIS = [f"rois/P{n}/{c}.nii.gz" for n in "12" for c in ("liver", "spleen")]
MAP = """
images: "scans/{case}_{channel}.nii.gz"
channels: [t2, t1]
labels: "rois/{case}/{class}.nii.gz"
"""


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, Path]:
    """A folder in no known layout, and its mapping file."""
    root = lay(tmp_path / "in", *FILES, *(f"{name}=1" for name in ROIS))
    (tmp_path / "map.yaml").write_text(MAP)
    return root, tmp_path / "map.yaml"


def test_a_mapping_file_is_followed_by_all_commands(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, file = mapped
    out, more = tmp_path / "out", ("--layout", str(file))
    run = protect_and_prove(root, out, capsys, *more)
    assert run.code == 0 and run.files == {*FILES, *ROIS}
    assert moved_only_inside(root, out, file) == {"P1": True, "P2": True}
    capsys.readouterr()
    assert main(["inspect", str(root), "--json", *more]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["layout"] == "map" and [case["classes"] for case in facts["cases"]] == [[0, 1, 2]] * 2
    assert main(["plan", str(root), *more]) == 0
    assert main(["protect", str(root), str(tmp_path / "no"), "--dry-run", *more]) == 0
    assert main(["verify", str(root), str(out), "--quiet"]) == 2
    assert "--layout: expected the mapping file that the run was given" in capsys.readouterr().err


def test_what_the_patterns_do_not_match_is_listed(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, file = mapped
    lay(root, "scans/P3_t1.nii.gz", "rois/P3/liver.nii.gz=1", "rois/P4/liver.nii.gz=1", "more/a.nii.gz")
    run = protect_and_prove(root, tmp_path / "out", capsys, "--layout", str(file))
    assert run.files == {*FILES, *ROIS}
    main(["inspect", str(root), "--layout", str(file)])
    said = capsys.readouterr().out
    for words in (
        "expected the channels t2, t1 of case P3, got t1",
        "rois/P4/liver.nii.gz: is a mask without an image of case P4",
        "more/a.nii.gz: is in no case of the layout map",
    ):
        assert words in said


WRONG = {
    "matches nothing": (
        MAP.replace("scans/", "scan/"),
        2,
        "images: expected files that match 'scan/{case}_{channel}.nii.gz', got none",
    ),
    "labels match nothing": (MAP.replace("rois/", "roi/"), 2, "labels: expected files that match"),
    "two files": (
        MAP.replace("_{channel}", "_*"),
        1,
        "expected one file for case P1, got scans/P1_t1.nii.gz and scans/P1_t2",
    ),
    "no case": (MAP.replace("{case}", "*"), 2, "expected {case}, {channel}, {class} or {part}, got none"),
    "unknown field": (
        MAP.replace("{class}", "{organ}"),
        2,
        "expected {case}, {channel}, {class} or {part}, got {organ}",
    ),
    "unknown key": (MAP + "label: x\n", 2, "expected images, channels, labels, classes, modality, split, got 'label'"),
    "class without number": (
        MAP + "classes: {liver: 1}\n",
        2,
        "expected a number for each class, got none for 'spleen'",
    ),
    "same number": (MAP + "classes: {liver: 1, spleen: 1}\n", 2, "expected a number of its own from 1 on for each"),
    "image and mask": (
        MAP.replace("scans/{case}_{channel}", "**/{case}").replace("rois/{case}/{class}", "**/{case}"),
        1,
        "expected an image or a mask, got both",
    ),
    "no YAML": ("images: [", 2, "expected YAML, got"),
    "no mapping": ("- images", 2, "expected a mapping with 'images'"),
    "broken expression": ("images: 're:(?P<case>[a'", 2, "expected a pattern, got"),
    "all lack a channel": (MAP.replace("[t2, t1]", "[t1, t2, t3]"), 2, "t3"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_mapping_file_is_said(
    mapped: tuple[Path, Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root, file = mapped
    content, code, words = WRONG[kind]
    file.write_text(content)
    command = ["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--layout", str(file)]
    assert main(command) == (1 if kind == "all lack a channel" else code)
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()
