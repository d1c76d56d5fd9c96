# SPDX-License-Identifier: Apache-2.0
"""Many cases with one trouble: one line a kind with a count and three examples, and an exit code that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.cli.main import main

Capture = pytest.CaptureFixture[str]


def protect(root: Path, out: Path, *more: str) -> int:
    return main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *more])


def test_when_no_case_can_be_read_the_reasons_are_said_with_counts(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    root = pictures(8)
    for number in range(8):
        (root / f"images/case_{number}.png").write_bytes(b"no picture" if number < 5 else b"\x89PNG\r\n\x1a\n")
    for command in (["protect", str(root), str(tmp_path / "out")], ["plan", str(root)]):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "got none of 8" in said and "inspect" not in said
        assert "5 cases: " in said and "(case_0, case_1, case_2; and 2 more)" in said and "3 cases: " in said


def test_when_every_case_fails_the_reasons_are_said_with_counts(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    assert protect(pictures(5), tmp_path / "out", "--epsilon", "1/9999") == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert len(said) == 1 and said[0].startswith("failed: 5 cases: ")
    assert said[0].endswith("(case_0, case_1, case_2; and 2 more)")


@pytest.mark.parametrize("section", ["training", "test"])
def test_252_missing_files_are_one_line_and_exit_code_3(
    section: str, phantom: Path, tmp_path: Path, capsys: Capture
) -> None:
    index = json.loads((phantom / "dataset.json").read_text())
    names = [f"./imagesTr/gone_{number:03d}.nii.gz" for number in range(252)]
    labelled = [{"image": name, "label": name.replace("images", "labels")} for name in names]
    index[section] = [*index.get(section, []), *(names if section == "test" else labelled)]
    (phantom / "dataset.json").write_text(json.dumps(index))
    assert protect(phantom, tmp_path / "out") == 3
    said = capsys.readouterr().out.splitlines()
    assert len([line for line in said if "gone_" in line]) <= 3 and len(said) < 25  # of cases, of names, of the check
    count = 504 if section == "training" else 252
    line = next(line for line in said if line.startswith("not there: "))
    assert line.startswith(f"not there: {count} names: ") and line.endswith(f"and {count - 3} more)")
    assert main(["inspect", str(phantom)]) == 3
    assert any(line.startswith(f"not there: {count} names: ") for line in capsys.readouterr().out.splitlines())


def test_files_that_no_index_lists_are_one_line(phantom: Path, tmp_path: Path, capsys: Capture) -> None:
    for number in range(20):
        (phantom / f"imagesTr/loose_{number}.nii.gz").write_bytes(b"x")
    assert protect(phantom, tmp_path / "out") == 3
    said = [line for line in capsys.readouterr().out.splitlines() if "loose" in line]
    assert said == [
        "left out: 20 images: is not listed in dataset.json (imagesTr/loose_0.nii.gz, imagesTr/loose_1.nii.gz, "
        "imagesTr/loose_10.nii.gz; and 17 more)"
    ]


def test_a_declared_test_split_without_labels_is_counted_and_no_fault(
    make_decathlon: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    assert protect(make_decathlon(tmp_path / "in"), tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "skipped: case_900: no label (test split)" in said and "1 left out" in said
    assert "1 file of INPUT with images or labels, or what may be some, is NOT in it" in said


def test_an_image_without_a_label_that_nobody_declared_is_exit_code_3(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    root = pictures(3)
    (root / "masks/case_1.png").unlink()
    assert protect(root, tmp_path / "out") == 3
    assert "skipped: case_1: no label" in capsys.readouterr().out
    assert not (tmp_path / "out/images/case_1.png").exists()


def test_a_format_that_is_not_read_is_named_with_its_label(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    root = pictures(3)
    (root / "images/case_1.png").rename(root / "images/case_1.bmp")
    assert protect(root, tmp_path / "out") == 3
    said = capsys.readouterr().out
    assert re.search(r"failed: case_1: images/case_1\.bmp: expected one of .*, got \.bmp; convert it to PNG", said)
    assert "2 files of INPUT with images or labels, or what may be some, are NOT in it" in said


def test_a_label_that_is_an_image_never_takes_its_place(
    make_decathlon: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    """An index that names an image as a label would release it as it is."""
    root = make_decathlon(tmp_path / "in", cases=3, test=False)
    index = json.loads((root / "dataset.json").read_text())
    index["training"][1]["label"] = index["training"][1]["image"]
    index["training"][2]["label"] = index["training"][0]["image"]
    (root / "dataset.json").write_text(json.dumps(index))
    assert protect(root, tmp_path / "out") == 3
    said = capsys.readouterr().out
    assert said.count("got one twice; rename one of the files") == 1
    assert said.count("expected a label of its own") == 1
    first = "imagesTr/case_000.nii.gz"
    assert (tmp_path / "out" / first).read_bytes() != (root / first).read_bytes()
    assert [path.name for path in (tmp_path / "out/imagesTr").iterdir()] == ["case_000.nii.gz"]
