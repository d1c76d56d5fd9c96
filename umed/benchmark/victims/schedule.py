# SPDX-License-Identifier: Apache-2.0
"""The learning rate of a victim's training, and when its loss has stopped falling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def decay(step: int, steps: int) -> float:
    """Share of the learning rate that is left: ``(1 - t)^0.9``, nnU-Net's poly schedule (arXiv 1809.10486)."""
    return float((1 - step / steps) ** 0.9)


def is_flat(
    loss: Sequence[float], rates: Sequence[float] | None = None, *, part: float = 0.2, tolerance: float = 0.05
) -> bool:
    """Say whether a training loss has stopped falling, and not merely because the learning rate went down.

    Any loss levels off over the steps while the rate goes to 0, so it is looked at over the distance that the optimiser
    travelled, the sum of the rates. A line is laid through the last fifth of it (with :func:`decay` the last 43 % of
    the steps, from 0.47 of the rate on), each step counting by its rate; the loss is flat when that line falls by less
    than 5 % of what the loss fell in all (first 2 % of the steps to the last fifth's mean). A loss that falls because
    the rate does, as its noise goes, is still falling. At a constant rate distance is steps.

    Args:
        loss: loss of each step.
        rates: learning rate of each step, in any unit; constant if ``None``.
        part: the share of the distance at the end that is looked at.
        tolerance: the share of the whole fall that may still happen there.

    Returns:
        Whether it is flat; never for fewer than 10 steps, or where it is not finite.

    >>> is_flat([1 / (1 + step) for step in range(1000)]), is_flat([1 - step / 1000 for step in range(1000)])
    (True, False)
    """
    values = np.asarray(loss, dtype=np.float64)
    if values.size < 10 or not np.isfinite(values).all():
        return False
    weights = np.ones(values.size) if rates is None else np.asarray(rates, dtype=np.float64)
    distance = np.cumsum(weights)
    first = min(int(np.searchsorted(distance, (1 - part) * distance[-1] * (1 + 1e-9))), values.size - 5)
    tail, travelled, weights = values[first:], distance[first:], weights[first:]
    start = values[: max(1, values.size // 50)].mean()
    slope = np.polyfit(travelled, tail, 1, w=np.sqrt(weights))[0]
    return bool(-slope * weights.sum() < tolerance * max(start - np.average(tail, weights=weights), 1e-12))
