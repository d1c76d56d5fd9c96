# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from umed.cases.series_figures import Figures
from umed.cases.source import Unit
from umed.core.types import Encoding, Volume
from umed.plan.budget import make_budget
from umed.plan.metrics import measure
from umed.plan.regions import make_regions


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_series_in_spans_has_the_figures_of_the_same_voxels_in_a_file(colours: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    dtype, code = (np.uint8, Encoding("|u1")) if colours else (np.int16, Encoding("<i2", slope=2.0, inter=-100.0))
    stored = rng.integers(40, 200, (7, 30, 32, *colours)).astype(dtype)
    labels = np.zeros((7, 30, 32), np.uint8)
    labels[1:6, 8:20, 10:22] = 1

    def volume(values: np.ndarray) -> Volume:
        return Volume(values, code, (1.0,) * 3, "px" if colours else "mm", bool(colours), Path("a"))

    whole = volume(stored)
    regions = make_regions(labels, radius=2, slice_axis=0)
    window = "dtype" if colours else (-50.0, 400.0)
    budget = make_budget(whole, epsilon=0.03, range=window)
    new = stored.copy()
    new[regions.box][regions.support] += dtype(4)
    expected = measure(whole, new, regions, budget, slice_axis=0)
    found = Figures()
    for part in (slice(0, 3), slice(3, 7)):
        near = make_regions(labels[part], radius=2, slice_axis=0)
        unit = Unit("a", (volume(stored[part]),), near, (budget,))
        found.add(unit, stored[part], new[part])
    figures = found.to_dict()
    assert figures.keys() == expected.keys()
    for name in ("psnr", "psnr_roi", "delta_e", "delta_e_roi", "roi_share", "voxels_changed", "largest_step"):
        assert figures[name] == pytest.approx(expected[name], rel=1e-3, abs=2e-4), name
    assert figures["delta_e_roi_99"] == pytest.approx(expected["delta_e_roi_99"], rel=0.02)
