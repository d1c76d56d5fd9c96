# SPDX-License-Identifier: Apache-2.0
"""Exact p-values of a trace.

They condition on what the suspect network answered. If it never saw the release, its answers do not depend on which of
a case's copies was published: that is drawn evenly from the owner's key, and the only thing that is random here. So the
null distribution is known whatever the network is, without another network to compare with (a randomisation test,
Fisher 1935). It is summed up and not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

LEVELS = 1000
"""Ranks are rounded to so many steps, so that summing up ends soon; the test stays exact, whatever its scores are."""


@dataclass(frozen=True)
class TestResult:
    """What one test says.

    Args:
        statistic: its value.
        p: probability, under the null hypothesis, of a value at least as large, in (0, 1].
        least: the smallest ``p`` that so many cases can give at all.
        cases: how many of them counted.
        won: in how many the published copy scored best.
        copies: of each case, the published one included.
    """

    __test__ = False  # not a test of pytest
    statistic: float
    p: float
    least: float
    cases: int
    won: int
    copies: int = 2


def rank_test(published: Sequence[float], others: Sequence[Sequence[float]]) -> TestResult:
    """Whether the published copy of a case scores better than other draws of its code, which were put aside.

    Aligned ranks (Hodges and Lehmann 1962): the mean of its case is taken from each score, all are ranked together, and
    the ranks of the published copies are summed up. With one other copy that is all but Wilcoxon's signed ranks (1945).
    Cases whose copies all score the same say nothing and are left out; ties share their mean rank. All this follows
    from the answers alone, so that each copy of a case is as likely as any other to be the published one.

    Args:
        published: score of the published copy of each of N cases, higher is better; finite.
        others: scores of its M other copies, ``(N, M)``.

    Returns:
        The sum of the ranks, in steps of :data:`LEVELS`, and the share of all ``(M + 1) ** N`` choices of a published
        copy that reach it.

    Raises:
        ValueError: when the numbers of scores differ, or one is not finite.

    >>> rank_test([0.9, 0.8, 0.7], [[0.8], [0.75], [0.7]])
    TestResult(statistic=1667.0, p=0.25, least=0.25, cases=2, won=2, copies=2)
    """
    first, rest = _finite(published), _finite(others)
    if first.ndim != 1 or rest.shape[:1] != first.shape or rest.ndim != (2 if len(first) else rest.ndim):
        raise ValueError(f"expected other copies of each published one, got {first.shape} and {rest.shape}.")
    if not len(first):
        return TestResult(0.0, 1.0, 1.0, 0, 0)
    if not rest.shape[1]:
        raise ValueError("expected at least one other copy of each case, got none.")
    scores = np.concatenate([first[:, None], rest], axis=1)
    scores = scores[np.ptp(scores, axis=1) > 0]
    copies = scores.shape[1]
    if not len(scores):
        return TestResult(0.0, 1.0, 1.0, 0, 0, copies)
    ranks = rankdata(np.round(scores - scores.mean(1, keepdims=True), 12)) - 1  # ties are ties, whatever was taken off
    steps = np.rint(ranks * (LEVELS / max(ranks.max(), 1))).astype(np.int64).reshape(scores.shape)
    reached = int(steps[:, 0].sum())
    best = np.prod((steps == steps.max(1, keepdims=True)).mean(1))
    won = int((scores[:, 0] > scores[:, 1:].max(1)).sum())
    least = max(float(best), float(np.finfo(np.float64).tiny))
    return TestResult(float(reached), tail_of_choices(steps, reached), least, len(scores), won, copies)


def tail_of_choices(steps: NDArray[np.int64], least: int) -> float:
    """Share of all choices of one whole number a row whose sum is ``least`` or more; exact but for rounding of floats.

    >>> tail_of_choices(np.array([[0, 1], [0, 2], [0, 3]]), 5)
    0.25
    """
    lowest = steps.min(1)
    above = steps - lowest[:, None]
    shares = np.zeros(int(above.max(1).sum()) + 1)
    shares[0], top = 1.0, 0
    for row in above:
        values, times = np.unique(row, return_counts=True)
        before = shares[: top + 1] / len(row)
        top += int(values[-1])
        shares[: top + 1] = 0
        for value, count in zip(values.tolist(), times.tolist(), strict=True):
            shares[value : value + len(before)] += count * before
    # Never 0: of very many cases the smallest shares are none that a float can hold.
    tail = float(shares[max(least - int(lowest.sum()), 0) :].sum())
    return min(1.0, max(tail, float(np.finfo(np.float64).tiny)))


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


def cases_needed(alpha: float, copies: int = 2) -> int:
    """Fewest cases with which ``p <= alpha`` can be reached at all: the published copy must be the best of each.

    >>> cases_needed(1e-3), cases_needed(1e-6), cases_needed(1e-6, 9)
    (10, 20, 7)
    """
    return math.ceil(round(-math.log(alpha) / math.log(copies), 9))


def _finite(values: Sequence[float] | Sequence[Sequence[float]]) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    if not np.isfinite(given).all():
        raise ValueError("expected finite numbers, got some that are not: an answer may be missing or broken.")
    return given
