# SPDX-License-Identifier: Apache-2.0
"""Exact p-values of a trace.

They condition on what the suspect network answered. If it never saw the release, its answers do not depend on the
owner's coins, which were tossed evenly and are the only thing that is random here. So the null distribution is known
whatever the network is, without another network to compare with (a randomisation test, Fisher 1935). It is summed up
and not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


@dataclass(frozen=True)
class TestResult:
    """What one test says.

    Args:
        statistic: its value.
        p: probability, under the null hypothesis, of a value at least as large, in (0, 1].
        least: the smallest ``p`` that so many coins can give at all.
        coins: how many of them counted.
        won: how many the published copy won.
    """

    __test__ = False  # not a test of pytest
    statistic: float
    p: float
    least: float
    coins: int
    won: int


def coin_test(published: Sequence[float], twins: Sequence[float]) -> TestResult:
    """Test A: whether the published copy of a case scores better than its twin, which an even coin put aside.

    Wilcoxon's signed ranks (1945) of the differences; cases whose copies score the same say nothing and are left out,
    ties share their mean rank. Both depend on the answers alone, so that even coins make every flip of the signs as
    likely as any other.

    Args:
        published: score of each case's published copy, higher is better; finite.
        twins: score of its twin.

    Returns:
        Sum of the ranks of the cases that the published copy won, and the share of all ``2 ** n`` flips that reach it.

    Raises:
        ValueError: when the numbers of scores differ, or one is not finite.

    >>> coin_test([0.9, 0.8, 0.7], [0.8, 0.75, 0.7])
    TestResult(statistic=3.0, p=0.25, least=0.25, coins=2, won=2)
    """
    left, right = _finite(published), _finite(twins)
    if left.shape != right.shape:
        raise ValueError(f"expected a twin for each published copy, got {len(left)} and {len(right)}.")
    differences = left - right
    differences = differences[differences != 0]
    if not len(differences):
        return TestResult(0.0, 1.0, 1.0, 0, 0)
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)  # twice, so that shared ones are whole
    won = differences > 0
    p = tail_of_flips(ranks, int(ranks[won].sum()))
    return TestResult(float(ranks[won].sum() / 2), p, 0.5 ** len(ranks), len(ranks), int(won.sum()))


def tail_of_flips(sizes: NDArray[np.int64], least: int) -> float:
    """Share of all subsets of whole numbers whose sum is ``least`` or more; exact but for the rounding of floats.

    >>> tail_of_flips(np.array([1, 2, 3]), 5)
    0.25
    """
    shares = np.zeros(int(sizes.sum()) + 1)
    shares[0], top = 1.0, 0
    for size in sizes.tolist():
        moved = shares[: top + 1] / 2
        shares[: top + 1] = moved
        shares[size : size + top + 1] += moved
        top += size
    # Never 0: of more than a thousand coins the smallest shares are none that a float can hold.
    return min(1.0, max(float(shares[max(least, 0) :].sum()), float(np.finfo(np.float64).tiny)))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, corrected, running = np.argsort(p, kind="stable"), [0.0] * len(p), 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = running
    return corrected


def coins_needed(alpha: float) -> int:
    """Fewest cases with which test A can reach ``p <= alpha`` at all: all of them must be won.

    >>> coins_needed(1e-3), coins_needed(1e-6)
    (10, 20)
    """
    return int(np.ceil(-np.log2(alpha)))


def _finite(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    if not np.isfinite(given).all():
        raise ValueError("expected finite numbers, got some that are not: an answer may be missing or broken.")
    return given
