# SPDX-License-Identifier: Apache-2.0
"""How much an image changed for the eye: PSNR, SSIM in one and in several scales, colour difference, largest step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.price.pairs import Pair, slices
from umed.plan.metrics import ssim

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, finest first (Wang, Simoncelli & Bovik 2003, doi 10.1109/ACSSC.2003.1292216)."""
SMALLEST = 16
"""Shorter edge in pixels of the coarsest scale, for the usual 11 x 11 window and a bit."""


def ms_ssim(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Multi-scale SSIM of two unit images ``(C, *spatial)``: the product over scales of SSIM to the scale's weight.

    As many of the five scales as leave a shorter edge of 16 pixels are used, their weights scaled to sum 1. The mean
    SSIM of each scale stands for contrast and structure, as in many implementations; negative values count as 0. Slices
    along the last axis are averaged in 3D.
    """
    one, two = slices(before).astype(np.float64), slices(after).astype(np.float64)
    shortest = min(one.shape[1:])
    count = max(1, min(len(WEIGHTS), int(math.log2(max(1, shortest / SMALLEST))) + 1))
    weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    product = 1.0
    for weight in weights:
        product *= max(0.0, ssim(one, two, peak=1.0, window=11)) ** float(weight)
        one, two = _halve(one), _halve(two)
    return product


def _halve(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = (size // 2 * 2 for size in planes.shape[1:])
    blocks = planes[:, :height, :width].reshape(len(planes), height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean((2, 4)))


def fidelity(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Means over cases, from the written files.

    ``psnr`` and ``psnr_roi`` (dB, infinite ones left out, ``None`` if all are), ``ssim``, ``ms_ssim``, ``delta_e``,
    ``delta_e_99``, ``delta_e_roi``, ``delta_e_roi_99`` (:mod:`umed.plan.colour_difference`; percentiles are of a case),
    ``largest_step`` (the largest of all, in stored values) with its ``bound``, ``voxels_changed`` (share) and
    ``roi_share``.
    """

    def mean(name: str) -> float | None:
        values = [float(pair.figures[name]) for pair in pairs if pair.figures[name] is not None]
        return round(float(np.mean(values)), 4) if values else None

    steps = [(float(p.figures["largest_step"] or 0), float(p.figures["bound_stored"] or 0)) for p in pairs]
    largest = max(steps, key=lambda pair: pair[0] / pair[1] if pair[1] else 0.0, default=(0.0, 0.0))
    return {
        "psnr": mean("psnr"),
        "psnr_roi": mean("psnr_roi"),
        "ssim": mean("ssim"),
        **{name: mean(name) for name in ("delta_e", "delta_e_99", "delta_e_roi", "delta_e_roi_99")},
        "ms_ssim": round(float(np.mean([ms_ssim(pair.before, pair.after) for pair in pairs])), 5),
        "largest_step": largest[0],
        "bound": largest[1],
        "voxels_changed": round(float(np.mean([pair.changed.mean() for pair in pairs])), 4),
        "roi_share": mean("roi_share"),
    }
