# SPDX-License-Identifier: Apache-2.0
"""Row 3: a case in which hardly anything of what is labelled could change is called weak, with the reason; exit 3."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.range_files import LABELS, ct, decathlon, pet, protect, record, run


def test_an_organ_outside_the_window_is_weak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"a": ct(0), "b": ct(1), "bone": ct(2, inside=700.0)}
    root, out = decathlon(tmp_path / "in", {"0": "CT"}, cases), tmp_path / "out"
    code, said = protect(capsys, root, out)
    assert code == 3 and "3 cases: 3 protected" in said
    assert "weak: 1 case: " in said and "bone: only 0 of 512 labelled voxels (0.0%) can change freely" in said
    assert "512 lie outside the range [-160, 240]" in said and "--range" in said
    found = record(out)
    assert "weak" in found["bone"] and "weak" not in found["a"] and found["bone"]["status"] == "protected"
    assert found["a"]["files"][0]["can_change"] == 1.0
    assert "weak: only 0 of 512" in (tmp_path / "out-private/report.html").read_text()
    code, said = protect(capsys, root, out, "--resume")
    assert code == 3 and "weak: 1 case" in said
    code, said = protect(capsys, root, tmp_path / "dry", "--dry-run")
    assert code == 3 and "weak: about 0% of the labelled values can change freely" in said
    assert "weak: about" in run(capsys, "inspect", root)[1]
    code, said = protect(capsys, root, tmp_path / "json", "--json")
    assert code == 3 and sum("weak" in one["measures"] for one in json.loads(said)["outcomes"]) == 1


def test_a_part_outside_the_window_is_not_weak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ct(0)
    values[6:14, 5:8, 4:12] = 900  # three eighths of the organ
    code, said = protect(capsys, decathlon(tmp_path / "in", {"0": "CT"}, {"a": values}), tmp_path / "out")
    assert code == 0 and "weak" not in said
    assert record(tmp_path / "out")["a"]["files"][0]["can_change"] == pytest.approx(5 / 8)


def test_one_of_two_channels_is_enough_to_be_weak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.stack([ct(0, inside=800.0), pet(0)], -1).astype(np.float32)
    root = decathlon(tmp_path / "in", {"0": "CT", "1": "PET"}, {"a": values})
    code, said = protect(capsys, root, tmp_path / "out", "--range", "ct:soft,percentile")
    assert code == 3 and "in channel 0 only 0 of 512" in said and "channel 1" not in said


def test_a_tumour_above_the_percentiles_is_weak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros_like(LABELS)
    labels[8:10, 8:11, 8:11] = 1  # 0.3 % of the voxels, the brightest
    values = np.random.default_rng(0).uniform(0, 2, labels.shape).astype(np.float32) + 9 * labels
    root = decathlon(tmp_path / "in", {"0": "PET"}, {"a": values.astype(np.float32)}, labels)
    code, said = protect(capsys, root, tmp_path / "out")
    assert code == 3 and "18 lie outside the range" in said
    code, said = protect(capsys, root, tmp_path / "wide", "--set", "percentiles=[0, 100]")
    assert code == 0, said


@pytest.mark.parametrize(("colours", "weak"), [(1, True), (3, True), (2, False)])
def test_a_saturated_lesion_is_weak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], colours: int, weak: bool
) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    pixels = rng.integers(20, 230, (32, 32, 3)).astype(np.uint8)
    pixels[mask > 0, : colours if colours > 1 else 3] = 255
    for folder, array in (("images", pixels[..., 0] if colours == 1 else pixels), ("masks", mask)):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "in" / folder / "p.png")
    code, said = protect(capsys, tmp_path / "in", tmp_path / "out")
    assert (code == 3 and "256 are saturated" in said) if weak else (code == 0 and "weak" not in said), said


def test_weak_cases_are_grouped_with_three_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {f"c{number}": ct(number, inside=700.0) for number in range(5)} | {"good": ct(9)}
    root = decathlon(tmp_path / "in", {"0": "CT"}, cases)
    code, said = protect(capsys, root, tmp_path / "out", "--range", "ct:soft")
    assert code == 3 and "weak: 5 cases: " in said
    [line] = [line for line in said.splitlines() if line.startswith("  weak: ")]
    assert all(f"c{number}: only" in line for number in range(3)) and "c3" not in line and "and 2 more" in line
