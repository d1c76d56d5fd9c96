# SPDX-License-Identifier: Apache-2.0
"""Countermeasures of a thief who owns some clean cases: mixing them in, training on them alone, stopping by them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from umed.benchmark.countermeasures.interface import Countermeasure, number, whole
from umed.benchmark.victims.case_tensors import Samples

Item = TypeVar("Item")


class Mix(Countermeasure):
    """A share of the training cases is clean instead of published, as in UnSeg's tables 5 and 9 (arXiv 2410.09909).

    Which cases depends on the seed and their ids alone; a larger share contains every smaller one. Compare with
    :class:`CleanSubset` of the same share, which trains on the very same clean cases and on nothing else.

    Args:
        share: in [0, 1]; usual sweep 0.1, 0.2, 0.4, 0.8.
    """

    name = "mix"
    strength = "share"

    def __init__(self, *, share: float = 0.2) -> None:
        self.share = number("mix.share", share, 0, 1)

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Exchange the chosen cases; the order of the cases stays."""
        chosen = set(ranked(published.ids, seed)[: _count(self.share, len(published.ids))])
        pool = clean.pick(chosen)
        rows = {name: row for row, name in enumerate(pool.ids)}

        def either(ours: Sequence[Item], theirs: Sequence[Item]) -> tuple[Item, ...]:
            pairs = zip(published.ids, ours, strict=True)
            return tuple(theirs[rows[name]] if name in chosen else one for name, one in pairs)

        return replace(
            published,
            images=either(published.images, pool.images),
            labels=either(published.labels, pool.labels),
            scales=either(published.scales, pool.scales),
        )


class CleanSubset(Countermeasure):
    """Train on that share of the cases alone, clean: what the thief could do without anything published.

    Args:
        share: in (0, 1], at least one case; the cases are those of :class:`Mix` with the same share and seed.
    """

    name = "clean_subset"
    strength = "share"

    def __init__(self, *, share: float = 0.2) -> None:
        self.share = number("clean_subset.share", share, 0, 1, above=True)

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Keep the chosen cases only."""
        return clean.pick(ranked(published.ids, seed)[: max(1, _count(self.share, len(published.ids)))])


class EarlyStopping(Countermeasure):
    """Stop when the DSC on a few clean validation cases no longer rises.

    Args:
        patience: how many checkpoints in a row may bring no new best.
    """

    name = "early_stopping"
    strength = "patience"

    def __init__(self, *, patience: int = 2) -> None:
        self.patience = whole("early_stopping.patience", patience, 1)

    def stop(self, validation: Sequence[float]) -> bool:
        """Say whether the best is ``patience`` checkpoints old; a score that is not a number is never the best."""
        scores = [-math.inf if math.isnan(score) else score for score in validation]
        return bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= self.patience


def ranked(ids: Sequence[str], seed: int) -> list[str]:
    """Cases in the order in which a thief gets hold of clean ones; the seed says which.

    The place of two of them relative to each other does not depend on the others.
    """
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def _count(share: float, cases: int) -> int:
    return math.floor(share * cases + 0.5)
