# SPDX-License-Identifier: Apache-2.0
"""Exact p-values of the three tests of a trace.

All of them condition on what the suspect network answered. If it never saw the release, its answers do not depend on
the owner's coins, which were drawn evenly and are the only thing that is random here. So each null distribution is known
whatever the network is, without another network to compare with (a permutation test in the sense of Fisher 1935; see
Hemerik and Goeman, arXiv 1411.7565, for why the drawn one must count). Statistics are whole numbers, so that the null
distributions are sums of whole numbers, found by convolution and not by drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

STEPS = 1000
"""Whole numbers that the largest value of a statistic's summand is cut into."""


@dataclass(frozen=True)
class TestResult:
    """What one test says.

    Args:
        statistic: its value.
        p: probability, under the null hypothesis, of a value at least as large, in (0, 1].
        least: the smallest ``p`` that so many coins can give at all.
        coins: how many of them counted.
    """

    __test__ = False  # not a test of pytest
    statistic: float
    p: float
    least: float
    coins: int


def coin_test(published: Sequence[float], twins: Sequence[float]) -> TestResult:
    """Test A: how often the published copy of a case scores better than its twin, which an even coin put aside.

    A case whose two copies score the same says nothing and is left out, which depends on the answers alone.

    Args:
        published: score of each case's published copy, higher is better; finite.
        twins: score of its twin.

    Returns:
        Number of cases won, and the probability that even coins win as many (binomial with 1/2).

    Raises:
        ValueError: when the numbers of scores differ, or one is not finite.

    >>> coin_test([0.9, 0.8, 0.7], [0.8, 0.7, 0.7])
    TestResult(statistic=2.0, p=0.25, least=0.25, coins=2)
    """
    left, right = _finite(published), _finite(twins)
    if left.shape != right.shape:
        raise ValueError(f"expected a twin for each published copy, got {len(left)} and {len(right)}.")
    count, won = int((left != right).sum()), int((left > right).sum())
    if not count:
        return TestResult(0.0, 1.0, 1.0, 0)
    p = float(binomtest(won, count, 0.5, alternative="greater").pvalue)
    return TestResult(float(won), min(p, 1.0), 0.5**count, count)


def flip_test(differences: Sequence[float]) -> TestResult:
    """Test B: whether groups answer more to the mark that they carry than to its twin, by flips of all signs.

    Args:
        differences: response to the published mark less that to its twin, one a group; finite.

    Returns:
        Sum of the differences, each cut to whole :data:`STEPS` of the largest, and the share of all ``2 ** groups``
        flips of their signs that reach it.

    Raises:
        ValueError: when a difference is not finite.

    >>> flip_test([1.0, 1.0, 1.0]).p, flip_test([1.0, -1.0]).p, flip_test([0.0, 0.0]).p
    (0.125, 0.75, 1.0)
    """
    given = _finite(differences)
    largest = float(np.abs(given).max(initial=0.0))
    if largest == 0:
        return TestResult(0.0, 1.0, 1.0, 0)
    whole = np.rint(given / largest * STEPS).astype(np.int64)
    whole = whole[whole != 0]
    sizes = np.abs(whole)
    # With heads a size counts twice, with tails not at all: the same as its sign, moved to whole numbers from 0.
    weights = [np.array([0.5, 0.5])] * len(sizes)
    p = _tail([np.array([0, 2 * size]) for size in sizes], weights, int((whole + sizes).sum()))
    return TestResult(float(whole.sum() / STEPS), p, 0.5 ** len(sizes), len(sizes))


def rank_test(responses: NDArray[np.float64], drawn: Sequence[int]) -> TestResult:
    """Test C: whether the marks that were drawn rank high among all that might have been.

    Args:
        responses: of each of M candidate marks, ``(M,)`` float64; finite.
        drawn: number of the mark of each group, drawn evenly and on its own.

    Returns:
        Sum over the groups of ``-log(rank / M)`` in whole :data:`STEPS` of ``log(M)``, and the probability that marks
        drawn anew reach it. Of candidates that respond alike each has the worst rank.

    Raises:
        ValueError: when a response is not finite, or a number is not that of a candidate.

    >>> rank_test(np.arange(100.0), [99]).p
    0.01
    """
    given, count = _finite(responses), len(responses)
    numbers = np.asarray(drawn, np.int64)
    if not len(numbers) or numbers.min(initial=0) < 0 or numbers.max(initial=0) >= count:
        raise ValueError(f"expected numbers of {count} candidates, got {list(drawn)}.")
    ranks = count - np.searchsorted(np.sort(given), given, side="left")
    top = np.log(max(count, 2))
    scores = np.rint(-np.log(ranks / count) / top * STEPS).astype(np.int64)
    values, times = np.unique(scores, return_counts=True)
    p = _tail([values] * len(numbers), [times / count] * len(numbers), int(scores[numbers].sum()))
    return TestResult(float(scores[numbers].sum() / STEPS), p, float((1 / count) ** len(numbers)), len(numbers))


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


def wins_needed(coins: int, alpha: float) -> int | None:
    """Cases that must be won of so many for ``p <= alpha`` in test A; ``None`` where all of them are too few.

    >>> wins_needed(20, 1e-3), wins_needed(5, 1e-3)
    (18, None)
    """
    won = int(binom.isf(alpha, coins, 0.5)) + 1
    return won if coins and won <= coins and binom.sf(won - 1, coins, 0.5) <= alpha else None


def _tail(values: Sequence[NDArray[np.int64]], weights: Sequence[NDArray[np.float64]], least: int) -> float:
    """Probability that a sum of independent whole numbers from 0 is ``least`` or more."""
    total = np.ones(1)
    for numbers, shares in zip(values, weights, strict=True):
        longer = np.zeros(len(total) + int(numbers.max()))
        for number, share in zip(numbers, shares, strict=True):
            longer[number : number + len(total)] += share * total
        total = longer
    p = float(total[max(least, 0) :].sum())
    return min(p, 1.0)


def _finite(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    if not np.isfinite(given).all():
        raise ValueError("expected finite numbers, got some that are not: an answer may be missing or broken.")
    return given
