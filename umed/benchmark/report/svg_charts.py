# SPDX-License-Identifier: Apache-2.0
"""Bars, lines, scattered points and ranges as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from umed.benchmark.report.svg_marks import (
    CHARACTER,
    ChartLine,
    Point,
    bar,
    marker,
    style,
    svg,
    text,
    ticks,
    whisker,
    wrap,
)

PANEL = (330, 236)
"""Width and height of one of several small charts."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 26.0, 40.0


def bars(groups: Sequence[str], series: Sequence[ChartLine], label: str) -> str:
    """Grouped bars with error bars, from 0 to 100 %.

    Args:
        groups: name of each group.
        series: one bar a group each; the point's ``x`` is the group's index.
        label: of the vertical axis.

    Returns:
        An ``<svg>`` element, wide enough for bars of six pixels.
    """
    inner = max(1000.0 - LEFT - RIGHT, len(groups) * (len(series) * 7.0 + 20.0))
    wide, step = LEFT + inner + RIGHT, inner / max(len(groups), 1)
    lines = [wrap(name, step - 8) for name in groups]
    bottom = 14.0 + 15 * max((len(one) for one in lines), default=1)
    high = TOP + 250 + bottom
    parts = _levels(LEFT, wide - RIGHT, TOP, high - bottom, 0, 100, label)
    thick = min(34.0, (step - 16) / max(len(series), 1))
    scale = (high - bottom - TOP) / 100
    for index, words in enumerate(lines):
        middle = LEFT + (index + 0.5) * step
        parts += [
            text(middle, high - bottom + 18 + 15 * i, line, extra=' class="name"') for i, line in enumerate(words)
        ]
        start = middle - thick * len(series) / 2
        for place, one in enumerate(series):
            for point in one.points:
                if point.x == index and math.isfinite(point.y):
                    x, y = start + place * thick, high - bottom - point.y * scale
                    parts.append(bar(x + 0.5, y, thick - 1, point.y * scale, one.number, point.title, point.grey))
                    if math.isfinite(point.low):
                        low, top = (high - bottom - max(0.0, value) * scale for value in (point.low, point.high))
                        parts.append(whisker(x + thick / 2, low, top, min(3.0, thick / 3)))
                    if point.grey:
                        top = y if math.isnan(point.high) else high - bottom - point.high * scale
                        parts.append(text(x + thick / 2, top - 4, "†"))
    return svg(wide, high, label, parts, "wide")


def panel(
    series: Sequence[ChartLine],
    title: str,
    across: str,
    up: str,
    *,
    names: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    logarithmic: bool = False,
    marks: bool = True,
) -> str:
    """One small chart of lines.

    Args:
        series: the lines.
        title: above it.
        across: label of the horizontal axis.
        up: label of the vertical axis.
        names: of the positions 0, 1, ... along the horizontal axis; numbers if empty.
        limits: of the vertical axis; those of the values if ``None``.
        logarithmic: whether the vertical axis shows powers of ten.
        marks: whether each point has a marker.

    Returns:
        An ``<svg>`` element; a sentence where there is nothing to draw.
    """

    def shown(point: Point) -> bool:
        return math.isfinite(point.y) and (point.y > 0 or not logarithmic)

    height = math.log10 if logarithmic else float
    every = [point for one in series for point in one.points if shown(point)]
    if not every:
        return ""
    wide, high = PANEL
    right, bottom = wide - RIGHT, high - BOTTOM
    low_x, high_x = (-0.4, len(names) - 0.6) if names else _ends([point.x for point in every])
    low_y, high_y = limits or _ends([height(point.y) for point in every])
    parts = [text(LEFT - 34, 14, title, "start", ' class="name"')]
    # Powers of ten leave no room for a label beside them.
    parts += _levels(LEFT, right, TOP, bottom, low_y, high_y, "" if logarithmic else up, logarithmic)

    def place(x: float, y: float) -> tuple[float, float]:
        above = (min(max(height(y), low_y), high_y) - low_y) / (high_y - low_y)
        return LEFT + (x - low_x) / (high_x - low_x) * (right - LEFT), bottom - above * (bottom - TOP)

    marked = list(enumerate(names)) if names else [(x, f"{x:g}") for x in ticks(low_x, high_x, 4)]
    parts += [text(place(x, every[0].y)[0], bottom + 15, str(name)) for x, name in marked]
    parts.append(text((LEFT + right) / 2, high - 6, across))
    for one in series:
        marked_points, runs = [], [""]
        for point in one.points:
            if not shown(point):
                runs.append("")
                continue
            x, y = place(point.x, point.y)
            runs[-1] += f"{'L' if runs[-1] else 'M'}{x:.1f} {y:.1f}"
            if marks:
                marked_points.append(marker(x, y, one.number, point.title, 3.2))
        path = "".join(run for run in runs if "L" in run)
        parts.append(f'<path class="line {style(one.number)}" d="{path}"/>' if path else "")
        parts += marked_points
    return svg(wide, high, f"{title}: {up} by {across}", parts, "panelled")


def scatter(series: Sequence[ChartLine], across: str, up: str, line: tuple[float, str] | None = None) -> str:
    """Points with ranges, named in a column to the right that leaders join to them.

    Args:
        series: usually one point each.
        across: label of the horizontal axis.
        up: label of the vertical axis, 0 to 100 %.
        line: height and name of a horizontal line.

    Returns:
        An ``<svg>`` element; empty where there is nothing to draw.
    """
    points = [(point, one) for one in series for point in one.points if math.isfinite(point.x + point.y)]
    if not points:
        return ""
    names = max(len(one.name) for _, one in points) * CHARACTER
    wide, high = 1000.0, max(330.0, TOP + BOTTOM + 26.0 * len(points))
    right, bottom = wide - 40 - max(names, 90), high - BOTTOM
    low_x, high_x = _ends([point.x for point, _ in points], 0.08)
    parts = _levels(LEFT, right, TOP, bottom, 0, 100, up)
    for value in ticks(low_x, high_x, 6):
        x = LEFT + (value - low_x) / (high_x - low_x) * (right - LEFT)
        parts += [f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>', text(x, bottom + 15, f"{value:g}")]
    parts.append(text((LEFT + right) / 2, high - 6, across))
    scale = (bottom - TOP) / 100
    if line is not None:
        y = bottom - line[0] * scale
        parts.append(f'<path class="line ink dashed" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(text(LEFT + 6, y - 6, line[1], "start"))
    points.sort(key=lambda pair: -pair[0].y)
    places = spaced([bottom - point.y * scale for point, _ in points], 16.0, TOP + 6, bottom)
    for (point, one), named in zip(points, places, strict=True):
        x, y = LEFT + (point.x - low_x) / (high_x - low_x) * (right - LEFT), bottom - point.y * scale
        leader = f"M{x + 7:.1f} {y:.1f}L{right + 8:.1f} {named:.1f}H{right + 14:.1f}"
        parts.append(f'<path class="leader {style(one.number)}" d="{leader}"/>')
        if math.isfinite(point.low):
            parts.append(whisker(x, bottom - point.low * scale, bottom - point.high * scale))
        parts.append(marker(x, y, one.number, point.title))
        parts.append(marker(right + 22, named, one.number, size=4.2))
        parts.append(text(right + 32, named + 4, one.name, "start", ' class="name"'))
    return svg(wide, high, f"{up} by {across}", parts, "wide")


def ranges(rows: Sequence[tuple[str, Sequence[Sequence[ChartLine]]]], across: str) -> str:
    """Lines with marks on them, from 0 to 100 %.

    Args:
        rows: name of each row and its lines, each with its marks; a point's ``x`` is its place.
        across: label of the horizontal axis.

    Returns:
        An ``<svg>`` element.
    """
    left = 20 + CHARACTER * max((len(name) for name, _ in rows), default=0)
    wide, step = 1000.0, 36.0
    bottom, right = 12 + step * len(rows), wide - 24
    scale = (right - left) / 100
    parts = []
    for value in range(0, 101, 20):
        x = left + value * scale
        parts += [f'<path class="grid" d="M{x:.1f} 8V{bottom:.1f}"/>', text(x, bottom + 16, str(value))]
    for index, (name, lines) in enumerate(rows):
        middle = 12 + step * (index + 0.5)
        parts.append(text(left - 12, middle + 4, name, "end", ' class="name"'))
        for place, series in enumerate(lines):
            y = middle + 11 * (place - (len(lines) - 1) / 2)
            found = [(point, one.number) for one in series for point in one.points if math.isfinite(point.x)]
            ends = [left + scale * point.x for point, _ in found]
            if found:
                parts.append(f'<path class="span" d="M{min(ends):.1f} {y:.1f}H{max(ends):.1f}"/>')
            parts += [marker(left + scale * point.x, y, number, point.title) for point, number in found]
    parts.append(text((left + right) / 2, bottom + 36, across))
    return svg(wide, bottom + 44, across, parts, "wide")


def spaced(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Move sorted places apart so that none is nearer to the next than a distance, within two ends if that fits.

    Example:
        >>> spaced([10.0, 12.0, 90.0], 10.0, 0.0, 95.0)
        [10.0, 20.0, 90.0]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(place, low if not moved else moved[-1] + least))
    limit = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - least
    return moved


def _levels(
    left: float, right: float, top: float, bottom: float, low: float, high: float, label: str, powers: bool = False
) -> list[str]:
    """Horizontal grid lines with their values, and the label of the axis above them."""
    middle = (top + bottom) / 2
    upright = text(10, middle, label, "middle", f' transform="rotate(-90 10 {middle:.1f})"')
    parts = [text(left, top - 8, label, "start") if right - left > 400 else upright]
    values = ticks(low, high, 4 if bottom - top < 200 else 5)
    if powers:
        values = [value for value in values if value == round(value)]
    for value in values:
        y = bottom - (value - low) / (high - low) * (bottom - top)
        shown = f"1e{value:.0f}" if powers else f"{value:g}"
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        parts.append(text(left - 6, y + 4, shown, "end"))
    return parts


def _ends(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    """Smallest and largest value, apart and with a margin."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return low - margin * (high - low), high + margin * (high - low)
