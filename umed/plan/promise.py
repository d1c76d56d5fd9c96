# SPDX-License-Identifier: Apache-2.0
"""The promise of every protected file, checked in this one place.

No value moves by more than its bound, nothing changes outside the support, and values outside the range neither move
nor are reached. Protecting checks what it has written with it, :func:`umed.verify` what it has read again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import VerificationError
from umed.core.types import Regions
from umed.plan.budget import Budget, in_range
from umed.plan.metrics import different

SLAB = 1 << 20
"""Values that are compared at once."""
LEAST_MOVED = 0.25
"""Share of the labelled values of each class, of those that may move, that must have moved where no record settles what
was written. The defaults of all methods move more (tests/protect/test_verify.py); an image that was restored but for a
few voxels is no protection."""
LEAST_MOVED_BY_FEW_STEPS = {1: 0.01, 2: 0.10}
"""The same where the bound is so few stored steps, since much then rounds to nothing: ``autoregressive`` moved 2 to 28
per cent of a class by one step, 33 by two (25 and 8 keys, synthetic volumes)."""
FEW = 32
"""Classes with fewer values that may move, or of which the share is not even one, are not counted: chance decides."""


@dataclass(frozen=True)
class Comparison:
    """What differs between a source and what was made of it.

    Args:
        changed: whether anything does.
        outside: changed values outside the support.
        pushed: values outside the range that moved, or that moved out of it.
        above: values that moved further than they may.
        largest: largest of those steps, in stored values.
        bound: what is allowed, in words, of the channel in which a value moved further where they differ; empty where
            nothing may change.
    """

    changed: bool
    outside: int
    pushed: int
    above: int
    largest: float
    bound: str

    def broken(self) -> list[str]:
        """A sentence for each promise that is broken; none if all hold."""
        found = []
        if self.outside:
            found.append(f"expected no change outside ROI and dilated contour, got {self.outside} changed pixels")
        if self.pushed:
            found.append(
                f"expected values outside the range untouched and none pushed out, got {self.pushed} that break it"
            )
        if self.above:
            found.append(f"expected changes of at most {self.bound}, got {self.largest:g} ({self.above} above)")
        return found

    def check(self, name: str) -> None:
        """Raise where a promise is broken.

        Args:
            name: what was compared.

        Raises:
            VerificationError: with the first broken promise.
        """
        broken = self.broken()
        if broken:
            raise VerificationError(f"{name}: {broken[0]}. Report a bug.")


def compare(
    before: NDArray[Any],
    after: NDArray[Any],
    regions: Regions,
    budget: Budget | None,
    *,
    start: int = 0,
    mask: str = "labels",
) -> Comparison:
    """Compare stored values slab by slab.

    Args:
        before: of the source, shape ``(C, *spatial)``, without an alpha plane.
        after: of what was made of it, same shape and dtype.
        regions: of the whole case.
        budget: how far values may move, in each channel; ``None`` only with empty regions, where nothing may.
        start: where ``before`` begins on the first spatial axis of the regions' grid.
        mask: what the regions were made of, for people.

    Returns:
        What differs.
    """
    outside = pushed = above = 0
    largest, changed = 0.0, False
    words = budget
    for channel, (one, other) in enumerate(zip(before, after, strict=True)):
        limit = None if budget is None else budget.of(channel)
        for part in _slabs(one):
            old, new = one[part], other[part]
            order: Literal["C", "F"] = "F" if old.flags.f_contiguous else "C"
            moved = np.flatnonzero(different(old, new).ravel(order=order))
            if not moved.size:
                continue
            changed = True
            place = (slice(part[0].start + start, part[0].stop + start), *part[1:])
            allowed = _within(regions, place, lambda seen: seen.support)
            outside += int((~allowed.ravel(order=order)[moved]).sum())
            if limit is None:
                continue
            old, new = old.ravel(order=order)[moved], new.ravel(order=order)[moved]
            pushed += int((~(in_range(old, limit) & in_range(new, limit))).sum())
            with np.errstate(invalid="ignore"):
                size = np.abs(new.astype(np.float64) - old.astype(np.float64))
            bounds: NDArray[np.float64] | float = limit.bound_stored
            if limit.background is not None:
                labelled = _within(regions, place, lambda seen: seen.labels > 0)
                bounds = limit.bounds(labelled.ravel(order=order)[moved])
            over = ~(size <= bounds)
            if over.any():
                words = limit
            above += int(over.sum())
            largest = max(largest, float(size[over].max(initial=0.0)))
    return Comparison(changed, outside, pushed, above, largest, "" if words is None else _bound(words, mask))


class Moved:
    """Counts how many labelled values of each class moved, of those that may."""

    def __init__(self) -> None:
        self.moved, self.movable = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.least = LEAST_MOVED

    def add(
        self, before: NDArray[Any], after: NDArray[Any], regions: Regions, budget: Budget, *, kept: slice = slice(None)
    ) -> None:
        """Count a file, or a span of slices.

        Args:
            before: of the source, shape ``(C, *spatial)`` of the regions' whole grid.
            after: of what was made of it.
            regions: where values may move.
            budget: in which range.
            kept: part of the first axis that counts.
        """
        if regions.empty:
            return
        if budget.channels:
            for channel, one in enumerate(budget.channels):
                own = slice(channel, channel + 1)
                self.add(before[own], after[own], regions, one, kept=kept)
            return
        self.least = min(self.least, least_moved(budget))
        low, high, _ = kept.indices(regions.shape[0])
        first = regions.box[0]
        start, stop = max(low, first.start), max(min(high, first.stop), max(low, first.start))
        here = (slice(start - first.start, stop - first.start),)
        grid = (slice(None), slice(start, stop), *regions.box[1:])
        inside = regions.labels[here]
        free = (inside > 0) & regions.support[here]
        old, new = before[grid], after[grid]
        may = free & in_range(old, budget)
        for name, where in (("movable", may), ("moved", may & different(old, new))):
            counts = np.bincount(np.broadcast_to(inside, where.shape)[where])
            total = getattr(self, name)
            size = max(len(total), len(counts))
            setattr(self, name, np.pad(total, (0, size - len(total))) + np.pad(counts, (0, size - len(counts))))

    def broken(self) -> list[str]:
        """A sentence for each class that is as good as restored."""
        found, moved = [], np.pad(self.moved, (0, len(self.movable) - len(self.moved)))
        for value in np.flatnonzero(self.movable >= max(FEW, 1 / self.least)):
            share = moved[value] / self.movable[value]
            if share < self.least:
                found.append(
                    f"expected at least {self.least:.0%} of the labelled values of class {value} to have moved, got "
                    f"{moved[value]} of {self.movable[value]} ({share:.1%}); if the run scaled it down, give --private"
                )
        return found


def least_moved(budget: Budget) -> float:
    """Share of the labelled values that must have moved, by the steps that the bound is made of."""
    return LEAST_MOVED_BY_FEW_STEPS.get(_steps(budget), LEAST_MOVED)


def _steps(budget: Budget) -> int:
    """Whole steps that the bound is made of; 0 for floats, which need none."""
    return budget.steps or 0 if budget.lattice is None else int(budget.bound_stored / budget.lattice.step + 1e-6)


def _bound(budget: Budget, mask: str) -> str:
    weak = "" if budget.background is None else f" and {budget.background:g} outside the {mask}"
    return f"{budget.bound_stored:g} stored{weak}"


def _slabs(values: NDArray[Any]) -> Iterator[tuple[slice, ...]]:
    """Cut a grid along the axis that is slowest in memory."""
    if not values.size:
        return
    axis = int(np.argmax(np.abs(values.strides)))
    step = max(1, SLAB * values.shape[axis] // values.size)
    whole = [slice(0, size) for size in values.shape]
    for start in range(0, values.shape[axis], step):
        whole[axis] = slice(start, min(start + step, values.shape[axis]))
        yield tuple(whole)


def _within(
    regions: Regions, part: tuple[slice, ...], pick: Callable[[Regions], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """A mask of the regions within a part of the full grid."""
    allowed = np.zeros([p.stop - p.start for p in part], bool)
    if regions.empty:
        return allowed
    shared = [(max(p.start, b.start), min(p.stop, b.stop)) for p, b in zip(part, regions.box, strict=True)]
    if any(low >= high for low, high in shared):
        return allowed
    here = tuple(slice(low - p.start, high - p.start) for (low, high), p in zip(shared, part, strict=True))
    there = tuple(slice(low - b.start, high - b.start) for (low, high), b in zip(shared, regions.box, strict=True))
    allowed[here] = pick(regions.part(there))
    return allowed
