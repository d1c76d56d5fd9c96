# SPDX-License-Identifier: Apache-2.0
"""The sortable tables of the page, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.overview import CHOICE_WORDS, overview, worst_cases
from umed.benchmark.results.summary import Summary, SummaryRow, figures
from umed.benchmark.results.text_tables import difference, distance, general, number, percent, price_grid, spread


@dataclass(frozen=True)
class Datum:
    """One cell of a table.

    Args:
        text: what it shows.
        key: what it is sorted by; its text if ``None``.
        title: what the mouse shows.
        flags: shown behind the text.
    """

    text: str
    key: float | None = None
    title: str = ""
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        entries: its cells.
        kind: ``"out"`` for what does not count, ``"clean"`` for controls.
    """

    entries: Sequence[Datum]
    kind: str = ""


@dataclass(frozen=True)
class SortableTable:
    """A table that sorts on a click on its column's name.

    Args:
        name: id in the page.
        header: column names.
        lines: the rows.
    """

    name: str
    header: Sequence[str]
    lines: Sequence[Line]

    @property
    def figures(self) -> list[bool]:
        """Which columns hold figures."""
        return [any(line.entries[i].key is not None for line in self.lines) for i in range(len(self.header))]


DASH = Datum("–", math.nan)


def worst_table(summary: Summary) -> SortableTable:
    """The worst case of each method."""
    header = ["method", "data", "victim", "countermeasure", "choice", "strongest thief", "95 % interval", "control"]
    header += ["kept", "mean, none", "counted (out)"]
    lines = []
    worst = worst_cases(summary)
    for one in sorted(worst, key=lambda one: (summary.data.index(one.row.data), one.row.dsc.mean)):
        row = one.row
        entries = [*map(Datum, (row.method, row.data, row.victim, row.countermeasure, CHOICE_WORDS[row.choice]))]
        entries += [*_score(row), _figure(row.control, "{:.1f}", 100)]
        entries.append(_figure(row.dsc.mean / row.control if row.control > 0 else math.nan, "{:.0f} %", 100))
        entries.append(Datum(f"{percent(one.plain)} of {percent(one.plain_control)}", one.plain))
        entries.append(Datum(f"{one.tried} ({one.excluded})", one.tried))
        lines.append(Line(entries))
    return SortableTable("worst", header, lines)


def victims_table(summary: Summary) -> SortableTable:
    """Every victim without countermeasure."""
    header = ["method", "data", "victim", "DSC, last", "95 % interval", "best on clean", "best on protected"]
    header += ["control", "difference", "NSD", "HD95 (missing)", "PSNR", "flat", "seeds"]
    return SortableTable("every", header, [_victim_line(summary, row) for row in summary.pick(countermeasure=NONE)])


def _victim_line(summary: Summary, row: SummaryRow) -> Line:
    same = summary.pick(None, data=row.data, method=row.method, victim=row.victim, countermeasure=row.countermeasure)
    every = {one.choice: one for one in same}
    classes = ", ".join(f"{name} {percent(value)} %" for name, value in row.classes.items())
    entries = [Datum(row.method), Datum(row.data), Datum(row.victim, flags=row.flags), *_score(row, classes)]
    for choice in ("best_clean", "best_protected"):
        one = every.get(choice)
        entries.append(DASH if one is None else Datum(spread(one), one.dsc.mean))
    entries += [*_against_control(row), _figure(row.nsd.mean, "{:.1f}", 100)]
    entries += [Datum(distance(row), row.hd95.mean), _figure(row.psnr, "{:.2f}")]
    entries.append(Datum(f"{row.flat}/{len(row.seeds)}", row.flat))
    entries.append(Datum(str(len(row.seeds)), len(row.seeds), ", ".join(map(str, row.seeds))))
    return Line(entries, _kind(row))


def countered_table(rows: Sequence[SummaryRow]) -> SortableTable:
    """All rows with a countermeasure."""
    header = ["method", "data", "victim", "countermeasure", "choice", "DSC", "95 % interval", "control"]
    header += ["difference", "brought back", "cost", "kept of clean", "seeds"]
    lines = []
    for row in rows:
        entries = [Datum(row.method), Datum(row.data), Datum(row.victim, flags=row.flags)]
        entries += [Datum(row.countermeasure), Datum(row.choice.replace("_", " "))]
        entries += [*_score(row), *_against_control(row)]
        entries += [_figure(row.brought_back, "{:.0f} %", 100), _figure(row.cost, "{:.1f}", 100)]
        entries += [_figure(row.net, "{:.0f} %", 100), Datum(str(len(row.seeds)), len(row.seeds))]
        lines.append(Line(entries, _kind(row)))
    return SortableTable("all", header, lines)


def countermeasures_table(summary: Summary, data: str, name: str) -> SortableTable:
    """What each countermeasure brings back on a data set."""
    header = ["countermeasure", "method", "DSC, mean of victims", "lowest to highest", "control", "brought back"]
    header += ["cost", "kept of clean", "victims that count"]
    lines = []
    for countermeasure in summary.countermeasures:
        for method in summary.methods:
            one = overview(summary, data, method, countermeasure)
            if not one.victims:
                continue
            ends = f"{percent(one.lowest)} to {percent(one.highest)}" if one.counted else "–"
            entries = [Datum(countermeasure), Datum(method), _figure(one.mean, "{:.1f}", 100), Datum(ends, one.highest)]
            entries += [_figure(one.control, "{:.1f}", 100), _figure(one.brought_back, "{:.0f} %", 100)]
            entries += [_figure(one.cost, "{:.1f}", 100), _figure(one.net, "{:.0f} %", 100)]
            entries.append(Datum(f"{len(one.counted)}/{one.victims}", len(one.counted)))
            lines.append(Line(entries, "clean" if method == CLEAN else "" if one.counted else "out"))
    return SortableTable(name, header, lines)


def price_table(summary: Summary) -> SortableTable:
    """All single numbers that were measured about the protected images."""
    grid = price_grid(summary)
    return _of_texts("prices", grid.header, grid.rows, grid.words)


def features_table(summary: Summary) -> SortableTable:
    """How far each feature in the ROI moved."""
    features: list[tuple[str, str, str, dict[str, float]]] = []
    for price in summary.prices:
        found: dict[str, dict[str, float]] = {}
        for place, value in figures(price).items():
            kind, _, rest = place.partition(".")
            name, _, what = rest.rpartition(".")
            if kind == "features" and name:
                found.setdefault(name, {})[what] = value
        features += [(str(price.get("data")), str(price.get("method")), name, one) for name, one in found.items()]
    names = list(dict.fromkeys(what for *_, one in features for what in one))
    rows = [[*labels, *(general(one.get(what, math.nan)) for what in names)] for *labels, one in features]
    return _of_texts("features", ["data", "method", "feature", *names], rows, 3)


def _of_texts(name: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> SortableTable:
    """A table whose figures are sorted by the number that they begin with."""
    lines = [Line([Datum(cell, None if i < words else leading(cell)) for i, cell in enumerate(row)]) for row in rows]
    return SortableTable(name, header, lines)


def leading(text: str) -> float:
    """The number that a text begins with, NaN for none.

    Example:
        >>> leading("−4.5 [−5.0, −4.0]"), leading("1,250"), leading("–")
        (-4.5, 1250.0, nan)
    """
    word = text.replace("−", "-").replace(",", "").replace("∞", "inf").split(" ")[0].rstrip("†%")
    try:
        return float(word)
    except ValueError:
        return math.nan


def _score(row: SummaryRow, title: str = "") -> list[Datum]:
    """DSC and its interval."""
    interval = "–" if math.isnan(row.dsc.low) else f"{percent(row.dsc.low)} to {percent(row.dsc.high)}"
    return [Datum(spread(row), row.dsc.mean, title), Datum(interval, row.dsc.low)]


def _against_control(row: SummaryRow) -> list[Datum]:
    """Clean control and difference; a control has none."""
    if row.method == CLEAN:
        return [DASH, DASH]
    return [_figure(row.control, "{:.1f}", 100), Datum(difference(row), row.difference.mean)]


def _figure(value: float, pattern: str, factor: float = 1.0) -> Datum:
    return Datum(number(factor * value, pattern), value)


def _kind(row: SummaryRow) -> str:
    return "out" if not row.counts else "clean" if row.method == CLEAN else ""
