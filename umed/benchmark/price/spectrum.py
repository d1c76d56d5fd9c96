# SPDX-License-Identifier: Apache-2.0
"""Where the energy lies: radially averaged power spectra before, after, and of the difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.price.pairs import Pair, slices

BINS = 32


def radial(planes: NDArray[np.float32], bins: int = BINS) -> NDArray[np.float64]:
    """Mean power at each distance from frequency 0, of pictures ``(n, H, W)`` without their mean.

    The bins go from 0 to 0.5 cycles a pixel; corners beyond 0.5 along a diagonal go into the last one. Power is that of
    :func:`numpy.fft.fft2` over the number of pixels.
    """
    height, width = planes.shape[1:]
    power = (np.abs(np.fft.fft2(planes - planes.mean((1, 2), keepdims=True))) ** 2).mean(0) / (height * width)
    # The larger of the two frequencies, so that a checkerboard, highest along both axes, lies in the last bin.
    frequency = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None])
    where = np.minimum((frequency * 2 * bins).astype(int), bins - 1)
    counts = np.bincount(where.ravel(), minlength=bins)
    sums = np.bincount(where.ravel(), power.ravel(), minlength=bins)
    return np.asarray(sums / np.maximum(counts, 1), dtype=np.float64)


def spectra(pairs: Sequence[Pair], bins: int = BINS) -> dict[str, list[float]]:
    """Spectra averaged over cases.

    ``frequency`` (the middle of each bin, cycles a pixel, along the axis where it is higher), ``original``,
    ``protected`` and ``difference``.
    """
    sums = {name: np.zeros(bins) for name in ("original", "protected", "difference")}
    for pair in pairs:
        sums["original"] += radial(slices(pair.before), bins)
        sums["protected"] += radial(slices(pair.after), bins)
        sums["difference"] += radial(slices(pair.after - pair.before), bins)
    middle = (np.arange(bins) + 0.5) / (2 * bins)
    found = {name: [float(f"{value:.5g}") for value in total / max(1, len(pairs))] for name, total in sums.items()}
    return {"frequency": [round(float(value), 5) for value in middle], **found}
