# SPDX-License-Identifier: Apache-2.0
"""Which charts the report draws, and from which rows; ``None`` or nothing where there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umed.benchmark.report.svg_charts import bars, panel, ranges, scatter
from umed.benchmark.report.svg_heatmap import Tile, heatmap
from umed.benchmark.report.svg_marks import ChartLine, Point, legend
from umed.benchmark.results.cells import CLEAN, NONE, Cell
from umed.benchmark.results.overview import CHOICE_WORDS, Overview, overview, worst_cases
from umed.benchmark.results.statistics import NAN
from umed.benchmark.results.summary import Summary, SummaryRow, natural
from umed.benchmark.results.text_tables import difference, percent
from umed.core.config import parse_number
from umed.core.errors import ConfigError
from umed.report.template import number

DSC = "DSC, %"
Curve = Callable[[Cell], Sequence[tuple[float, float | None]]]


@dataclass(frozen=True)
class Drawing:
    """Charts that share a legend.

    Args:
        charts: SVG; the first alone is wide and scrolls, unless they are small.
        legend: HTML.
        small: whether they stand side by side.
    """

    charts: Sequence[str]
    legend: str = ""
    small: bool = False


def style_numbers(summary: Summary) -> dict[str, int]:
    """Style of each method, the same in all charts; -1 for clean data."""
    protections = [name for name in summary.methods if name != CLEAN]
    return {CLEAN: -1} | {name: number for number, name in enumerate(protections)}


def worst_chart(summary: Summary, data: str) -> Drawing | None:
    """Clean control and protected victim, on average and of the strongest thief, one row a method."""
    worst = sorted((one for one in worst_cases(summary) if one.row.data == data), key=lambda one: one.row.dsc.mean)
    rows = []
    for one in worst:
        row = one.row
        thief = f"{row.victim}, {row.countermeasure}, {CHOICE_WORDS[row.choice]}"
        lines = [
            [(-1, one.plain_control, _WORST[0][0]), (0, one.plain, _WORST[1][0])],
            [(-2, row.control, f"{thief}, on clean images"), (1, row.dsc.mean, f"{thief}, on protected images")],
        ]
        rows.append((row.method, [[_mark(*mark) for mark in line] for line in lines]))
    if not rows:
        return None
    return Drawing([ranges(rows, f"{DSC}, clean test cases; further left protects better")], legend(_WORST, "mark"))


_WORST = (
    ("clean, mean of victims, no countermeasure", -1),
    ("protected, mean of victims, no countermeasure", 0),
    ("clean, the strongest thief", -2),
    ("protected, the strongest thief", 1),
)


def _mark(number_: int, value: float, name: str) -> ChartLine:
    return ChartLine(name, [Point(100 * value, 0, title=f"{name}: {percent(value)} %")], number_)


def victims_chart(summary: Summary, data: str) -> Drawing | None:
    """DSC of each victim before and after, no countermeasure, last checkpoint."""
    numbers = style_numbers(summary)
    rows = summary.pick(data=data, countermeasure=NONE)
    victims = [name for name in summary.victims if any(row.victim == name for row in rows)]
    series = []
    for method in summary.methods:
        points = []
        for row in rows:
            if row.method == method:
                place, score = victims.index(row.victim), row.dsc
                ends = (100 * score.low, 100 * score.high)
                points.append(Point(place, 100 * score.mean, *ends, _title(row), not row.counts))
        if points:
            series.append(ChartLine(method, points, numbers[method]))
    if not series:
        return None
    names = [(one.name, one.number) for one in series]
    return Drawing([bars(victims, series, f"{DSC}, with the 95 % interval over cases")], legend(names, "bar"))


def curve_panels(summary: Summary, cells: Sequence[Cell], data: str) -> dict[str, Drawing]:
    """Curves over training, one small chart a victim, for each kind of curve that there is."""
    numbers = style_numbers(summary)
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.spec.data == data and cell.spec.countermeasure == NONE:
            groups.setdefault((cell.spec.victim, cell.spec.method), []).append(cell)
    found = {}
    for kind, (curve, across, up) in _CURVES.items():
        loss, panels, shown = up == "loss", [], set()
        for victim in summary.victims:
            lines = []
            for method in summary.methods:
                points = _mean_curve([curve(cell) for cell in groups.get((victim, method), [])], 1 if loss else 100)
                if points:
                    lines.append(ChartLine(method, points, numbers[method]))
                    shown.add((method, numbers[method]))
            limits, marks = None if loss else (0, 100), not loss and len(lines) < 8
            panels.append(panel(lines, victim, across, up, limits=limits, marks=marks))
        if any(panels):
            found[kind] = Drawing(panels, legend(sorted(shown, key=lambda one: one[1])), small=True)
    return found


_CURVES: dict[str, tuple[Curve, str, str]] = {
    "DSC on clean validation cases": (lambda cell: [one[:2] for one in cell.validation], "optimiser step", DSC),
    "DSC on protected validation cases": (lambda cell: [one[::2] for one in cell.validation], "optimiser step", DSC),
    "training loss": (
        lambda cell: [(100 * (i + 1) / len(cell.loss), loss) for i, loss in enumerate(cell.loss)],
        "share of the training, %",
        "loss",
    ),
}


def heat_maps(summary: Summary, data: str) -> dict[str, Drawing]:
    """Countermeasures against methods: mean and highest DSC, share brought back, and each victim on its own."""
    tried, methods = summary.tried(data)
    if len(tried) < 2:
        return {}
    views = {(name, method): overview(summary, data, method, name) for name in tried for method in methods}
    usual = {method: views[NONE, method].counted for method in methods} if NONE in tried else {}

    def draw(value: Callable[[Overview], float], label: str, shown: Sequence[str], apart: int) -> Drawing:
        lines = [[_overview_tile(views[name, method], value, usual) for method in shown] for name in tried]
        return Drawing([heatmap(tried, shown, lines, label, apart)])

    apart = 1 if CLEAN in methods else 0
    protections = [name for name in methods if name != CLEAN]
    found = {
        "mean of victims": draw(lambda one: one.mean, "DSC, mean of the victims that count", methods, apart),
        "highest victim": draw(lambda one: one.highest, "DSC of the victim that learns most", methods, apart),
    }
    if any(math.isfinite(one.brought_back) for one in views.values()):
        label = "share of the lost DSC that comes back"
        found["brought back"] = draw(lambda one: one.brought_back, label, protections, 0)
    for victim in summary.victims:
        rows = summary.pick(data=data, victim=victim)
        own = {(row.countermeasure, row.method): Tile(row.dsc.mean, _title(row), not row.counts) for row in rows}
        names = [name for name in tried if any((name, method) in own for method in methods)]
        if len(names) > 1:
            tiles = [[own.get((name, method), Tile()) for method in methods] for name in names]
            found[victim] = Drawing([heatmap(names, methods, tiles, f"DSC of {victim}", apart)])
    return found


def tradeoff(summary: Summary, data: str) -> Drawing | None:
    """DSC without countermeasure against PSNR, one point a method."""
    numbers = style_numbers(summary)
    series = []
    for method in summary.methods:
        one = overview(summary, data, method, NONE)
        psnr = next((row.psnr for row in summary.pick(data=data, method=method)), NAN)
        if method != CLEAN and one.counted and math.isfinite(psnr):
            ends = f"{percent(one.lowest)} to {percent(one.highest)}"
            title = f"{method}: {psnr:.2f} dB, DSC {percent(one.mean)} % ({ends})"
            point = Point(psnr, 100 * one.mean, 100 * one.lowest, 100 * one.highest, title)
            series.append(ChartLine(method, [point], numbers[method]))
    control = overview(summary, data, CLEAN, NONE).mean
    line = (100 * control, "clean control") if math.isfinite(control) else None
    up = f"{DSC}, mean of the victims that count, lowest to highest"
    chart = scatter(series, "PSNR of the whole images, dB; further right is harder to see", up, line)
    return Drawing([chart]) if chart else None


def sweeps(summary: Summary, cells: Sequence[Cell], data: str) -> Drawing | None:
    """DSC over the strength of each countermeasure of which only one number changes."""
    numbers = style_numbers(summary)
    _, methods = summary.tried(data)
    panels = []
    for name, (option, values) in find_sweeps([cell for cell in cells if cell.spec.data == data]).items():
        names = [*([NONE] if summary.pick(data=data, countermeasure=NONE) else []), *values]
        lines = []
        for method in methods:
            points: list[Point] = []
            for place, key in enumerate(names):
                one = overview(summary, data, method, key)
                title = f"{method}, {key}: {percent(one.mean)} % ({len(one.counted)} of {one.victims} victims count)"
                points += [Point(place, 100 * one.mean, title=title)]
                points += [Point(place, NAN)] if key == NONE else []
            lines.append(ChartLine(method, points, numbers[method]))
        marks = [values.get(key, NONE) for key in names]
        panels.append(panel(lines, name, option, DSC, names=marks, limits=(0, 100)))
    if not any(panels):
        return None
    return Drawing(panels, legend([(method, numbers[method]) for method in methods]), small=True)


def find_sweeps(cells: Sequence[Cell]) -> dict[str, tuple[str, dict[str, str]]]:
    """Countermeasures of which exactly one option, a number, takes several values.

    Args:
        cells: of one data set.

    Returns:
        The option, and the shown value by label in rising order, for each name.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for cell in cells:
        steps = cell.spec.settings.get("countermeasures")
        if isinstance(steps, list) and len(steps) == 1 and isinstance(steps[0], Mapping):
            found.setdefault(str(steps[0].get("name")), {})[cell.spec.countermeasure] = steps[0].get("options") or {}
    sweeps: dict[str, tuple[str, dict[str, str]]] = {}
    for name in sorted(found, key=natural):
        options = found[name]
        keys = sorted({key for one in options.values() for key in one})
        varying = [key for key in keys if len({str(one.get(key)) for one in options.values()}) > 1]
        if len(varying) == 1:
            values = {label: _value(one.get(varying[0])) for label, one in options.items()}
            if all(math.isfinite(value) for value in values.values()):
                order = sorted(values, key=lambda label: values[label])
                sweeps[name] = (varying[0], {label: _shown(varying[0], values[label]) for label in order})
    return sweeps


def spectra(summary: Summary) -> dict[str, Drawing]:
    """Power over spatial frequency before and after, one small chart a protection, by data set."""
    panels: dict[str, list[str]] = {}
    for price in summary.prices:
        spectrum = price.get("measures", {}).get("spectrum")
        if not spectrum:
            continue
        lines = []
        for name, style in _SPECTRUM:
            pairs = zip(spectrum["frequency"], spectrum[name], strict=True)
            # The first is the mean, which was taken off: rounding errors that would stretch the axis.
            lines.append(ChartLine(name, [Point(x, y) for x, y in pairs][1:], style))
        across = "spatial frequency, cycles per pixel"
        chart = panel(lines, str(price.get("method")), across, "power", logarithmic=True, marks=False)
        panels.setdefault(str(price.get("data")), []).append(chart)
    return {data: Drawing(charts, legend(_SPECTRUM), small=True) for data, charts in panels.items() if any(charts)}


_SPECTRUM = (("original", -1), ("protected", 0), ("difference", 1))


def _mean_curve(curves: Sequence[Sequence[tuple[float, float | None]]], factor: float) -> list[Point]:
    """Mean over seeds at each step."""
    places: dict[float, list[float]] = {}
    for curve in curves:
        for x, y in curve:
            if y is not None and math.isfinite(y):
                places.setdefault(x, []).append(factor * y)
    return [Point(x, float(np.mean(places[x])), title=f"{np.mean(places[x]):.1f}") for x in sorted(places)]


def _overview_tile(one: Overview, value: Callable[[Overview], float], usual: Mapping[str, tuple[str, ...]]) -> Tile:
    if not one.victims:
        return Tile()
    title = (
        f"{one.method}, {one.countermeasure}: DSC {percent(one.mean)} % ({percent(one.lowest)} to "
        f"{percent(one.highest)}), clean control {percent(one.control)} %, brought back "
        f"{number(100 * one.brought_back, '{:.0f}')} %, costs {number(100 * one.cost, '{:.1f}')} points; "
        f"{len(one.counted)} of {one.victims} victims count"
    )
    fewer = set(one.counted) != set(usual.get(one.method, one.counted))
    return Tile(value(one), title, mark="*" if fewer else "")


def _title(row: SummaryRow) -> str:
    flags = f"; {', '.join(row.flags)}" if row.flags else ""
    against = "" if row.method == CLEAN else f", clean {percent(row.control)} %, difference {difference(row)}"
    interval = f"[{percent(row.dsc.low)}, {percent(row.dsc.high)}]"
    return f"{row.method}, {row.victim}, {row.countermeasure}: DSC {percent(row.dsc.mean)} % {interval}{against}{flags}"


def _value(value: Any) -> float:
    """A number, or a fraction such as ``"4/255"``; NaN else."""
    try:
        return parse_number(value)
    except ConfigError:
        return NAN


def _shown(option: str, value: float) -> str:
    steps = 255 * value
    if option.startswith("epsilon") and abs(steps - round(steps)) < 1e-6:
        return f"{round(steps)}/255"
    return f"{value:.4g}"
