# SPDX-License-Identifier: Apache-2.0
"""What all charts share: colours by class, markers, legends, texts and scales; SVG that follows the page's scheme.

Eight colours that colour-blind people can tell apart, in a light and a dark version (see ``benchmark.css``); further
series repeat them with hollow markers, dashed lines and hatched bars. Clean data are always drawn in ink.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = 8
SHAPES = ("circle", "square", "triangle", "diamond", "down")
CHARACTER = 6.7
"""Width of an average character at 12 px, a little too wide rather than too narrow."""


@dataclass(frozen=True)
class Point:
    """One mark.

    Args:
        x: horizontal value.
        y: vertical value.
        low: lower end of its error bar, NaN for none.
        high: upper end.
        title: what the mouse shows.
        grey: whether it counts for nothing.
    """

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    title: str = ""
    grey: bool = False


@dataclass(frozen=True)
class ChartLine:
    """Marks of one colour.

    Args:
        name: in the legend.
        points: in the order in which a line joins them; a NaN breaks it.
        number: of its style; -1 for clean data, -2 for hollow ink.
    """

    name: str
    points: Sequence[Point]
    number: int = 0


def style(number: int) -> str:
    """Classes of a series: its colour, and ``again`` when all colours have been used."""
    if number < 0:
        return "ink" if number == -1 else "ink again"
    return f"c{number % COLOURS}{' again' if number >= COLOURS else ''}"


def marker(x: float, y: float, number: int, title: str = "", size: float = 5.0) -> str:
    """A marker of a series' own shape and colour."""
    note = f"<title>{escape(title)}</title>" if title else ""
    kind = SHAPES[0] if number < 0 else SHAPES[number % len(SHAPES)]
    if kind == "circle":
        return f'<circle class="mark {style(number)}" cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.95:.1f}">{note}</circle>'
    corners = {
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "down": [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
    }[kind]
    path = "L".join(f"{x + dx * size:.1f} {y + dy * size:.1f}" for dx, dy in corners)
    return f'<path class="mark {style(number)}" d="M{path}Z">{note}</path>'


def legend(entries: Sequence[tuple[str, int]], kind: str = "line") -> str:
    """A legend in HTML.

    Args:
        entries: name and style of each series.
        kind: ``"line"``, ``"bar"`` or ``"mark"``.

    Returns:
        A paragraph.
    """
    items = []
    for name, number in entries:
        line = f'<path class="line {style(number)}" d="M1 7H25"/>' if kind == "line" else ""
        sign = bar(8, 1, 12, 12, number) if kind == "bar" else marker(13, 7, number, size=4.5)
        items.append(f'<span><svg class="sign" viewBox="0 0 26 14">{line}{sign}</svg>{escape(name)}</span>')
    return f'<p class="legend">{"".join(items)}</p>'


def bar(x: float, y: float, width: float, height: float, number: int, title: str = "", grey: bool = False) -> str:
    """A bar of a series' colour; grey and hatched where it counts for nothing."""
    where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"'
    note = f"<title>{escape(title)}</title>" if title else ""
    shown = f'<rect class="fill {"grey" if grey else style(number)}" {where}>{note}</rect>'
    return shown + (f'<rect class="hatch" {where}/>' if grey or number >= COLOURS else "")


def whisker(x: float, low: float, high: float, half: float = 3.0) -> str:
    """A vertical error bar between two heights in pixels."""
    ends = f"M{x - half:.1f} {low:.1f}H{x + half:.1f}M{x - half:.1f} {high:.1f}H{x + half:.1f}"
    return f'<path class="whisker" d="{ends}M{x:.1f} {low:.1f}V{high:.1f}"/>'


def text(x: float, y: float, content: str, anchor: str = "middle", extra: str = "") -> str:
    """Text, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(content)}</text>'


def wrap(label: str, width: float, lines: int = 3) -> list[str]:
    """Break a label at spaces and underscores so that each line fits into a width in pixels; cut what is left.

    Example:
        >>> wrap("unetr frozen encoder", 90)
        ['unetr frozen', 'encoder']
    """
    most = max(4, int(width / CHARACTER))
    found = [""]
    for word in label.replace("_", "_ ").split(" "):
        joined = f"{found[-1]}{'' if found[-1].endswith('_') or not found[-1] else ' '}{word}"
        if len(joined) <= most or not found[-1]:
            found[-1] = joined
        else:
            found.append(word)
    found = [line if len(line) <= most + 1 else line[:most] + "…" for line in found]
    return found if len(found) <= lines else [*found[: lines - 1], found[lines - 1][: most - 1] + "…"]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values between two ends, about as many as asked for.

    Example:
        >>> ticks(0, 100), ticks(38.2, 44.1)
        ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [40.0, 42.0, 44.0])
    """
    rough = (high - low) / count
    if not rough > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(width: float, height: float, label: str, parts: Sequence[str], kind: str = "") -> str:
    """An ``<svg>`` element with a description for those who do not see it."""
    return (
        f'<svg class="plot {kind}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
