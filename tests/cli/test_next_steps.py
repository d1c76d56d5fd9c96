# SPDX-License-Identifier: Apache-2.0
"""The line ``next:`` can be typed as it stands, and long lists of what is missing do not hide what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmark.phantom_pictures import write_pictures
from tests.release_files import hospital
from umed.cli.main import main
from umed.data.phantom import make_phantom


def test_a_list_of_files_that_were_never_downloaded_is_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_phantom(tmp_path / "data", cases=2, size=(24, 24, 16))
    listed = json.loads((root / "dataset.json").read_text())
    listed["training"] += [
        {"image": f"./imagesTr/gone_{n:03d}.nii.gz", "label": f"./labelsTr/gone_{n:03d}.nii.gz"} for n in range(40)
    ]
    (root / "dataset.json").write_text(json.dumps(listed))
    assert main(["inspect", str(root), "--quiet"]) == 3
    said = capsys.readouterr().out
    assert "42 cases: 2 to protect, 40 to refuse" in said and said.count("  protect") == 2
    assert said.count("  refuse") == 10 and "and 30 more that cannot be read; --json names them all" in said
    assert main(["inspect", str(root), "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 42


def test_plan_and_inspect_of_files_name_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_pictures(tmp_path / "some data", 3, size=32)
    assert main(["inspect", str(root)]) == 0
    assert f"next: umed plan '{root}' says" in capsys.readouterr().out
    assert main(["plan", str(root)]) == 0
    said = capsys.readouterr().out
    assert f"next: umed plan '{root}' --forecast" in said and f"next: umed protect '{root}' OUTPUT --preview" in said


def test_the_next_command_reads_dicom_as_this_one_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, masks = hospital(tmp_path / "in"), tmp_path / "masks"
    masks.mkdir()
    (source / "seg.dcm").rename(masks / "seg.dcm")
    main(["inspect", str(source)])
    said = capsys.readouterr().out
    assert f"next: umed inspect {source} --masks DIR" in said and "umed plan" not in said, "nothing can be planned yet"
    main(["inspect", str(source), "--masks", str(masks)])
    assert f"next: umed plan {source} --masks {masks} says" in capsys.readouterr().out
    main(["plan", str(source), "--masks", str(masks)])
    said = capsys.readouterr().out
    assert f"next: umed protect {source} OUTPUT --masks {masks} --preview" in said
    assert "--forecast" not in said.split("next:", 1)[1], "there are none of DICOM"
