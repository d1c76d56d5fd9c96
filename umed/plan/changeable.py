# SPDX-License-Identifier: Apache-2.0
"""How much of what is labelled could change at all, and did; a case in which hardly anything could is weak.

Counted are the labelled voxels (ROI with the part of the contour band inside the labels; padding around it is no
matter). One is free where its value lies in the range and can go one step up and one step down: outside the range it
never moves, at an end of it (saturated) only to one side, beside the file's own grid of values not at all. Channels of
one colour picture count together: one free channel frees the voxel. All other channels and files count each by itself,
since a thief may train on one alone. Below :data:`WEAK` of them free, the case is weak; so it is where of those that
are free fewer moved than :mod:`umed.plan.promise` asks for, because the noise rounds to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.ranges import range_words
from umed.core.types import Regions
from umed.plan.budget import Budget, in_range
from umed.plan.metrics import different
from umed.plan.promise import FEW, least_moved

WEAK = 0.5
"""Share of the labelled voxels that must be free."""
_OFF = 2e-3
"""Share of a step by which floats may lie beside their grid and still move; see :mod:`umed.plan.lattice`."""


@dataclass
class Counts:
    """Labelled voxels of one channel, or of the colours of a picture.

    Args:
        range: physical values (lo, hi).
        labelled: all of them.
        free: those that can go up and down.
        outside: those outside the range in every channel.
        saturated: at an end of the range.
        beside: beside the file's own grid of values, or padding.
        moved: those that differ.
        least: share of the free ones that must have moved.
    """

    range: tuple[float, float]
    labelled: int = 0
    free: int = 0
    outside: int = 0
    saturated: int = 0
    beside: int = 0
    moved: int = 0
    least: float = 1.0

    @property
    def share(self) -> float:
        """Share of the labelled voxels that is free; 1 where none is."""
        return self.free / self.labelled if self.labelled else 1.0

    def weak(self) -> str:
        """Why the case is weak, in words; empty where it is not."""
        if self.share < WEAK:
            why = {
                f"{self.outside} lie outside the range {range_words(self.range)}": self.outside,
                f"{self.saturated} are saturated": self.saturated,
                f"{self.beside} are padding or beside the file's own steps": self.beside,
            }
            causes = [text for text, number in why.items() if number]
            return (
                f"only {self.free} of {self.labelled} labelled voxels ({self.share:.1%}) can change freely: "
                f"{', '.join(causes)}"
            )
        if self.free >= max(FEW, 1 / self.least) and self.moved < self.least * self.free:
            return (
                f"only {self.moved} of {self.labelled} labelled voxels moved: the noise rounds to nothing in the rest"
            )
        return ""


@dataclass
class Changeable:
    """Counts of a file, or of a series span by span.

    Args:
        colour: whether its channels are colours of one picture.
    """

    colour: bool
    groups: list[Counts] = field(default_factory=list)

    def add(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        regions: Regions,
        budget: Budget,
        *,
        kept: slice = slice(None),
    ) -> None:
        """Count a file, or a span of slices.

        Args:
            before: of the source, shape ``(C, *spatial)`` of the regions' whole grid.
            after: of what was made of it; of a span, both are of its kept slices alone.
            regions: where values may move.
            budget: in which range.
            kept: part of the first axis that counts.
        """
        if regions.empty:
            return
        first, last, _ = kept.indices(regions.shape[0])
        box = regions.box[0]
        start, stop = max(first, box.start), max(min(last, box.stop), max(first, box.start))
        part = slice(start - box.start, stop - box.start)
        grid = (slice(start - first, stop - first), *regions.box[1:])
        labelled = regions.labels[part] > 0
        allowed = regions.support[part][labelled]
        pairs = [(one[grid][labelled], other[grid][labelled]) for one, other in zip(before, after, strict=True)]
        every = [[channel] for channel in range(len(pairs))] if not self.colour else [list(range(len(pairs)))]
        if not self.groups:
            self.groups = [Counts(budget.of(channels[0]).unit_range) for channels in every]
        for counts, channels in zip(self.groups, every, strict=True):
            _count(counts, [pairs[channel] for channel in channels], [budget.of(c) for c in channels], allowed)

    @property
    def share(self) -> float:
        """Smallest share that is free, of all channels."""
        return min((one.share for one in self.groups), default=1.0)

    def weak(self, first: int = 0, channels: int = 1) -> list[str]:
        """Why the file is weak, a sentence for each channel that is; none where it is not.

        Args:
            first: number of its first channel within the case.
            channels: of the case; of several the number is said.
        """
        found = [(first + number, text) for number, one in enumerate(self.groups) if (text := one.weak())]
        several = channels > 1 and not self.colour
        return [f"in channel {number} {text}" if several else text for number, text in found]


def _count(
    counts: Counts,
    pairs: list[tuple[NDArray[Any], NDArray[Any]]],
    budgets: list[Budget],
    allowed: NDArray[np.bool_],
) -> None:
    """Add the labelled voxels of channels that count together."""
    inside, free, moved = (np.zeros(allowed.shape, bool) for _ in range(3))
    steady = np.zeros(allowed.shape, bool)
    for (old, new), budget in zip(pairs, budgets, strict=True):
        within = in_range(old, budget)
        roomy, on_grid = _room(old, budget)
        inside |= within
        steady |= within & on_grid & allowed
        free |= within & on_grid & roomy & allowed
        moved |= different(old, new)
        counts.least = min(counts.least, least_moved(budget))
    counts.labelled += allowed.size
    counts.free += int(free.sum())
    counts.outside += int((~inside).sum())
    counts.beside += int((inside & ~steady).sum())
    counts.saturated += int((steady & ~free).sum())
    counts.moved += int(moved.sum())


def _room(values: NDArray[Any], budget: Budget) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a value can go one step up and down within the range, and where it lies on its file's grid."""
    grid = budget.lattice
    step = grid.step if grid is not None else 1.0 if budget.steps is not None else 0.0
    exact = values.astype(np.float64)
    slack = 1e-6 * step
    with np.errstate(invalid="ignore"):
        if step:
            roomy = (exact - step >= budget.low - slack) & (exact + step <= budget.high + slack)
        else:
            roomy = (exact > budget.low) & (exact < budget.high)
        if grid is None:
            return roomy, np.ones(values.shape, bool)
        place = (exact - grid.origin) / grid.step
        return roomy, np.abs(place - np.rint(place)) <= _OFF
