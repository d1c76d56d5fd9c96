# SPDX-License-Identifier: Apache-2.0
"""What the rows come to for each method: means over the victims that count, the worst case, and a sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.floor import no_verdict
from umed.benchmark.results.statistics import NAN, mean_of
from umed.benchmark.results.summary import LEAST_DROP, Summary, SummaryRow

CHOICE_WORDS = {
    "last": "last checkpoint",
    "best_clean": "best on clean validation",
    "best_protected": "best on protected validation",
}


@dataclass(frozen=True)
class Overview:
    """A countermeasure against a method, over the victims that count; the last checkpoint.

    Args:
        data: name of the data set.
        method: label of the protection.
        countermeasure: what the thief does.
        counted: victims that count, in order.
        victims: all victims that were tried.
        mean: mean DSC over the counted ones.
        lowest: DSC of the one that learns least.
        highest: DSC of the one that learns most.
        control: mean DSC of their clean controls with the same countermeasure.
        plain: mean DSC of their clean controls without countermeasure.
        brought_back: share of the lost DSC that comes back, of the victims' means.
        cost: DSC that the countermeasure costs the thief on clean data.
        net: ``mean`` as a share of ``plain``.
    """

    data: str
    method: str
    countermeasure: str
    counted: tuple[str, ...]
    victims: int
    mean: float
    lowest: float
    highest: float
    control: float
    plain: float
    brought_back: float
    cost: float
    net: float


@dataclass(frozen=True)
class Worst:
    """The thief's best result against a method.

    Args:
        row: highest DSC of all counted victims, countermeasures and choices.
        plain: mean DSC of the victims that count without countermeasure, last checkpoint.
        plain_control: of their clean controls.
        beyond: an uncounted setting that reaches more, if any: it shows that the images can be learnt.
        tried: settings that count.
        excluded: settings that do not.
    """

    row: SummaryRow
    plain: float
    plain_control: float
    beyond: SummaryRow | None
    tried: int
    excluded: int

    @property
    def undone(self) -> bool:
        """Whether the thief loses next to nothing: less than :data:`umed.benchmark.results.summary.LEAST_DROP`."""
        return self.row.dsc.mean > self.row.control - LEAST_DROP


def overview(summary: Summary, data: str, method: str, countermeasure: str) -> Overview:
    """Average over the victims that count; NaN where none does. The method may be ``"clean"``."""
    rows = summary.pick(data=data, method=method, countermeasure=countermeasure)
    counted = [row for row in rows if row.counts]
    scores = [row.dsc.mean for row in counted]
    before = {row.victim for row in summary.pick(data=data, method=method, countermeasure=NONE) if row.counts}
    both = [row for row in counted if row.victim in before]
    plain = _mean([row.plain for row in counted])
    lost, won = _mean([row.lost for row in both]), _mean([row.won for row in both])
    says = countermeasure != NONE and method != CLEAN and lost >= LEAST_DROP
    names = (data, method, countermeasure, tuple(row.victim for row in counted))
    return Overview(
        *names,
        victims=len(rows),
        mean=_mean(scores),
        lowest=min(scores, default=NAN),
        highest=max(scores, default=NAN),
        control=_mean([row.control for row in counted]),
        plain=plain,
        brought_back=won / lost if says else NAN,
        cost=_mean([row.cost for row in counted]),
        net=_mean(scores) / plain if plain > 0 else NAN,
    )


def worst_cases(summary: Summary) -> list[Worst]:
    """The worst case of each data set and method in the order of the tables; none without any counted setting."""
    found = []
    for data in summary.data:
        for method in summary.methods:
            rows = [row for row in summary.pick(None, data=data, method=method) if np.isfinite(row.dsc.mean)]
            counted = [row for row in rows if row.counts]
            if method == CLEAN or not counted:
                continue
            row = max(counted, key=lambda row: row.dsc.mean)
            more = [other for other in rows if not other.counts and other.dsc.mean > row.dsc.mean]
            without = overview(summary, data, method, NONE)
            beyond = max(more, key=lambda row: row.dsc.mean, default=None)
            settings = {(one.victim, one.countermeasure): one.counts for one in rows}
            tried = sum(settings.values())
            found.append(Worst(row, without.mean, without.plain, beyond, tried, len(settings) - tried))
    return found


def bottom_line(summary: Summary) -> list[str]:
    """The result in a sentence or two a data set, the thief's best attempt first.

    They are about the method that holds best against the settings that all methods faced; or, where a thief undoes each
    of them, about the one that leaves least where the thief tries nothing.
    """
    worst = worst_cases(summary)
    sentences = []
    for data in summary.data:
        here = [one for one in worst if one.row.data == data]
        if not here:
            sentences.append(f"{data}: {_nothing_said(summary, data)}.")
            continue
        if len(here) > 1 and all(one.undone for one in here):
            sentences.append(_none_holds(data, here))
            continue
        faced = fair_worst(summary, data, [one.row.method for one in here])
        best = min(here, key=lambda one: faced.get(one.row.method, one.row.dsc.mean))
        head = f"{data}:"
        if faced and len(here) > 1:
            head = (
                f"{data}: of {len(here)} protections, {best.row.method} holds best against the settings that all of "
                f"them faced (at most {100 * faced[best.row.method]:.1f} %), yet"
            )
        where = "without countermeasure" if best.row.countermeasure == NONE else f"with {best.row.countermeasure}"
        tail = ""
        if np.isfinite(best.plain):
            tail = f" On average over the victims, without countermeasure: {_both(best.plain, best.plain_control)}."
        sentences.append(
            f"{head} the strongest thief reaches a DSC of {100 * best.row.dsc.mean:.1f} % on images protected with "
            f"{best.row.method} ({best.row.victim}, {where}, {CHOICE_WORDS[best.row.choice]}); the same on clean "
            f"images reaches {100 * best.row.control:.1f} %.{tail}"
        )
    return sentences


def _nothing_said(summary: Summary, data: str) -> str:
    """Why there is no verdict on a data set."""
    if not [name for name in summary.methods if name != CLEAN and summary.pick(None, data=data, method=name)]:
        return "no verdict: no protection was tried yet"
    best, floor = summary.controls.get(data, (NAN, NAN))
    if np.isfinite(best) and best < floor:
        return no_verdict(best, floor)
    return "no verdict: no protection has a clean control that learnt, so nothing can be said"


def _none_holds(data: str, worst: Sequence[Worst]) -> str:
    """What is left to say where every method has a setting in which nothing is lost."""
    known = [one for one in worst if np.isfinite(one.plain)]
    tail = ""
    if known:
        least = min(known, key=lambda one: one.plain)
        tail = (
            f" Where the thief tries nothing, {least.row.method} leaves least on average over its victims: "
            f"{_both(least.plain, least.plain_control)}."
        )
    return (
        f"{data}: none of {len(worst)} protections holds: against each, at least one thief reaches what clean images "
        f"give, or comes within {100 * LEAST_DROP:.0f} points of it.{tail}"
    )


def fair_worst(summary: Summary, data: str, methods: Sequence[str]) -> dict[str, float]:
    """The highest DSC of each method over the victims and countermeasures that all of them faced, and that count.

    Any choice of the checkpoint; empty where they have no setting in common.
    """
    rows = {method: [row for row in summary.pick(None, data=data, method=method) if row.counts] for method in methods}
    common = set.intersection(*({(row.victim, row.countermeasure) for row in found} for found in rows.values()))
    scores = {
        method: [row.dsc.mean for row in found if (row.victim, row.countermeasure) in common]
        for method, found in rows.items()
    }
    return {method: max(found) for method, found in scores.items()} if common else {}


def exclusions(summary: Summary) -> dict[str, list[str]]:
    """Which settings carry each flag, as ``"data: victim, countermeasure"``."""
    found: dict[str, dict[str, None]] = {}
    for row in summary.rows:
        for flag in row.flags:
            found.setdefault(flag, {})[f"{row.data}: {row.victim}, {row.countermeasure}"] = None
    return {flag: list(settings) for flag, settings in found.items()}


def _both(low: float, high: float) -> str:
    return f"{100 * low:.1f} % instead of {100 * high:.1f} %"


def _mean(values: Sequence[float]) -> float:
    return float(mean_of(np.asarray(values)))
