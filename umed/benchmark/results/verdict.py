# SPDX-License-Identifier: Apache-2.0
"""From the figures of short trainings to one careful sentence about a protection, before it is released; no torch.

What is left is the share of what a thief's network learns above chance: ``(protected - chance) / (clean - chance)``, of
the mean DSC on the same held-out cases. Chance is the best that a picture of one class reaches on them. The verdict
looks at the upper end of the 95 % bootstrap interval over cases, of the worst seed and thief: a protection that is not
there must not be believed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from umed.benchmark.results.cells import Table, finite
from umed.benchmark.results.floor import has_learnt, least_dsc
from umed.benchmark.results.statistics import (
    NAN,
    MeanEstimate,
    by_case,
    estimate,
    mean_of,
    paired,
    ratio_interval,
)

Verdict = Literal["holds", "weakens", "none", "unknown"]
WORDS: dict[str, str] = {
    "holds": "The protection is expected to hold",
    "weakens": "The protection weakens a thief, it does not keep him out",
    "none": "No protection is to be expected",
    "unknown": "Nothing can be said",
}
WORST_FIRST: tuple[Verdict, ...] = ("none", "unknown", "weakens", "holds")
HOLDS = 0.5
"""A protection holds where at most this share is left, even at the upper end of the interval."""
NOTHING_TAKEN = 0.85
"""Where more than this share is left, or the interval reaches 1, nothing is to be expected."""
WAY = 0.4
"""A control has learnt when it has gone this share of the way from chance to a DSC of 1, and reaches the floor."""
CAVEAT = "Likely, for these thieves, this short training and no filters; longer training can bring more back"
Tables = Mapping[int, tuple[Sequence[str], Table]]
"""Case ids and DSC of each seed."""


class ShareLeft(NamedTuple):
    """What is left, with the 95 % interval over cases that covers those of all seeds; NaN where it is unknown."""

    mean: float = NAN
    low: float = NAN
    high: float = NAN


@dataclass(frozen=True)
class ThiefForecast:
    """What one kind of thief is likely to get.

    Args:
        victim: his network and training.
        clean: DSC in [0, 1] after training on unprotected cases, on held-out clean ones.
        protected: the same after training on protected cases.
        difference: protected minus clean, paired by case.
        chance: DSC of the best picture of one class on the same cases.
        left: share that is left above chance.
        cases: held-out cases with a figure.
        verdict: ``"holds"``, ``"weakens"``, ``"none"``, or ``"unknown"`` where the control has not learnt.
        floor: DSC that the control must reach to have learnt.
    """

    victim: str
    clean: MeanEstimate
    protected: MeanEstimate
    difference: MeanEstimate
    chance: float
    left: ShareLeft
    cases: int
    verdict: Verdict
    floor: float = NAN

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``None`` for what is not known."""
        found: dict[str, Any] = {"victim": self.victim, "verdict": self.verdict, "cases": self.cases}
        for name in ("clean", "protected", "difference"):
            one = getattr(self, name)
            found[name] = dict(zip(("mean", "low", "high"), finite([one.mean, one.low, one.high]), strict=True))
        found["left"] = dict(zip(ShareLeft._fields, finite(self.left), strict=True))
        return {**found, "chance": finite([self.chance])[0], "floor": finite([self.floor])[0]}


def judge(
    victim: str, clean: Tables, protected: Tables, chance: Mapping[str, float], best: float = NAN
) -> ThiefForecast:
    """Compare trainings on clean and on protected cases.

    Args:
        victim: name of the thief.
        clean: DSC of each held-out case and class after training on unprotected cases, of each seed.
        protected: the same after training on protected ones; the same seeds and cases.
        chance: DSC of the best picture of one class, of each case; NaN for a case without any class.
        best: DSC of the best control of all thieves, NaN where it is not known.

    Returns:
        Figures and verdict.
    """
    before, after = by_case(clean), by_case(protected)
    level = np.asarray([chance[case] for case in before[0]], dtype=np.float64)
    difference, cases = paired(after, before)
    shares, learnt = [], cases >= 2
    for control, attacked in zip(before[1], after[1], strict=True):
        there = np.isfinite(control) & np.isfinite(attacked) & np.isfinite(level)
        learnt = learnt and _is_measure(float(mean_of(control[there])), float(mean_of(level[there])), best)
        if learnt:
            shares.append(_left(control[there] - level[there], attacked[there] - level[there]))
    left = ShareLeft()
    if learnt:
        left = ShareLeft(
            float(np.mean([s.mean for s in shares])), min(s.low for s in shares), max(s.high for s in shares)
        )
    guess = float(mean_of(level))
    figures = (estimate(before[1]), estimate(after[1]), difference, guess, left, cases)
    return ThiefForecast(victim, *figures, _verdict(left), _floor(guess, best))


def _left(clean: Any, protected: Any) -> ShareLeft:
    """The share of one seed, from each case's DSC above chance; below chance nothing is left."""
    low, high = ratio_interval(protected, clean)
    return ShareLeft(*(max(0.0, value) for value in (float(protected.mean() / clean.mean()), low, high)))


def _is_measure(dsc: float, chance: float, best: float) -> bool:
    return has_learnt(dsc, max(dsc, best), chance) and dsc - chance >= WAY * (1 - chance)  # False for NaN


def _floor(chance: float, best: float) -> float:
    """What a control must reach, both ways of looking at it."""
    floor = least_dsc(best, chance)
    return floor if math.isnan(chance) else max(floor, chance + WAY * (1 - chance))


def _verdict(left: ShareLeft) -> Verdict:
    if math.isnan(left.mean):
        return "unknown"
    if left.mean > NOTHING_TAKEN or left.high >= 1:
        return "none"
    return "holds" if left.high <= HOLDS else "weakens"


@dataclass(frozen=True)
class Forecast:
    """What is likely left of a protection, before the release.

    Args:
        thieves: one a kind.
        steps: optimiser steps of each training.
        seeds: trainings of each kind.
        train: cases that were trained on.
        test: held-out cases that judged, clean.
        side: longest side in pixels that the thieves trained at; smaller cases at their own.
        method: name of the method.
        options: of the method.
        epsilon: bound as a share of the range.
        trained: whether the generators were trained ones; else the carriers alone, or a method that learns nothing.
        seconds: wall time of all of it.
        made_for: files and settings, see :mod:`umed.cases.forecast_fit`; a run shows it for no others.
    """

    thieves: tuple[ThiefForecast, ...]
    steps: int
    seeds: int
    train: int
    test: int
    side: int
    method: str
    options: Mapping[str, Any]
    epsilon: float
    trained: bool = False
    seconds: float = 0.0
    made_for: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """That of the thief against whom the protection does worst; one who is unknown may be he."""
        return min((one.verdict for one in self.thieves), key=WORST_FIRST.index, default="unknown")

    @property
    def sentence(self) -> str:
        """The answer in plain words, with what it holds for."""
        verdict = self.verdict
        if verdict == "unknown":
            return self._unknown()
        worst = max((one for one in self.thieves if one.verdict == verdict), key=lambda one: one.left.high)
        left = f"{100 * worst.left.mean:.0f} % [{100 * worst.left.low:.0f}, {100 * worst.left.high:.0f}]"
        return (
            f"{WORDS[verdict]}: trained {self.steps} steps on protected cases, {worst.victim} segments clean ones with "
            f"a DSC of {_dsc(worst.protected)}, unprotected {_dsc(worst.clean)}, chance {worst.chance:.2f}, so {left} "
            f"of what it learns is left. {CAVEAT}."
        )

    def _unknown(self) -> str:
        blind = [one for one in self.thieves if one.verdict == "unknown"]
        which = "; ".join(
            f"{one.victim} {_dsc(one.clean)}, chance {one.chance:.2f}, floor {one.floor:.2f}" for one in blind
        )
        known = [f"{one.victim} alone says: {one.verdict}" for one in self.thieves if one not in blind]
        rest = f" ({', '.join(known)})" if known else ""
        return (
            f"{WORDS['unknown']}, no verdict: after {self.steps} steps the control on unprotected cases has not learnt "
            f"({which}){rest}. Try --forecast-steps {3 * self.steps}; where that does not help, more labelled cases."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("steps", "seeds", "train", "test", "side", "method", "options", "epsilon", "trained", "seconds")
        return {
            "format": 1,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "thieves": [one.to_dict() for one in self.thieves],
            **{name: getattr(self, name) for name in names},
            "made_for": dict(self.made_for),
        }

    def summary(self) -> str:
        """A few lines for a screen."""
        what = "trained generators" if self.trained else "untrained generators"
        lines = [
            f"forecast ({self.method}, {what}, epsilon {255 * self.epsilon:.3g}/255; {self.train} cases to train on, "
            f"{self.test} held out, at most {self.side} px, {self.steps} steps, {self.seeds} seed(s)):"
        ]
        for one in self.thieves:
            change = f"difference {_signed(one.difference.mean)} [{_signed(one.difference.low)}, "
            lines.append(
                f"  {one.victim}: DSC {_dsc(one.clean)} unprotected -> {_dsc(one.protected)} protected, "
                f"{change}{_signed(one.difference.high)}], chance {one.chance:.2f}"
            )
        return "\n".join([*lines, self.sentence])


def _dsc(one: MeanEstimate) -> str:
    return f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _signed(value: float) -> str:
    return f"{value:+.2f}"
