# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from umed.benchmark.results.cells import Scores
from umed.benchmark.results.statistics import (
    RESAMPLES,
    SEED,
    Distance,
    as_array,
    by_case,
    class_means,
    distances,
    estimate,
    interval,
    mean_of,
    paired,
)


def table(*values: float | None) -> tuple[tuple[float | None], ...]:
    return tuple((value,) for value in values)


def test_mean_over_cases_then_seeds_by_hand() -> None:
    ids, grid = by_case({0: (("a", "b"), table(0.8, 0.6)), 1: (("b", "a"), table(0.4, 0.6))})
    assert ids == ["a", "b"] and grid.tolist() == [[0.8, 0.6], [0.6, 0.4]]
    found = estimate(grid)
    assert found.mean == pytest.approx(0.6)
    assert found.sd == pytest.approx(math.sqrt(0.02))  # means 0.7 and 0.5: (0.1^2 + 0.1^2) / (2 - 1)
    assert found.low == pytest.approx(0.5) and found.high == pytest.approx(0.7)  # cases' means 0.7 and 0.5


def test_class_that_a_case_lacks_is_no_zero() -> None:
    _, grid = by_case({0: (("a", "b", "c"), ((0.5, None), (0.7, 0.9), (None, None)))})
    assert grid[0, :2].tolist() == pytest.approx([0.5, 0.8]) and math.isnan(grid[0, 2])
    assert estimate(grid).mean == pytest.approx(0.65)
    assert class_means([((0.5, None), (0.7, 0.9))]) == pytest.approx([0.6, 0.9])
    assert math.isnan(class_means([((0.5, None),)])[1])


def test_infinities_and_nan_are_no_figures() -> None:
    assert np.isnan(as_array(((float("inf"), float("nan"), None),))).all()


def test_one_seed_has_no_deviation_one_case_no_interval() -> None:
    found = estimate(np.array([[0.7]]))
    assert found.mean == 0.7 and math.isnan(found.sd) and math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("grid", [np.empty((0, 0)), np.empty((0, 3)), np.full((2, 2), np.nan)])
def test_nothing_gives_nan_without_a_warning(grid: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(estimate(grid).mean) and math.isnan(float(mean_of(grid)))


def test_interval_is_the_percentile_bootstrap_over_cases() -> None:
    values = np.random.default_rng(5).uniform(0, 1, 17)
    drawn = np.random.default_rng(SEED).integers(0, 17, (RESAMPLES, 17))
    expected = np.percentile([values[row].mean() for row in drawn], (2.5, 97.5))
    assert interval(values) == pytest.approx(tuple(expected))
    with_gap = np.append(values, np.nan)
    assert interval(with_gap) == interval(values)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        low, high = interval(rng.normal(0.7, 0.1, 40))
        hits += low <= 0.7 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_paired_difference_uses_common_cases_only() -> None:
    protected = (["a", "b", "c"], np.array([[0.3, 0.5, 0.9], [0.5, 0.5, np.nan]]))
    clean = (["a", "b", "d"], np.array([[0.8, 0.9, 0.1]]))
    found, pairs = paired(protected, clean)
    assert pairs == 2 and found.mean == pytest.approx(-0.4) and math.isnan(found.sd)
    assert found.low == pytest.approx(-0.4) and found.high == pytest.approx(-0.4)  # both differ by -0.4
    nothing, pairs = paired(protected, (["x"], np.array([[0.5]])))
    assert pairs == 0 and math.isnan(nothing.mean)


def test_distances_count_what_was_not_found() -> None:
    first = Scores(1, ((0.9, 0.0), (0.8, None)), ((2.0, None), (4.0, None)))
    second = Scores(1, ((0.9, 0.1), (0.8, None)), ((3.0, 7.0), (4.0, None)))
    assert distances([first, second]) == Distance(4.0, 1, 6)  # None without the class is not missing
    empty = distances([Scores(1, ((0.9,),))])
    assert empty.values == 0 and math.isnan(empty.mean)
