# SPDX-License-Identifier: Apache-2.0
"""First-order and texture features in the ROI, before and after: what a measurement on protected images would say.

Texture features are those of the grey-level co-occurrence matrix of :mod:`skimage.feature` (Haralick et al. 1973, doi
10.1109/TSMC.1973.4309314), on 32 levels of the plan's range, four directions at one pixel, pairs inside the ROI only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from umed.benchmark.price.pairs import Pair

LEVELS = 32
DIRECTIONS = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
TEXTURE = ("contrast", "homogeneity", "energy", "correlation")
SLICES = 8


def features(image: NDArray[np.float32], roi: NDArray[np.bool_]) -> dict[str, float]:
    """Ten features of a unit image ``(C, *spatial)`` inside its ROI ``(*spatial)``; channels are averaged first."""
    grey = image.mean(0)
    inside = grey[roi].astype(np.float64)
    counts = np.histogram(inside, LEVELS, (0, 1))[0]
    flat = float(inside.std()) < 1e-9
    found = {
        "mean": float(inside.mean()),
        "sd": float(inside.std()),
        "skewness": 0.0 if flat else float(stats.skew(inside)),
        "kurtosis": 0.0 if flat else float(stats.kurtosis(inside)),
        "entropy": float(stats.entropy(counts, base=2)),
        "p10": float(np.percentile(inside, 10)),
        "p90": float(np.percentile(inside, 90)),
    }
    return found | _texture(grey, roi)


def _texture(grey: NDArray[np.float32], roi: NDArray[np.bool_]) -> dict[str, float]:
    """GLCM features, over the slices along the last axis that hold most of the ROI."""
    levels = np.where(roi, 1 + np.clip(grey * LEVELS, 0, LEVELS - 1).astype(np.uint8), 0).astype(np.uint8)
    if levels.ndim == 3:
        areas = roi.sum((0, 1))
        chosen = np.argsort(-areas, kind="stable")[:SLICES]
        planes = [levels[..., k] for k in sorted(chosen) if areas[k]]
    else:
        planes = [levels]
    pairs = np.zeros((LEVELS, LEVELS, 1, len(DIRECTIONS)))
    for plane in planes:
        rows, columns = np.nonzero(plane)
        crop = plane[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        counted = graycomatrix(crop, [1], list(DIRECTIONS), levels=LEVELS + 1, symmetric=True)
        pairs += counted[1:, 1:]  # level 0 is what lies outside the ROI
    total = pairs.sum((0, 1), keepdims=True)
    shares = np.divide(pairs, total, out=np.zeros_like(pairs), where=total > 0)
    return {name: float(graycoprops(shares, name).mean()) for name in TEXTURE}


def drift(pairs: Sequence[Pair]) -> dict[str, dict[str, float | None]]:
    """How far each feature moves.

    ``drift`` is the mean absolute change over the standard deviation between cases, ``ccc`` Lin's concordance
    correlation coefficient (doi 10.2307/2532051) of before and after; ``None`` where all cases agree.
    """
    used = [pair for pair in pairs if pair.roi.any()]
    rows = [(features(pair.before, pair.roi), features(pair.after, pair.roi)) for pair in used]
    return {
        name: compare([one[0] for one in rows], [one[1] for one in rows], name) for name in (rows[0][0] if rows else ())
    }


def compare(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]], name: str
) -> dict[str, float | None]:
    """Drift and concordance of one feature over cases."""
    x, y = (np.array([one[name] for one in rows]) for rows in (before, after))
    spread = float(x.std())
    total = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    return {
        "drift": round(float(np.abs(y - x).mean()) / spread, 4) if spread > 0 else None,
        "ccc": round(2 * covariance / total, 4) if total > 0 else None,
    }
