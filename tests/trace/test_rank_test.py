# SPDX-License-Identifier: Apache-2.0
"""The test of a trace is exact, whatever a network answers, as long as it does not know what was published."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from umed.protect.commitment import ALPHA
from umed.trace.rank_test import LEVELS, cases_needed, holm, rank_test, tail_of_choices


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda more: st.lists(st.lists(st.integers(-6, 6), min_size=more + 1, max_size=more + 1), max_size=7)
    )
)
def test_p_is_the_share_of_all_choices(rows: list[list[int]]) -> None:
    found = rank_test([float(row[0]) for row in rows], [[float(one) for one in row[1:]] for row in rows])
    counted = [row for row in rows if len(set(row)) > 1]
    assert found.cases == len(counted) and found.won == sum(row[0] > max(row[1:]) for row in counted)
    if not counted:
        assert found.p == 1
        return
    aligned = [[one - sum(row) / len(row) for one in row] for row in counted]
    every = sorted(one for row in aligned for one in row)
    places = {one: np.mean([i for i, other in enumerate(every) if abs(other - one) < 1e-9]) for one in every}
    most = max(places.values())
    steps = [[round(places[one] * LEVELS / most) for one in row] for row in aligned]
    sums = [sum(choice) for choice in product(*steps)]
    assert found.p == pytest.approx(sum(one >= sum(row[0] for row in steps) for one in sums) / len(sums), abs=1e-12)
    assert found.least == pytest.approx(sum(one == max(sums) for one in sums) / len(sums), abs=1e-12)


def test_agrees_with_wilcoxon_where_there_is_one_other_copy() -> None:
    rng = np.random.default_rng(0)
    for count in (20, 50, 400):
        differences = rng.normal(0.3, 1, count)
        ours = rank_test(differences.tolist(), [[0.0]] * count).p
        theirs = float(wilcoxon(differences, alternative="greater", method="exact" if count <= 50 else "auto").pvalue)
        assert abs(np.log10(ours) - np.log10(theirs)) < 0.2  # their weights are 1, 2, 3 ..., ours 1, 3, 5 ...


def test_two_thousand_innocent_networks_reach_alpha_no_oftener_than_alpha() -> None:
    """Answers of any kind (ties, heavy tails, copies that differ in quality), then draws that know nothing of them."""
    rng = np.random.default_rng(1)
    tried, small = 2000, {0.05: 0, 0.01: 0, ALPHA: 0}
    for number in range(tried):
        cases, copies = int(rng.integers(4, 40)), int(rng.choice([2, 3, 9]))
        scores = rng.standard_t(2, (cases, copies)) * 0.1 + rng.normal(0, 0.5, (cases, 1))
        if number % 3 == 0:
            scores = scores.round(1)
        scores = scores + rng.choice([0.0, 1.0]) * np.arange(copies)  # one draw may well be the strongest one
        published = rng.integers(0, copies, cases)
        first = scores[np.arange(cases), published]
        rest = [
            [one for place, one in enumerate(row) if place != mine] for row, mine in zip(scores, published, strict=True)
        ]
        p = rank_test(first.tolist(), rest).p
        for level in small:
            small[level] += p <= level
    for level, times in small.items():
        limit = tried * level + 4 * np.sqrt(tried * level)  # four standard deviations
        assert times <= limit, f"{times} of {tried} at {level}"
    assert small[0.05] > tried * 0.05 * 0.6  # and it is not blind


def test_a_network_that_knows_the_copies_is_found_and_more_copies_tell_more() -> None:
    rng = np.random.default_rng(2)
    cases = rng.normal(0.8, 0.1, (400, 1))
    twins, published = cases + rng.normal(0, 0.01, (400, 8)), cases[:, 0] + rng.normal(0.004, 0.01, 400)
    few, many = (rank_test(published.tolist(), twins[:, :count].tolist()).p for count in (1, 8))
    assert many < few < 1e-4 and many < 1e-9


def test_thousands_of_cases_never_give_0() -> None:
    found = rank_test(np.linspace(0.1, 0.9, 1200).tolist(), [[0.0]] * 1200)
    assert 0 < found.p < 1e-300 and 0 < found.least < 1e-300


@pytest.mark.parametrize("twins", [1, 2, 8])
def test_few_cases_can_prove_nothing(twins: int) -> None:
    few = cases_needed(ALPHA, twins + 1) - 1
    best = rank_test([1.0] * few, [[0.0] * twins] * few)
    assert best.p == pytest.approx(best.least) and best.least > ALPHA
    assert rank_test([1.0] * (few + 1), [[0.0] * twins] * (few + 1)).p <= ALPHA


@pytest.mark.parametrize(
    "scores",
    [([1.0], []), ([float("nan")], [[1.0]]), ([1.0], [[float("inf")]]), ([1.0], [[]]), ([1.0, 2.0], [[1.0]])],
)
def test_scores_that_are_none_are_refused(scores: tuple[list[float], list[list[float]]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        rank_test(*scores)


def test_tails_are_shares() -> None:
    steps = np.array([[0, 1, 1], [3, 1, 7], [0, 0, 2]])
    every = [sum(choice) for choice in product(*steps.tolist())]
    for least in range(-1, 12):
        assert tail_of_choices(steps, least) == pytest.approx(sum(one >= least for one in every) / 27)


def test_holm_never_makes_p_smaller_and_keeps_its_order() -> None:
    p = [0.2, 0.001, 0.04]
    corrected = holm(p)
    assert corrected == pytest.approx([0.2, 0.003, 0.08])
    assert holm([0.5]) == [0.5]
