# SPDX-License-Identifier: Apache-2.0
"""The promise finds every kind of breach, on any part of a grid and in any order of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from umed.core.errors import VerificationError
from umed.core.types import Regions
from umed.plan import promise
from umed.plan.budget import Budget
from umed.plan.promise import compare

SHAPE = (6, 5, 4)
BOX = (slice(1, 5), slice(1, 4), slice(0, 3))


def make_regions() -> Regions:
    """A labelled core, and a contour around it, in a box of the grid."""
    labels = np.zeros((4, 3, 3), np.int16)
    labels[1:3, 1, 1] = 1
    contour = np.zeros(labels.shape, bool)
    contour[1:3] = True
    return Regions(SHAPE, BOX, labels, contour & (labels == 0), labels > 0)


def make_budget(background: float | None = None) -> Budget:
    return Budget(4, 4.0, 0.0, 100.0, (0.0, 1.0), background)


def start() -> NDArray[np.int16]:
    return np.full((1, *SHAPE), 50, np.int16)


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ((0, 2, 2, 1), 54, ""),
        ((0, 2, 2, 1), 55, "at most 4 stored, got 5 (1 above)"),
        ((0, 2, 2, 1), 45, "at most 4 stored, got 5 (1 above)"),
        ((0, 0, 2, 1), 51, "outside ROI and dilated contour, got 1 changed pixels"),
        ((0, 2, 2, 3), 51, "outside ROI and dilated contour, got 1 changed pixels"),
        ((0, 2, 2, 1), 101, "none pushed out, got 1"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_breach_is_named(place: tuple[int, ...], value: int, text: str, order: Any) -> None:
    before, after = np.asarray(start(), order=order), start()
    after[place] = value
    found = compare(before, np.asarray(after, order=order), make_regions(), make_budget())
    assert found.changed and bool(found.broken()) == bool(text)
    assert text in "; ".join(found.broken())
    if text:
        with pytest.raises(VerificationError, match=r"^a\.png: expected .* Report a bug\.$"):
            found.check("a.png")
    else:
        found.check("a.png")


def test_a_value_outside_the_range_may_not_move() -> None:
    before = start()
    before[0, 2, 2, 1] = 120
    after = before.copy()
    after[0, 2, 2, 1] = 119
    assert "values outside the range untouched" in compare(before, after, make_regions(), make_budget()).broken()[0]


def test_outside_the_labels_the_weaker_bound_counts() -> None:
    before, after = start(), start()
    after[0, 2, 2, 1], after[0, 2, 1, 0] = 54, 52  # labelled, and in the contour
    [text] = compare(before, after, make_regions(), make_budget(1.0), mask="mask").broken()
    assert text == "expected changes of at most 4 stored and 1 outside the mask, got 2 (1 above)"


def test_nothing_may_change_where_nothing_is_labelled() -> None:
    empty = np.zeros((0, 0, 0), bool)
    regions = Regions(SHAPE, (slice(0, 0),) * 3, empty.astype(np.int16), empty, empty)
    before, after = start(), start()
    assert not compare(before, after, regions, None).changed
    after[0, 3, 3, 3] = 51
    assert "got 1 changed pixels" in compare(before, after, regions, None).broken()[0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), first=st.integers(0, 5), length=st.integers(1, 6), slab=st.sampled_from([1, 7, 1000])
)
def test_parts_find_what_the_whole_finds(seed: int, first: int, length: int, slab: int) -> None:
    """Spans of a series are compared one by one; together they must say what one comparison says."""
    random = np.random.default_rng(seed)
    before = start()
    after = (before + random.integers(-6, 7, before.shape) * (random.random(before.shape) < 0.2)).astype(np.int16)
    regions, budget = make_regions(), make_budget(2.0)
    whole = compare(before, after, regions, budget)
    cuts = [0, min(first, SHAPE[0]), min(first + length, SHAPE[0]), SHAPE[0]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promise, "SLAB", slab)
        parts = [
            compare(before[:, low:high], after[:, low:high], regions, budget, start=low)
            for low, high in zip(cuts, cuts[1:], strict=False)
        ]
    assert whole.outside == sum(part.outside for part in parts)
    assert whole.above == sum(part.above for part in parts)
    assert whole.largest == max(part.largest for part in parts)
    moved = (after != before)[0]
    support = np.zeros(SHAPE, bool)
    support[BOX] = regions.support
    assert whole.outside == int((moved & ~support).sum())
