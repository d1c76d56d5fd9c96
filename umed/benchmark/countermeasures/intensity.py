# SPDX-License-Identifier: Apache-2.0
"""Countermeasures on the intensities: windowing before training, and other normalisations than the z-score."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, Normalise, number
from umed.core.config import require


class Window(Countermeasure):
    """Clip every image to a window before it is normalised, as pipelines do for CT (nnU-Net: percentiles 0.5, 99.5).

    Args:
        low: lower end.
        high: upper end.
        unit: ``"percentile"`` of each channel of each image, or ``"value"``, physical units such as HU.
    """

    name = "window"

    def __init__(
        self, *, low: float = 0.5, high: float = 99.5, unit: Literal["percentile", "value"] = "percentile"
    ) -> None:
        require(unit in ("percentile", "value"), "window.unit", "percentile or value", unit)
        least, most = (0.0, 100.0) if unit == "percentile" else (-np.inf, np.inf)
        self.low, self.high = number("window.low", low, least, most), number("window.high", high, least, most)
        require(self.low < self.high, "window.high", f"more than low, {self.low:g}", high)
        self.unit = unit

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Clip; see the class."""
        if self.unit == "value":
            return image.clamp(self.low, self.high)
        return torch.clamp(image, *_percentiles(image, self.low, self.high))


class Percentile(Countermeasure):
    """Instead of the z-score: clip each channel to two percentiles and bring them to 0 and 1.

    Args:
        low: percentile that becomes 0.
        high: percentile that becomes 1.
    """

    name = "percentile"

    def __init__(self, *, low: float = 0.5, high: float = 99.5) -> None:
        self.low, self.high = number("percentile.low", low, 0, 100), number("percentile.high", high, 0, 100)
        require(self.low < self.high, "percentile.high", f"more than low, {self.low:g}", high)

    @property
    def normalise(self) -> Normalise:
        """``(C, *spatial)`` to [0, 1]."""

        def change(image: Tensor) -> tuple[Tensor, Tensor]:
            low, high = _percentiles(image, self.low, self.high)
            factor = 1 / (high - low).clamp(min=1e-8)
            return ((image - low) * factor).clamp(0, 1), factor

        return change


class MinMax(Countermeasure):
    """Instead of the z-score: bring the smallest value of each channel to 0 and its largest to 1."""

    name = "minmax"

    @property
    def normalise(self) -> Normalise:
        """``(C, *spatial)`` to [0, 1]."""
        return Percentile(low=0, high=100).normalise


def _percentiles(image: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Two percentiles of each channel, ``(C, 1, ...)`` float32 each."""
    found = np.percentile(image.flatten(1).numpy(), (low, high), axis=1)
    shape = (-1, *[1] * (image.ndim - 1))
    first, last = (torch.from_numpy(np.asarray(row, np.float32)).reshape(shape) for row in found)
    return first, last
