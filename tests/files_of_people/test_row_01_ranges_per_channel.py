# SPDX-License-Identifier: Apache-2.0
"""Row 1: CT and PET in one data set. Each channel has a range of its own, as files and as channels of one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.range_files import LABELS, ct, decathlon, largest, nnunet, pet, protect, record, run, save, stored

SHARE = 4 / 255


def own_width(values: np.ndarray) -> float:
    """Width of percentiles 0.5 to 99.5."""
    low, high = np.percentile(values, (0.5, 99.5), method="nearest")
    return float(high) - float(low)


def psnr_inside(before: np.ndarray, after: np.ndarray) -> float:
    """PSNR in the ROI, on the values' own width."""
    error = float(np.square(after - before, dtype=float)[LABELS > 0].mean())
    return float(10 * np.log10(own_width(before) ** 2 / error))


def test_ct_and_pet_as_files_have_a_range_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"0": "CT", "1": "PET"}
    root = nnunet(tmp_path / "in", names, {f"p{i}": (ct(i), pet(i, 1.0 + i)) for i in range(2)})
    code, said = run(capsys, "plan", root, "--method", "checkerboard")
    assert code == 0
    assert "range [-160, 240] HU for channel 0 (CT): ct:soft, because dataset.json says CT" in said
    assert "range percentile for channel 1 (PET): dataset.json says PET" in said and "own percentiles" in said
    out = tmp_path / "out"
    code, said = protect(capsys, root, out)
    assert code == 0, said
    assert record(out)["plan"]["range"] == [[-160.0, 240.0], "percentile"]
    for number in range(2):
        first, second = (f"imagesTr/p{number}_000{channel}.nii.gz" for channel in (0, 1))
        assert largest(root / first, out / first) == 6
        before, after = stored(root / second), stored(out / second)
        bound = SHARE * own_width(before)
        assert 0.9 * bound < largest(root / second, out / second) <= bound * (1 + 1e-6)
        assert psnr_inside(before, after) > 35
    assert run(capsys, "verify", root, out)[0] == 0


@pytest.mark.parametrize("named", [True, False])
def test_ct_and_pet_in_one_file_have_a_budget_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: bool
) -> None:
    values = {f"p{i}": np.stack([ct(i), pet(i)], -1).astype(np.float32) for i in range(2)}
    root, out = decathlon(tmp_path / "in", {"0": "CT", "1": "PT"}, values), tmp_path / "out"
    options = ["--range", "ct:soft,percentile"] if named else []
    code, said = protect(capsys, root, out, *options)
    assert code == 0, said
    before, after = (stored(one / "imagesTr/p0.nii.gz").astype(float) for one in (root, out))
    moved = np.abs(after - before).max(axis=(0, 1, 2))
    bounds = SHARE * 400, SHARE * own_width(before[..., 1])
    assert all(0.9 * bound < step <= bound * (1 + 1e-6) for step, bound in zip(moved, bounds, strict=True))
    [figures] = record(out)["p0"]["files"]
    ct_figures, pet_figures = figures["channels"]
    assert ct_figures["range"] == [-160, 240] and pet_figures["range"][1] < 14
    assert ct_figures["bound_stored"] == pytest.approx(bounds[0]) and pet_figures["bound_stored"] == pytest.approx(
        bounds[1]
    )
    assert pet_figures["psnr_roi"] > 35 and ct_figures["psnr_roi"] > 35 and figures["psnr"] > 40
    assert "for channel 0" in (tmp_path / "out-private/report.html").read_text()
    promise = ["--epsilon", "4/255", "--radius", "3px", "--range", "ct:soft,percentile"]
    (tmp_path / "out-private").rename(tmp_path / "aside")
    code, said = run(capsys, "verify", root, out, *promise)
    assert code == 0, said
    assert "channel 0: range [-160, 240], no value moves by more than 6.275" in said
    assert "channel 1: range from percentile 0.5 to 99.5 of each image" in said
    code, said = run(capsys, "verify", root, out, *promise[:-1], "-160:240,0:5")
    assert code == 1 and "outside the range" in said


def test_verify_finds_a_step_that_only_the_wider_channel_may_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = decathlon(tmp_path / "in", {"0": "CT", "1": "PET"}, {"p": np.stack([ct(), pet()], -1).astype(np.float32)})
    out = tmp_path / "out"
    assert protect(capsys, root, out)[0] == 0
    name = "imagesTr/p.nii.gz"
    values = stored(out / name).copy()
    values[8, 8, 8, 1] += 2.0
    save(out / name, values)
    code, said = run(capsys, "verify", root, out, "--epsilon", "4/255", "--radius", "3px")
    assert code == 1 and "expected changes of at most 0.1" in said, said


def test_channels_of_one_kind_in_one_file_take_their_own_percentiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.stack([pet(0), pet(1, 1000.0)], -1)
    root, out = decathlon(tmp_path / "in", {"0": "T1", "1": "FLAIR"}, {"p": values}), tmp_path / "out"
    assert protect(capsys, root, out)[0] == 0
    assert record(out)["plan"]["range"] == ["percentile", "percentile"]
    moved = np.abs(stored(out / "imagesTr/p.nii.gz").astype(float) - values).max(axis=(0, 1, 2))
    assert moved == pytest.approx([SHARE * own_width(values[..., i]) for i in range(2)], rel=1e-3)


def test_a_psnr_target_is_reached_by_each_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = decathlon(tmp_path / "in", {"0": "CT", "1": "PET"}, {"p": np.stack([ct(), pet()], -1).astype(np.float32)})
    out = tmp_path / "out"
    assert protect(capsys, root, out, "--epsilon", "8/255", "--psnr-target", "48")[0] == 0
    [figures] = record(out)["p"]["files"]
    assert all(one["psnr"] >= 48 for one in figures["channels"]) and figures["psnr"] >= 48


def test_a_map_of_perfusion_is_no_ct(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = nnunet(tmp_path / "in", {"0": "CT", "1": "CT_CBF"}, {"p": (ct(), 10 * pet())})
    code, said = run(capsys, "plan", root, "--method", "checkerboard", "--json")
    assert code == 0 and json.loads(said)["range"] == [[-160.0, 240.0], "percentile"]


def test_ranges_for_another_number_of_channels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = nnunet(tmp_path / "in", {"0": "CT", "1": "PET"}, {"p": (ct(), pet())})
    code, said = protect(capsys, root, tmp_path / "out", "--range", "ct:soft,percentile,dtype")
    assert code == 2 and "one for each of the 2" in said and not (tmp_path / "out").exists()
    code, said = protect(capsys, root, tmp_path / "out", "--range", "ct:soft,auto")
    assert code == 0 and record(tmp_path / "out")["plan"]["range"] == [[-160.0, 240.0], "percentile"]
