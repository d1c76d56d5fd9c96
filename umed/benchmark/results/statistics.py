# SPDX-License-Identifier: Apache-2.0
"""How the figures of several seeds and cases become one figure with its uncertainty; numpy alone.

Rules for what is missing: a class that a case does not have is no figure (not 0) and is left out of that case's mean; a
case without any figure is left out of the means; nothing left gives NaN, which the tables show as a dash. A Hausdorff
distance that is not finite, because nothing was found, is left out of the mean and counted beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.results.cells import Scores, Table

NAN = float("nan")
RESAMPLES = 2000
"""Bootstrap samples; the interval's own error is then far below its width."""
SEED = 0
Floats = NDArray[np.float64]
_RANKS = np.arange(RESAMPLES, dtype=np.float64)


@dataclass(frozen=True)
class MeanEstimate:
    """A figure with its uncertainties; NaN where there is none.

    Args:
        mean: over cases, then over seeds.
        sd: sample standard deviation of the seeds' means (``ddof=1``); NaN for one seed.
        low: lower end of the 95 % bootstrap interval over cases; NaN for fewer than two cases.
        high: upper end.
    """

    mean: float = NAN
    sd: float = NAN
    low: float = NAN
    high: float = NAN


@dataclass(frozen=True)
class Distance:
    """Mean Hausdorff distance over the finite values.

    Args:
        mean: in the unit of the cell.
        missing: values that are not there although the case has the class: nothing was found.
        values: all values that should be there.
    """

    mean: float = NAN
    missing: int = 0
    values: int = 0


def as_array(table: Table) -> Floats:
    """A table of figures as ``(cases, classes)``, NaN where there is none; infinities become NaN, too.

    Example:
        >>> as_array(((0.5, None),)).tolist()
        [[0.5, nan]]
    """
    array = np.asarray(table, dtype=np.float64).reshape(len(table), -1) if table else np.empty((0, 0))
    return np.where(np.isfinite(array), array, NAN)


def mean_of(array: Floats, axis: int | None = None) -> Floats:
    """Mean of what is there along an axis (of all if ``None``), NaN where nothing is, without numpy's warning.

    Example:
        >>> mean_of(np.array([[1.0, np.nan], [np.nan, np.nan]]), axis=1).tolist()
        [1.0, nan]
    """
    there = np.isfinite(array)
    count = there.sum(axis=axis)
    total = np.where(there, array, 0.0).sum(axis=axis)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), NAN)
    return mean


def by_case(tables: Mapping[int, tuple[Sequence[str], Table]]) -> tuple[list[str], Floats]:
    """Lay the case means of several seeds over each other.

    Args:
        tables: case ids and table of each seed.

    Returns:
        Ids of all cases, sorted, and the mean over the classes of each seed and case, ``(seeds, cases)``.
    """
    ids = sorted({case for cases, _ in tables.values() for case in cases})
    place = {case: column for column, case in enumerate(ids)}
    grid = np.full((len(tables), len(ids)), NAN)
    for row, (cases, table) in enumerate(tables.values()):
        if len(table):
            grid[row, [place[case] for case in cases]] = mean_of(as_array(table), axis=1)
    return ids, grid


def estimate(grid: Floats) -> MeanEstimate:
    """Mean of ``(seeds, cases)`` over cases, then over seeds, with both uncertainties; NaN is no figure.

    The interval resamples cases, each with its mean over the seeds.
    """
    seeds = mean_of(grid, axis=1)
    seeds = seeds[np.isfinite(seeds)]
    if not len(seeds):
        return MeanEstimate()
    low, high = interval(mean_of(grid, axis=0))
    return MeanEstimate(float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else NAN, low, high)


def interval(values: Floats) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean (Efron, Bootstrap methods: another look at the jackknife, 1979).

    Args:
        values: one a case; NaN is left out.

    Returns:
        Lower and upper end; NaN for fewer than two cases. The same values give the same interval.
    """
    # scipy.stats.bootstrap gives the same to the last digit but one, and takes 7 to 200 times as long; a report asks
    # for thousands.
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return NAN, NAN
    means = np.sort(_weights(len(values)) @ values)
    low, high = np.interp([0.025 * (RESAMPLES - 1), 0.975 * (RESAMPLES - 1)], _RANKS, means)  # np.percentile, faster
    return float(low), float(high)


def ratio_interval(above: Floats, below: Floats) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a ratio of means, paired by case.

    Args:
        above: one a case, none of them NaN.
        below: of the same cases.

    Returns:
        Lower and upper end; infinite where a resampled mean below is not positive, NaN for fewer than two cases.
    """
    if len(above) < 2:
        return NAN, NAN
    tops, bottoms = _weights(len(above)) @ above, _weights(len(below)) @ below
    ratios = np.sort(np.divide(tops, bottoms, out=np.full(RESAMPLES, np.inf), where=bottoms > 0))
    ends = np.rint(np.array([0.025, 0.975]) * (RESAMPLES - 1)).astype(int)  # no mean of two, which may be infinite
    return float(ratios[ends[0]]), float(ratios[ends[1]])


@lru_cache(maxsize=16)
def _weights(count: int) -> Floats:
    """How often each bootstrap sample holds each case, as shares: all resampled means are one product."""
    drawn = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    rows = np.repeat(np.arange(RESAMPLES), count)
    times = np.bincount(rows * count + drawn.ravel(), minlength=RESAMPLES * count)
    shares: Floats = times.reshape(RESAMPLES, count) / count
    return shares


def paired(first: tuple[list[str], Floats], second: tuple[list[str], Floats]) -> tuple[MeanEstimate, int]:
    """Difference of two groups on the cases that both have.

    Args:
        first: ids and ``(seeds, cases)`` as from :func:`by_case`.
        second: what is subtracted; its number of seeds may differ.

    Returns:
        Mean and interval of the differences of the cases' means over seeds (no ``sd``), and how many cases these are.
    """
    columns = {case: column for column, case in enumerate(second[0])}
    left, right = mean_of(first[1], axis=0), mean_of(second[1], axis=0)
    pairs = [left[i] - right[columns[case]] for i, case in enumerate(first[0]) if case in columns]
    differences = np.asarray([pairs], dtype=np.float64)
    return estimate(differences), int(np.isfinite(differences).sum())


def class_means(tables: Sequence[Table]) -> list[float]:
    """Mean of each class over cases, then over seeds (one table each); NaN where no case has it."""
    seeds = [mean_of(as_array(table), axis=0) for table in tables if len(table)]
    return [float(value) for value in mean_of(np.stack(seeds), axis=0)] if seeds else []


def distances(scores: Sequence[Scores]) -> Distance:
    """Mean Hausdorff distance of all seeds (one entry each), cases and classes, and how many are missing."""
    pairs = [(as_array(one.hd95), as_array(one.dsc)) for one in scores if len(one.hd95)]
    missing = sum(int((np.isfinite(dsc) & ~np.isfinite(found)).sum()) for found, dsc in pairs)
    values = np.concatenate([np.empty(0), *(found[np.isfinite(found)] for found, _ in pairs)])
    return Distance(float(mean_of(values)), missing, len(values) + missing)
