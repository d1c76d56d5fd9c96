# SPDX-License-Identifier: Apache-2.0
"""How many labelled values moved: what counts, and from when on a class is as good as restored."""

from __future__ import annotations

import numpy as np
import pytest

from umed.plan.budget import Budget
from umed.plan.promise import Moved
from umed.plan.regions import make_regions

LABELS = np.zeros((20, 20, 4), np.uint8)
LABELS[4:16, 4:10], LABELS[4:16, 10:16] = 1, 2
BEFORE = np.full((1, *LABELS.shape), 50, np.int16)


def budget(steps: int | None) -> Budget:
    return Budget(steps, float(steps or 1), 0.0, 100.0, (0.0, 100.0))


def moved(share: float, steps: int | None = 6, before: np.ndarray = BEFORE, **options: slice) -> Moved:
    """A share of class 1 moved, and all of class 2."""
    after = before.copy()
    places = np.argwhere(LABELS == 1)
    for place in places[: round(share * len(places))]:
        after[(0, *place)] += 1
    after[0][LABELS == 2] += 1
    found = Moved()
    found.add(before, after, make_regions(LABELS, radius=2), budget(steps), **options)
    return found


@pytest.mark.parametrize(("steps", "least"), [(None, 0.25), (6, 0.25), (3, 0.25), (2, 0.10), (1, 0.01)])
def test_the_floor_by_class_and_steps(steps: int | None, least: float) -> None:
    assert moved(least + 0.01, steps).broken() == []
    [one] = moved(max(0.0, least - 0.01), steps).broken()
    assert f"at least {least:.0%} of the labelled values of class 1" in one and "give --private" in one


def test_what_cannot_move_does_not_count_nor_do_small_classes() -> None:
    outside = BEFORE.copy()
    outside[0][LABELS == 1] = 200  # beyond the range
    assert moved(0.0, before=outside).broken() == []
    outside[0][tuple(np.argwhere(LABELS == 1)[:33].T)] = 50
    assert len(moved(0.0, before=outside).broken()) == 1
    outside[0][tuple(np.argwhere(LABELS == 1)[:2].T)] = 200
    assert moved(0.0, before=outside).broken() == []


def test_spans_and_channels_add_up() -> None:
    whole, parts = moved(0.5), [moved(0.5, kept=slice(start, start + 7)) for start in (0, 7, 14)]
    assert np.array_equal(sum(one.movable for one in parts), whole.movable)
    assert sum(int(one.moved.sum()) for one in parts) == int(whole.moved.sum())
    twice = Moved()
    for _ in range(2):
        twice.add(BEFORE, BEFORE + 1, make_regions(LABELS, radius=2), budget(6))
    assert np.array_equal(twice.movable, 2 * whole.movable) and twice.broken() == []
    empty = Moved()
    empty.add(BEFORE, BEFORE, make_regions(np.zeros_like(LABELS), radius=2), budget(6))
    assert empty.broken() == []
