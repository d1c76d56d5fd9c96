# SPDX-License-Identifier: Apache-2.0
"""Does the perturbation tell where the ROI is? To one who has the originals, and to one who has the release alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from umed.benchmark.price.detector import auc
from umed.benchmark.price.pairs import Pair

SIGMA = 3.0
"""Pixels over which the energy of the residual is averaged."""
THRESHOLDS = np.linspace(0.02, 0.98, 49)
SAMPLED = 4000


def energy(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Local energy of the finest texture: what the sum of the neighbours does not explain, squared and smoothed.

    Of a unit image ``(C, *spatial)``; gives ``(*spatial)`` as ranks in [0, 1] within the image, so that a threshold
    means a share of its pixels.
    """
    kernel = np.array([-1.0, 2.0, -1.0]) / 2
    residual = image.astype(np.float64)
    for axis in (1, 2):  # along both axes of the plane; slices may be thick
        residual = ndimage.convolve1d(residual, kernel, axis=axis, mode="nearest")
    sigma = (SIGMA, SIGMA, 1.0)[: image.ndim - 1]
    smooth = ndimage.gaussian_filter((residual**2).mean(0), sigma)
    order = np.argsort(smooth, axis=None, kind="stable")
    ranks = np.empty(smooth.size)
    ranks[order] = np.linspace(0, 1, smooth.size)
    return np.asarray(ranks.reshape(smooth.shape), dtype=np.float64)


def overlap(answer: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice similarity coefficient of two masks; 0 when both are empty."""
    total = int(answer.sum()) + int(truth.sum())
    return 2 * int((answer & truth).sum()) / total if total else 0.0


def leakage(pairs: Sequence[Pair], seed: int = 0) -> dict[str, float | None]:
    """How well the ROI can be guessed.

    ``oracle``: mean DSC of all changed voxels, holes closed, with the ROI, for one who holds the originals; ``blind``:
    mean DSC of the finest texture's local energy with the ROI, its threshold and its sign chosen on the other half of
    the cases (the seed says which); ``blind_original``: the same on the originals, which is what the anatomy gives away
    anyway; ``blind_auc`` and ``blind_auc_original``: area under the ROC curve over pixels. ``None`` for fewer than four
    cases with an ROI.
    """
    used = [pair for pair in pairs if pair.roi.any() and not pair.roi.all()]
    names = ("oracle", "blind", "blind_original", "blind_auc", "blind_auc_original")
    if len(used) < 4:
        return dict.fromkeys(names)
    # Small holes are filled, where a perturbation happened to be 0.
    closed = [ndimage.binary_fill_holes(ndimage.binary_closing(pair.changed)) for pair in used]
    oracle = [overlap(mask, pair.roi) for mask, pair in zip(closed, used, strict=True)]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(used))
    found: dict[str, float | None] = {"oracle": round(float(np.mean(oracle)), 4)}
    for ending, images in (("", [p.after for p in used]), ("_original", [p.before for p in used])):
        maps = [energy(image) for image in images]
        dsc = np.zeros(len(used))
        for fold in range(2):
            test, train = order[fold::2], order[1 - fold :: 2]
            best = max(
                ((sign, cut) for sign in (1, -1) for cut in THRESHOLDS),
                key=lambda how: np.mean([overlap(sign_cut(maps[k], *how), used[k].roi) for k in train]),
            )
            for k in test:
                dsc[k] = overlap(sign_cut(maps[k], *best), used[k].roi)
        areas = [_pixel_auc(one, pair.roi, rng) for one, pair in zip(maps, used, strict=True)]
        found[f"blind{ending}"] = round(float(dsc.mean()), 4)
        found[f"blind_auc{ending}"] = round(float(np.mean(areas)), 4)
    return {name: found[name] for name in names}


def sign_cut(ranks: NDArray[np.float64], sign: int, cut: float) -> NDArray[np.bool_]:
    """Pixels above a threshold, or below it."""
    return ranks > cut if sign > 0 else ranks < cut


def _pixel_auc(ranks: NDArray[np.float64], roi: NDArray[np.bool_], rng: np.random.Generator) -> float:
    outside, inside = ranks[~roi], ranks[roi]
    parts = [rng.choice(part, min(SAMPLED, part.size), replace=False) for part in (outside, inside)]
    return auc(parts[0], parts[1])
