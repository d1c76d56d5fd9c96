# SPDX-License-Identifier: Apache-2.0
"""Every figure that tables and the report show, computed once from the cells: one row a setting and choice."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from umed.benchmark.results.cells import CHOICES, CLEAN, NONE, Cell, Table, digest
from umed.benchmark.results.floor import has_learnt, least_dsc
from umed.benchmark.results.statistics import (
    NAN,
    Distance,
    Floats,
    MeanEstimate,
    by_case,
    class_means,
    distances,
    estimate,
    mean_of,
    paired,
)
from umed.core.errors import InputError

LEAST_DROP = 0.05
"""DSC that a protection must take before the share that a countermeasure brings back says anything."""
LEAST_SEEDS = 3
SHOWN = 5
"""Names of trainings in a note."""
DID_NOT_LEARN, NO_CONTROL = "did not learn", "no control"
FEW_SEEDS, MIXED = f"fewer than {LEAST_SEEDS} seeds", "mixed settings"
DIVERGED, SOME_DIVERGED = "diverged", "some seeds diverged"
EXCLUDING = (DID_NOT_LEARN, NO_CONTROL, DIVERGED)
"""Flags of settings that count as protection nowhere."""
Group = tuple[str, str, str, str]
"""Data set, method, victim, countermeasure."""


@dataclass(frozen=True)
class SummaryRow:
    """The figures of one data set, method, victim, countermeasure and choice of the checkpoint.

    Args:
        data: name of the data set.
        method: label of the protection.
        victim: label of the victim.
        countermeasure: what the thief does.
        choice: which checkpoint is judged.
        seeds: those that have this choice, with finite weights.
        cases: clean test cases with a figure.
        dsc: Dice similarity coefficient, in [0, 1].
        nsd: normalized surface dice, in [0, 1].
        hd95: 95th percentile Hausdorff distance in ``unit``.
        unit: ``"mm"`` or ``"px"``.
        classes: DSC of each class.
        control: DSC of the clean control of the same victim, countermeasure, choice and seeds.
        difference: DSC minus that of the control, case by case and of the same seeds.
        pairs: cases in that difference.
        plain: DSC of the clean control without any countermeasure, of the seeds that all four trainings have.
        lost: how much less the same victim reaches on protected data without any countermeasure, of the same seeds.
        won: how much of it the countermeasure restores, of the same seeds; 0 without any.
        net: DSC as a share of the same victim's, trained on clean data without any countermeasure.
        brought_back: ``won`` as a share of ``lost``; NaN where the setting or the one without countermeasure does not
            count, or less than :data:`LEAST_DROP` is lost.
        cost: DSC that the countermeasure costs the thief on clean data.
        flat: trainings whose loss was flat at the end.
        psnr: of the protected images, dB.
        psnr_roi: of the same inside ROI and dilated contour, dB.
        flags: what a reader must know; see :data:`EXCLUDING`.
    """

    data: str
    method: str
    victim: str
    countermeasure: str
    choice: str
    seeds: tuple[int, ...]
    cases: int
    dsc: MeanEstimate
    nsd: MeanEstimate
    hd95: Distance
    unit: str
    classes: dict[str, float]
    control: float = NAN
    difference: MeanEstimate = field(default_factory=MeanEstimate)
    pairs: int = 0
    plain: float = NAN
    lost: float = NAN
    won: float = NAN
    net: float = NAN
    brought_back: float = NAN
    cost: float = NAN
    flat: int = 0
    psnr: float = NAN
    psnr_roi: float = NAN
    flags: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether its clean control has learnt, so that a low DSC says something about the protection."""
        return not set(self.flags) & set(EXCLUDING)


@dataclass(frozen=True)
class Summary:
    """All figures of a benchmark.

    Args:
        rows: sorted by data set, method, victim, countermeasure, choice.
        prices: what each protection costs, as they were measured; mappings with ``data`` and ``method``.
        data: names in the order of the tables, and so on for the other axes.
        methods: labels, ``"clean"`` first.
        victims: labels.
        countermeasures: labels, ``"none"`` first.
        notes: what was left out, and why.
        controls: DSC of the best clean control of each data set, NaN without any, and what it must reach to have
            learnt; see :mod:`umed.benchmark.results.floor`.
    """

    rows: tuple[SummaryRow, ...]
    prices: tuple[Mapping[str, Any], ...]
    data: tuple[str, ...]
    methods: tuple[str, ...]
    victims: tuple[str, ...]
    countermeasures: tuple[str, ...]
    notes: tuple[str, ...] = ()
    controls: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def pick(self, choice: str | None = "last", **labels: str) -> list[SummaryRow]:
        """Rows of a choice (all choices if ``None``) with these labels, such as ``data="isic"``."""
        known = "data" in labels and "method" in labels
        near = self._near.get((labels["data"], labels["method"]), ()) if known else self.rows
        wanted = [*labels.items(), *([] if choice is None else [("choice", choice)])]
        return [row for row in near if all(getattr(row, name) == value for name, value in wanted)]

    def tried(self, data: str) -> tuple[list[str], list[str]]:
        """Countermeasures and methods that a data set has."""
        return (
            [name for name in self.countermeasures if self.pick(data=data, countermeasure=name)],
            [name for name in self.methods if self.pick(data=data, method=name)],
        )

    @cached_property
    def _near(self) -> Mapping[tuple[str, str], Sequence[SummaryRow]]:
        """Rows by data set and method: charts and tables ask for them often, and large grids have thousands."""
        found: dict[tuple[str, str], list[SummaryRow]] = {}
        for row in self.rows:
            found.setdefault((row.data, row.method), []).append(row)
        return found


def summarise(cells: Sequence[Cell], prices: Sequence[Mapping[str, Any]] = (), order: Sequence[str] = ()) -> Summary:
    """Compute all figures.

    Args:
        cells: the trainings. Of two with the same labels and seed the younger one is kept.
        prices: what each protection costs.
        order: labels of methods, data sets and so on in the order to show them; others follow, sorted.

    Returns:
        The figures.

    Raises:
        InputError: when the tables of a cell do not fit its cases.
    """
    kept, notes = _youngest(cells)
    broken = [cell.spec.title for cell in kept if cell.broken]
    if broken:
        notes.append(f"{len(broken)} training(s) that diverged count nowhere, since weights were not finite: "
                     f"{'; '.join(broken[:SHOWN])}{' ...' if len(broken) > SHOWN else ''}.")  # fmt: skip
    groups: dict[Group, list[Cell]] = {}
    for cell in kept:
        _check(cell)
        spec = cell.spec
        groups.setdefault((spec.data, spec.method, spec.victim, spec.countermeasure), []).append(cell)
    made = _Maker(groups, {(str(one.get("data")), str(one.get("method"))): one for one in prices})
    axes = [_ordered({key[i] for key in groups}, order, first) for i, first in enumerate(("", CLEAN, "", NONE))]
    ranks = [{name: rank for rank, name in enumerate(names)} for names in axes]
    keys = sorted(groups, key=lambda key: [ranks[i][name] for i, name in enumerate(key)])
    rows = [row for key in keys for choice in CHOICES if (row := made.row(key, choice)) is not None]
    data, methods, victims, countermeasures = axes

    def place(price: Mapping[str, Any]) -> list[int]:
        named = (str(price.get("data")), str(price.get("method")))
        return [rank.get(name, len(rank)) for rank, name in zip(ranks, named, strict=False)]

    priced = tuple(sorted(prices, key=place))
    controls = {name: (best, least_dsc(best, made.chance.get(name, NAN))) for name, best in made.best.items()}
    return Summary(tuple(rows), priced, data, methods, victims, countermeasures, tuple(notes), controls)


class _Maker:
    """Makes rows; keeps what several of them need."""

    def __init__(self, groups: Mapping[Group, list[Cell]], prices: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        self.groups, self.prices = groups, prices
        self.tables: dict[tuple[Group, str], dict[int, tuple[tuple[str, ...], Table]]] = {}
        self.means: dict[tuple[Group, str, tuple[int, ...]], float] = {}
        self.best = {data: self._best_control(data) for data in {key[0] for key in groups}}
        self.chance = chances(cell for cells in groups.values() for cell in cells)

    def seeds(self, key: Group, choice: str) -> set[int]:
        """Seeds of a group that have a choice."""
        return set(self._tables(key, choice))

    def _tables(self, key: Group, choice: str) -> dict[int, tuple[tuple[str, ...], Table]]:
        if (key, choice) not in self.tables:  # a clean control has no protected validation cases: its best stands in
            stands_in = key[1] == CLEAN and choice == "best_protected"
            name = "best_clean" if stands_in else choice
            having = [cell for cell in self.groups.get(key, []) if name in _whole(cell)]
            self.tables[key, choice] = {cell.spec.seed: (cell.cases, cell.choices[name].dsc) for cell in having}
        return self.tables[key, choice]

    def grid(self, key: Group, choice: str, seeds: Collection[int]) -> tuple[list[str], Floats]:
        """Case ids and DSC of each of the seeds and each case; empty where there is none."""
        tables = self._tables(key, choice)
        return by_case({seed: tables[seed] for seed in sorted(seeds) if seed in tables})

    def mean(self, key: Group, choice: str, seeds: Collection[int]) -> float:
        """Mean DSC of a group over some seeds."""
        asked = (key, choice, tuple(sorted(seeds)))
        if asked not in self.means:
            self.means[asked] = float(mean_of(mean_of(self.grid(key, choice, seeds)[1], axis=1)))
        return self.means[asked]

    def _best_control(self, data: str) -> float:
        """Best clean control without countermeasure (with any, where there is no other), last checkpoint."""
        clean = [key for key in self.groups if key[:2] == (data, CLEAN)]
        chosen = [key for key in clean if key[3] == NONE] or clean
        means = [self.mean(key, "last", self.seeds(key, "last")) for key in chosen]
        return max((mean for mean in means if np.isfinite(mean)), default=NAN)

    def flags(self, key: Group, seeds: int) -> tuple[str, ...]:
        clean = clean_of(key)
        control = self.mean(clean, "last", self.seeds(clean, "last") & self.seeds(key, "last"))
        found = []
        if not np.isfinite(control):
            found.append(NO_CONTROL)
        elif not has_learnt(control, self.best[key[0]], self.chance.get(key[0], NAN)):
            found.append(DID_NOT_LEARN)
        if seeds < LEAST_SEEDS:
            found.append(FEW_SEEDS)
        if len({digest(cell.spec.settings) for cell in self.groups.get(key, [])}) > 1:
            found.append(MIXED)
        return tuple(found)

    def row(self, key: Group, choice: str) -> SummaryRow | None:
        having = [cell for cell in self.groups[key] if choice in cell.choices]
        if not having:
            return None
        cells = [cell for cell in having if choice in _whole(cell)]
        scores = [cell.choices[choice] for cell in cells]
        mine = self.seeds(key, choice)
        grid = self.grid(key, choice, mine)[1]
        nsd = by_case({i: (cell.cases, cell.choices[choice].nsd) for i, cell in enumerate(cells)})[1]
        dsc, clean = estimate(grid), clean_of(key)
        both = mine & self.seeds(clean, choice)
        pair = (self.grid(key, choice, both), self.grid(clean, choice, both))
        difference, pairs = (MeanEstimate(), 0) if key[1] == CLEAN else paired(*pair)
        plain_key: Group = (*key[:3], NONE)
        plain_clean = clean_of(plain_key)
        four = both & self.seeds(plain_key, choice) & self.seeds(plain_clean, choice)
        plain = self.mean(plain_clean, choice, four)
        before, now = self.mean(plain_key, choice, four), self.mean(key, choice, four)
        lost, won = plain - before, now - before
        restored, cost = NAN, NAN
        if key[3] != NONE:
            cost = plain - self.mean(clean, choice, four)
            counts = not {*self.flags(key, 0), *self.flags(plain_key, 0)} & set(EXCLUDING)
            if key[1] != CLEAN and counts and lost >= LEAST_DROP:
                restored = won / lost
        price = self.prices.get((key[0], key[1]), {})
        means = class_means([one.dsc for one in scores]) or [NAN] * len(having[0].classes)
        return SummaryRow(
            *key,
            choice,
            seeds=tuple(sorted(cell.spec.seed for cell in cells)),
            cases=int(np.isfinite(grid).any(axis=0).sum()),
            dsc=dsc,
            nsd=estimate(nsd),
            hd95=distances(scores),
            unit=having[0].unit,
            classes=dict(zip(having[0].classes, means, strict=False)),
            control=self.mean(clean, choice, both),
            difference=difference,
            pairs=pairs,
            plain=plain,
            lost=lost,
            won=won,
            net=now / plain if plain > 0 else NAN,
            brought_back=restored,
            cost=cost,
            flat=sum(cell.flat for cell in cells),
            psnr=figure(price, "psnr"),
            psnr_roi=figure(price, "psnr_roi"),
            flags=(*self.flags(key, len(cells)), *_lost(len(having), len(cells))),
        )


def _whole(cell: Cell) -> set[str]:
    """Choices of a cell whose weights were finite."""
    return set(cell.choices) - set(cell.broken)


def _lost(trainings: int, whole: int) -> tuple[str, ...]:
    """What to say of seeds that diverged."""
    return () if whole == trainings else (SOME_DIVERGED if whole else DIVERGED,)


def chances(cells: Iterable[Cell]) -> dict[str, float]:
    """DSC of the best picture of one class on each data set, of the cells that know it."""
    return {cell.spec.data: cell.chance for cell in cells if cell.chance is not None}


def clean_of(key: Group) -> Group:
    """The clean control of a group."""
    return (key[0], CLEAN, *key[2:])


def figures(price: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """All single numbers of nested measures under dotted names; lists, texts, hardware and the like are left out.

    Args:
        price: nested mapping.
        before: dotted place of it.

    Returns:
        The numbers; what is not a number or ``None`` is NaN.

    Example:
        >>> figures({"fidelity": {"psnr": 42, "ssim": None}, "method": "umed"})
        {'fidelity.psnr': 42.0, 'fidelity.ssim': nan}
    """
    found: dict[str, float] = {}
    for name, value in price.items():
        place = f"{before}.{name}" if before else str(name)
        if isinstance(value, Mapping):
            if name != "environment":
                found |= figures(value, place)
        elif value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            found[place.removeprefix("measures.")] = NAN if value is None else float(value)
    return found


def figure(price: Mapping[str, Any], name: str) -> float:
    """A number of nested measures by the last part of its name, NaN where it is not there."""
    found = (value for place, value in figures(price).items() if re.search(rf"(^|\.){name}(\.mean)?$", place))
    return next(found, NAN)


def _youngest(cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    """Of cells with the same labels and seed, the one that was made last; older ones are of other settings."""
    latest: dict[tuple[str, str, str, str, int], Cell] = {}
    for cell in sorted(cells, key=lambda cell: (str(cell.environment.get("date", "")), cell.spec.file)):
        spec = cell.spec
        latest[spec.data, spec.method, spec.victim, spec.countermeasure, spec.seed] = cell
    old = len(cells) - len(latest)
    note = f"{old} older cell{'s' if old > 1 else ''} of other settings under the same labels left out."
    return sorted(latest.values(), key=lambda cell: cell.spec.file), [note] if old else []


def _check(cell: Cell) -> None:
    for choice, scores in cell.choices.items():
        for name in ("dsc", "hd95", "nsd"):
            rows = len(getattr(scores, name))
            if rows != len(cell.cases) and (rows or name == "dsc"):
                raise InputError(
                    f"{cell.spec.file}: {choice}.{name}: expected {len(cell.cases)} rows, one a case, got {rows}. "
                    "Delete the cell; it is redone."
                )


def _ordered(names: Iterable[str], order: Sequence[str], first: str) -> tuple[str, ...]:
    """The given order, then numbers by value and words by letter."""
    ranks = {name: rank for rank, name in enumerate([first, *order])}
    return tuple(sorted(names, key=lambda name: (ranks.get(name, len(ranks)), natural(name))))


def natural(text: str) -> list[tuple[bool, float, str]]:
    """Sorting key in which ``jpeg quality=9`` comes before ``jpeg quality=10``."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(i % 2 == 0, float(part) if i % 2 else 0.0, part) for i, part in enumerate(parts)]
