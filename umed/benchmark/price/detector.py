# SPDX-License-Identifier: Apache-2.0
"""Can a protected image be told from a clean one? A logistic regression on residuals of the whole image answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, stats

from umed.benchmark.price.pairs import Pair, slices
from umed.benchmark.price.spectrum import radial

FILTERS = {
    "laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]) / 4,
    "diagonal": np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 4,
    "rows": np.array([[1, -2, 1]]) / 2,
    "columns": np.array([[1], [-2], [1]]) / 2,
}
"""High-pass filters, as steganalysis uses them (Fridrich & Kodovsky 2012, doi 10.1109/TIFS.2012.2190402)."""
RIDGE = 1.0
RESAMPLES = 1000


def describe(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a detector without the mask sees of a unit image ``(C, *spatial)``.

    Logs of mean size, deviation and kurtosis of each high-pass residual, and of the highest spectrum bins.
    """
    planes = slices(image)
    found: list[float] = []
    for kernel in FILTERS.values():
        residual = np.stack([ndimage.convolve(plane, kernel.astype(np.float32), mode="nearest") for plane in planes])
        found += [np.log(np.abs(residual).mean() + 1e-8), np.log(residual.std() + 1e-8)]
        flat = residual.std() == 0
        found.append(0.0 if flat else float(np.log(stats.kurtosis(residual, axis=None, fisher=False))))
    found += list(np.log(radial(planes, 8)[-4:] + 1e-12))
    return np.nan_to_num(np.array(found, dtype=np.float64))


def detectability(pairs: Sequence[Pair], seed: int = 0) -> dict[str, Any]:
    """How well protected images are told from clean ones.

    The cases are cut into two halves by the seed; the detector is trained on both forms of one half and tested on both
    forms of the other, then the other way round. Gives ``auc`` (0.5 is chance), its 95 % bootstrap interval over cases
    ``low`` and ``high``, and ``cases``; ``None`` for fewer than four cases.
    """
    if len(pairs) < 4:
        return {"auc": None, "low": None, "high": None, "cases": len(pairs)}
    clean, marked = (
        np.stack([describe(one) for one in images])
        for images in zip(*[(p.before, p.after) for p in pairs], strict=True)
    )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pairs))
    scores = np.zeros((2, len(pairs)))
    for fold in range(2):
        test, train = order[fold::2], order[1 - fold :: 2]
        x = np.concatenate([clean[train], marked[train]])
        y = np.repeat([0.0, 1.0], len(train))
        weights, mean, spread = fit_logistic(x, y)
        for form, rows in enumerate((clean, marked)):
            scores[form, test] = ((rows[test] - mean) / spread) @ weights[:-1] + weights[-1]
    drawn = rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    spans = [auc(scores[0, rows], scores[1, rows]) for rows in drawn]
    low, high = np.percentile(spans, (2.5, 97.5))
    found = {"auc": auc(scores[0], scores[1]), "low": low, "high": high}
    return {**{name: round(float(value), 4) for name, value in found.items()}, "cases": len(pairs)}


def fit_logistic(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Ridge-regularised logistic regression of 0 or 1 on standardised features, one row an image.

    Gives the weights with the intercept last, and the mean and deviation that features are standardised with.
    """
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-9)
    z = (x - mean) / spread
    sign = 2 * y - 1

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (z @ w[:-1] + w[-1])
        pull = -sign / (1 + np.exp(np.clip(margin, -50, 50)))
        gradient = np.concatenate([z.T @ pull + RIDGE * w[:-1], [pull.sum()]])
        return float(np.logaddexp(0, -margin).sum() + RIDGE / 2 * (w[:-1] ** 2).sum()), gradient

    found = optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B")
    return np.asarray(found.x), mean, spread


def auc(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    >>> auc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    ranks = stats.rankdata(np.concatenate([negative, positive]))
    wins = ranks[len(negative) :].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(negative) * len(positive)))
