# SPDX-License-Identifier: Apache-2.0
"""Row 4: a declared modality wins over what the values look like."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.range_files import ct, decathlon, nnunet, pet, protect, record, run


@pytest.mark.parametrize("name", ["MRI", "T1", "FLAIR", "PET", "US", "noNorm", "zscore", "rescale_to_0_1", "unknown"])
def test_integers_below_minus_500_are_no_ct_where_another_modality_is_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = decathlon(tmp_path / "in", {"0": name}, {"a": ct(0, inside=700.0), "b": ct(1, inside=700.0)})
    code, said = run(capsys, "plan", root, "--method", "checkerboard", "--json")
    found = json.loads(said)
    assert code == 0 and found["range"] == "percentile"
    [why] = [text for text in found["why"] if text.startswith("range ")]
    assert f"dataset.json says {name}, though whole numbers below -500 look like Hounsfield units" in why


@pytest.mark.parametrize("name", ["CT", "ct", "CTA", "CT venous", "NCCT"])
def test_ct_is_ct_by_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    root = nnunet(tmp_path / "in", {"0": name}, {"a": (ct(0, inside=700.0),)})
    code, said = run(capsys, "plan", root, "--method", "checkerboard", "--json")
    assert code == 0 and json.loads(said)["range"] == [-500.0, 1300.0]


def test_a_name_that_declares_nothing_leaves_it_to_the_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = nnunet(tmp_path / "in", {"0": "channel 0", "1": "image"}, {"a": (ct(0), pet(0))})
    code, said = run(capsys, "plan", root, "--method", "checkerboard", "--json")
    assert code == 0 and json.loads(said)["range"] == [[-160.0, 240.0], "percentile"]


def test_declared_mr_of_mixed_scales_is_protected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"a": ct(0), "b": (pet(1) / 13).astype(np.float32), "c": (100 * pet(2)).astype(np.uint16)}
    assert protect(capsys, decathlon(tmp_path / "in", {"0": "MRI"}, cases), tmp_path / "out")[0] == 0
    assert record(tmp_path / "out")["plan"]["range"] == "percentile"
