# SPDX-License-Identifier: Apache-2.0
"""The test of a trace is exact, whatever a network answers, as long as it does not know the coins."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from umed.protect.commitment import ALPHA
from umed.trace.coin_test import coin_test, coins_needed, holm, tail_of_flips

DOCS = Path(__file__).resolve().parents[2] / "docs"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=11))
def test_p_is_the_share_of_all_flips(differences: list[int]) -> None:
    found = coin_test([float(one) for one in differences], [0.0] * len(differences))
    counted = [one for one in differences if one]
    if not counted:
        assert found.p == 1 and found.coins == 0
        return
    sizes = np.abs(counted)
    ranks = [(np.sum(sizes < one) + np.sum(sizes <= one) + 1) / 2 for one in sizes]
    observed = sum(rank for rank, one in zip(ranks, counted, strict=True) if one > 0)
    flips = list(product((0, 1), repeat=len(ranks)))
    reach = sum(sum(r * f for r, f in zip(ranks, flip, strict=True)) >= observed - 1e-9 for flip in flips)
    assert found.p == pytest.approx(reach / len(flips), abs=1e-12)
    assert found.won == sum(one > 0 for one in counted)


def test_agrees_with_scipy_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(0)
    for count in (8, 20, 50):
        differences = rng.normal(0.3, 1, count)
        ours = coin_test(differences.tolist(), [0.0] * count).p
        theirs = wilcoxon(differences, alternative="greater", method="exact" if count <= 50 else "auto").pvalue
        assert ours == pytest.approx(float(theirs), rel=1e-9)


def test_two_thousand_innocent_networks_reach_alpha_no_oftener_than_alpha() -> None:
    """Answers of any kind (ties, heavy tails, copies that differ in quality), then coins that know nothing of them."""
    rng = np.random.default_rng(1)
    tried, small = 2000, {0.05: 0, 0.01: 0, ALPHA: 0}
    for number in range(tried):
        cases = int(rng.integers(10, 120))
        first, second = rng.standard_t(2, (2, cases)) * 0.1 + rng.choice([0.0, 0.5])
        if number % 3 == 0:
            first, second = first.round(1), second.round(1)
        second = second + rng.choice([0.0, 1.0])  # one of the two codes may well be the stronger one
        coins = rng.random(cases) < 0.5
        published, twins = np.where(coins, first, second), np.where(coins, second, first)
        p = coin_test(published.tolist(), twins.tolist()).p
        for level in small:
            small[level] += p <= level
    for level, times in small.items():
        limit = tried * level + 4 * np.sqrt(tried * level)  # four standard deviations
        assert times <= limit, f"{times} of {tried} at {level}"
    assert small[0.05] > tried * 0.05 * 0.6  # and it is not blind


def test_a_network_that_knows_the_copies_is_found() -> None:
    rng = np.random.default_rng(2)
    twins = rng.normal(0.8, 0.1, 400)
    assert coin_test((twins + rng.normal(0.004, 0.01, 400)).tolist(), twins.tolist()).p < 1e-9


def test_thousands_of_coins_never_give_0() -> None:
    found = coin_test(np.linspace(0.1, 0.9, 1200).tolist(), [0.0] * 1200)
    assert 0 < found.p < 1e-300


def test_few_coins_can_prove_nothing() -> None:
    few = coins_needed(ALPHA) - 1
    best = coin_test([1.0] * few, [0.0] * few)
    assert best.p == best.least > ALPHA
    assert coin_test([1.0] * (few + 1), [0.0] * (few + 1)).p <= ALPHA


@pytest.mark.parametrize("scores", [([1.0], []), ([float("nan")], [1.0]), ([1.0], [float("inf")])])
def test_scores_that_are_none_are_refused(scores: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        coin_test(*scores)


def test_tails_are_shares() -> None:
    sizes = np.array([1, 1, 2, 5])
    every = [sum(s * f for s, f in zip(sizes, flip, strict=True)) for flip in product((0, 1), repeat=4)]
    for least in range(-1, 11):
        assert tail_of_flips(sizes, least) == pytest.approx(sum(one >= least for one in every) / 16)


def test_holm_never_makes_p_smaller_and_keeps_its_order() -> None:
    p = [0.2, 0.001, 0.04]
    corrected = holm(p)
    assert corrected == pytest.approx([0.2, 0.003, 0.08])
    assert holm([0.5]) == [0.5]


def test_the_table_of_cases_in_the_docs_is_exact() -> None:
    """Least share of the ranks, and of wins where all differences are of one size, for two levels."""
    rows = (DOCS / "trace.md").read_text(encoding="utf-8").splitlines()
    for cases in (10, 20, 30, 50, 100, 200, 400):
        cells = [str(cases)]
        for level in (1e-3, 1e-6):
            said = []
            for sizes in (np.arange(1, cases + 1), np.ones(cases, np.int64)):
                low, high = 0, int(sizes.sum()) + 1  # the first sum whose share of flips is small enough
                while low < high:
                    middle = (low + high) // 2
                    low, high = (low, middle) if tail_of_flips(sizes, middle) <= level else (middle + 1, high)
                said.append(low / int(sizes.sum()))
            share, won = said
            cells.append(f"{100 * share:.3g} %, {won * cases:.0f}" if share <= 1 else "impossible")
        assert f"| {' | '.join(cells)} |" in rows, cells
