# SPDX-License-Identifier: Apache-2.0
"""The figures of a series, gathered span by span."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.source import Unit
from umed.plan.budget import to_unit
from umed.plan.changeable import Changeable
from umed.plan.colour_difference import ColourDifference
from umed.plan.metrics import largest_step, squared_error, ssim, voxels_changed


@dataclass
class Figures:
    """Sums over the spans of a series.

    Args:
        steps: bound in stored steps, the largest where slices have different slopes.
        bound: the same in stored values.
    """

    steps: int | None = None
    bound: float = 0.0
    values: int = 0
    roi: int = 0
    voxels: int = 0
    changed: int = 0
    largest: float = 0.0
    error: float = 0.0
    similar: list[float] = field(default_factory=list)
    seen: ColourDifference = field(default_factory=ColourDifference)
    able: Changeable = field(default_factory=lambda: Changeable(colour=True))

    def add(self, unit: Unit, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Count a span.

        Args:
            unit: the span.
            before: stored values of its kept slices, ``(slices, rows, columns[, 3])``.
            after: the new ones.
        """
        [budget] = unit.limits
        if budget.bound_stored >= self.bound:
            self.steps, self.bound = budget.steps, budget.bound_stored
        old, new = (np.moveaxis(a, -1, 0) if a.ndim == 4 else a[None] for a in (before, after))
        self.values += old.size
        self.voxels += old[0].size
        support = unit.kept_support()
        self.roi += int(support.sum())
        self.error += squared_error(old, new) / budget.peak**2
        self.changed += voxels_changed(old, new)
        self.largest = max(self.largest, largest_step(old, new))
        for index in range(old.shape[1]):
            same = np.array_equal(old[:, index], new[:, index])
            figure = 1.0 if same else ssim(old[:, index], new[:, index], peak=budget.peak, low=budget.low)
            self.similar.append(figure)
        self.able.add(old, new, unit.regions, budget, kept=unit.kept)
        [volume] = unit.volumes
        self.seen.add(
            old,
            new,
            support,
            tuple(slice(0, size) for size in support.shape),
            lambda values: to_unit(values, volume.encoding, budget),
            axis=0,
            colour=len(old) == 3,
        )

    def to_dict(self) -> dict[str, Any]:
        """As :func:`umed.plan.metrics.measure`; SSIM is the mean over slices of the 2-D figure."""
        channels = self.values // max(1, self.voxels)
        return {
            "epsilon_steps": self.steps,
            "bound_stored": self.bound,
            "psnr": _decibel(self.error, self.values),
            "psnr_roi": _decibel(self.error, self.roi * channels),
            "ssim": float(np.mean(self.similar)) if self.similar else 1.0,
            **self.seen.to_dict(),
            "roi_share": self.roi / max(1, self.voxels),
            "voxels_changed": self.changed,
            "largest_step": self.largest,
        }


def _decibel(error: float, count: int) -> float | None:
    """PSNR where ``error`` is already a share of the squared peak."""
    return 10 * math.log10(count / error) if error > 0 and count else None
