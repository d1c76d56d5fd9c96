# SPDX-License-Identifier: Apache-2.0
"""A table of shares as colours, as inline SVG; the scale is cividis, which colour-blind people read the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from umed.benchmark.report.svg_marks import CHARACTER, svg, text

LINE, GAP = 25.0, 14.0
# Nuñez, Anderton and Renslow, Optimizing colormaps with consideration for color vision deficiency, arXiv 1712.01662.
CIVIDIS = (
    (0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115),
    (138, 134, 120), (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56),
)  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """One entry.

    Args:
        value: a share, drawn as a colour from 0 to 1; NaN for none.
        title: what the mouse shows.
        grey: whether it counts for nothing.
        mark: put behind the number.
    """

    value: float = math.nan
    title: str = ""
    grey: bool = False
    mark: str = ""


def heatmap(
    rows: Sequence[str], columns: Sequence[str], tiles: Sequence[Sequence[Tile]], label: str, apart: int = 0
) -> str:
    """Draw a heat map.

    Args:
        rows: names.
        columns: names, drawn aslant.
        tiles: one line a row.
        label: what the colours mean.
        apart: leading columns that stand apart, such as the clean control.

    Returns:
        An ``<svg>`` element.
    """
    left = 16 + CHARACTER * max(map(len, rows), default=0)
    longest = CHARACTER * max(map(len, columns), default=0)
    top = 14 + longest * math.sin(math.radians(35)) + 10
    cell = min(84.0, max(56.0, 760.0 / max(len(columns), 1)))
    starts = [left + i * cell + (GAP if apart and i >= apart else 0) for i in range(len(columns))]
    right = starts[-1] + cell if starts else left
    wide = max(right + longest * math.cos(math.radians(35)) - cell / 2 + 8, left + 330)
    bottom = top + LINE * len(rows)
    parts = []
    for start, name in zip(starts, columns, strict=True):
        x, y = start + cell / 2, top - 8
        parts.append(text(x, y, name, "start", f' class="name" transform="rotate(-35 {x:.1f} {y:.1f})"'))
    for index, (name, line) in enumerate(zip(rows, tiles, strict=True)):
        y = top + LINE * index
        parts.append(text(left - 8, y + LINE / 2 + 4, name, "end", ' class="name"'))
        parts += [_tile(start, y, cell, tile) for start, tile in zip(starts, line, strict=True)]
    return svg(wide, bottom + 46, label, [*parts, _scale(left, bottom + 14, label)], "heat")


def _tile(x: float, y: float, width: float, tile: Tile) -> str:
    where = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" height="{LINE - 2:.0f}" rx="2"'
    note = f"<title>{escape(tile.title)}</title>" if tile.title else ""
    if math.isnan(tile.value):
        return f'<rect class="none" {where}>{note}</rect>' + (
            text(x + width / 2, y + LINE / 2 + 4, "–", extra=' class="quiet"') if tile.title else ""
        )
    shown = f"{100 * tile.value:.1f}{tile.mark}".replace("-", "−")
    if tile.grey:
        grey = f'<rect class="fill grey" {where}>{note}</rect><rect class="hatch" {where}/>'
        return grey + text(x + width / 2, y + LINE / 2 + 4, f"{shown}†", extra=' class="quiet"')
    colour = cividis(tile.value)
    ink = "#10141c" if 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] > 120 else "#ffffff"
    rgb = "#{:02x}{:02x}{:02x}".format(*colour)
    number = text(x + width / 2, y + LINE / 2 + 4, shown, extra=f' style="fill:{ink}" pointer-events="none"')
    return f'<rect {where} fill="{rgb}">{note}</rect>{number}'


def cividis(share: float) -> tuple[int, int, int]:
    """Colour of a share from 0 to 1 (what lies beyond takes the end's): dark blue to yellow.

    Example:
        >>> cividis(0.0), cividis(1.5)
        ((0, 34, 78), (254, 232, 56))
    """
    place, known = share * (len(CIVIDIS) - 1), range(len(CIVIDIS))
    red, green, blue = (round(float(np.interp(place, known, part))) for part in zip(*CIVIDIS, strict=True))
    return red, green, blue


def _scale(x: float, y: float, label: str) -> str:
    steps = 40
    parts = [
        f'<rect x="{x + 4 * i:.1f}" y="{y:.1f}" width="4.5" height="10" '
        f'fill="#{"".join(f"{part:02x}" for part in cividis(i / (steps - 1)))}"/>'
        for i in range(steps)
    ]
    ends = [text(x, y + 24, "0"), text(x + 2 * steps, y + 24, "50"), text(x + 4 * steps, y + 24, "100 %")]
    return "".join([*parts, *ends, text(x + 4 * steps + 12, y + 9, label, "start")])
