# SPDX-License-Identifier: Apache-2.0
"""How much of what is labelled can change: what counts, by cause, and when a case is weak."""

from __future__ import annotations

import numpy as np
import pytest

from umed.plan.budget import Budget
from umed.plan.changeable import Changeable
from umed.plan.lattice import Lattice
from umed.plan.regions import make_regions

LABELS = np.zeros((20, 20), np.uint8)
LABELS[5:15, 5:15] = 1
BUDGET = Budget(4, 4.0, 0.0, 255.0, (0.0, 255.0))


def counted(before: np.ndarray, after: np.ndarray, budget: Budget = BUDGET, *, colour: bool = False) -> Changeable:
    """Of whole files."""
    found = Changeable(colour)
    found.add(before, after, make_regions(LABELS, radius=2), budget)
    return found


@pytest.mark.parametrize(
    ("value", "share", "words"),
    [(100, 0.6, "are saturated"), (0, 0.6, "are saturated"), (255, 0.6, "are saturated"), (300, 0.6, "lie outside")],
)
def test_causes(value: int, share: float, words: str) -> None:
    before = np.full((1, 20, 20), 100, np.int16)
    before[0, 5:11, 5:15] = value
    after = before.copy()
    after[0, 11:15, 5:15] += 1
    found = counted(before, after)
    assert found.share == pytest.approx(1.0 if value == 100 else 1 - share)
    assert found.weak() == [] if value == 100 else words in found.weak()[0] and "40 of 100" in found.weak()[0]


def test_what_lies_around_the_labels_does_not_count() -> None:
    before = np.zeros((1, 20, 20), np.int16)
    before[0, 5:15, 5:15] = 50
    found = counted(before, before + (before > 0))
    assert found.share == 1.0 and found.weak() == []
    assert counted(before, before).weak() == [
        "only 0 of 100 labelled voxels moved: the noise rounds to nothing in the rest"
    ]


def test_values_beside_the_grid_do_not_move() -> None:
    before = np.full((1, 20, 20), 100.0, np.float32)
    before[0, 5:12, 5:15] += 0.3
    budget = Budget(None, 4.0, 0.0, 255.0, (0.0, 255.0), lattice=Lattice(0.0, 1.0, np.arange(256, dtype=np.float32)))
    [text] = counted(before, before + 1, budget).weak()
    assert "only 30 of 100" in text and "70 are padding or beside the file's own steps" in text


def test_colours_count_together_and_channels_apart() -> None:
    before = np.stack([np.full((20, 20), 255), np.full((20, 20), 100)]).astype(np.uint8)
    after = before - np.uint8(1)
    assert counted(before, after, colour=True).weak() == []
    apart = counted(before, after)
    assert apart.weak(3, 5) == [
        "in channel 3 only 0 of 100 labelled voxels (0.0%) can change freely: 100 are saturated"
    ]
    own = Budget(4, 4.0, 0.0, 300.0, (0.0, 300.0))
    assert counted(before, after, Budget(**{**vars(own), "channels": (own, BUDGET)})).weak() == []


def test_spans_add_up() -> None:
    labels = np.repeat(LABELS[None], 6, 0)
    before = np.random.default_rng(0).integers(0, 400, (1, 6, 20, 20)).astype(np.int16)
    after = before + (before < 255)
    regions = make_regions(labels, radius=2)
    whole, parts = Changeable(True), Changeable(True)
    whole.add(before, after, regions, BUDGET)
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        parts.add(before[:, part], after[:, part], regions, BUDGET, kept=part)
    assert whole.groups == parts.groups and whole.groups[0].labelled == 600
    empty = Changeable(False)
    empty.add(before, after, make_regions(np.zeros_like(labels), radius=2), BUDGET)
    assert empty.share == 1.0 and empty.weak() == []
