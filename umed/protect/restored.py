# SPDX-License-Identifier: Apache-2.0
"""Tells a protected image from one that is the original but for a few values, by the two files and the labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.types import Volume
from umed.plan.budget import Budget
from umed.plan.lattice import find_lattice
from umed.plan.metrics import different
from umed.plan.promise import FEW, Moved
from umed.plan.regions import make_regions


def as_good_as_restored(before: Volume, after: Volume, labels: NDArray[Any]) -> str:
    """Ask for what :class:`umed.plan.promise.Moved` asks for, where no plan says which values could move.

    The values that did move say so: those between the smallest and the largest of them could, and the longest way is
    the bound. Both are at most what the plan allows, so that nothing is asked for that :func:`umed.verify` does not.

    Args:
        before: the original.
        after: what is released for it.
        labels: of the original's grid, 0 and below is background.

    Returns:
        A sentence; ``""`` where enough has moved, nothing has at all, or shape or type are others.
    """
    old, new = before.channels, after.channels
    if old.shape != new.shape or old.dtype.str != new.dtype.str:
        return ""
    changed = different(old, new)
    if not changed.any():
        return ""
    with np.errstate(all="ignore"):
        size = float(np.nanmax(np.abs(new[changed].astype(np.float64) - old[changed].astype(np.float64)), initial=0.0))
        inside = changed & (labels > 0)
        known = old if inside.sum() < FEW else np.concatenate([old[inside], new[inside]])
        low, high = float(np.nanmin(known)), float(np.nanmax(known))
    whole = old.dtype.kind in "iu"
    budget = Budget(int(size) if whole else None, size, low, high, (low, high), lattice=find_lattice(old, size))
    moved = Moved()
    moved.add(old, new, make_regions(labels, radius=0), budget)
    return next((sentence.partition(";")[0] for sentence in moved.broken()), "")
