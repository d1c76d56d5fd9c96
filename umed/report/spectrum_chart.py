# SPDX-License-Identifier: Apache-2.0
"""The natural spectrum and the codes that placement found in it, as inline SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from umed.report.template import fraction

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 34, 44
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LINES = {"opponent colours": "colour", "brightness": "light", "grey values": "light"}
"""Class of the line of each colour direction, see ``page.css``."""


def spectrum_chart(placement: Mapping[str, Any]) -> str:
    """Draw nature's rms by band, inside the ROI (solid) and around it (dashed), and the codes of both strengths.

    Args:
        placement: of a plan, see :mod:`umed.plan.strength`.

    Returns:
        An ``<svg>`` element; empty where nothing was measured.
    """
    zones = [(placement[zone], zone) for zone in ("inside", "around")] if placement else []
    curves = [(name, zone, rms) for found, zone in zones for name, rms in found.items()]
    codes: Sequence[Mapping[str, Any]] = placement.get("codes", ())
    heights = [value for _, _, rms in curves for value in rms if value]
    if not heights:
        return ""
    bands = placement["bands"]
    shown = max([b for _, _, rms in curves for b, value in enumerate(rms) if value] + [one["band"] for one in codes])
    heights += [one["rms"] for one in codes]
    low, high = _ends(heights)

    def x(band: int) -> float:
        return float(LEFT + (WIDTH - LEFT - RIGHT) * (band + 0.5) / (shown + 1))

    def y(rms: float) -> float:
        return float(TOP + (HEIGHT - TOP - BOTTOM) * math.log(high / rms) / math.log(high / low))

    parts = []
    for tick in TICKS:
        if low <= tick <= high:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for band in range(shown + 1):
        name = html.escape(bands[band].removesuffix(" px"))
        parts.append(f'<text x="{x(band):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{name}</text>')
    for name, zone, rms in curves:
        places = [(x(band), y(value)) for band, value in enumerate(rms) if value]
        if places:
            title = f"{name}, {zone} the ROI: " + ", ".join(
                f"{value:.2g} ({bands[band]})" for band, value in enumerate(rms) if value
            )
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            kind = f"curve {LINES.get(name, 'light')} {zone}"
            parts.append(f'<polyline class="{kind}" points="{line}"><title>{html.escape(title)}</title></polyline>')
    parts += [_mark(one, x(one["band"]), y(one["rms"]), bands) for one in codes]
    parts += _legend([name for name, zone, _ in curves if zone == "inside"], bool(codes))
    caption = f"rms of 255, by period in px; {placement['cases']} cases, ROI {placement['roi_px']:.0f} px across"
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(caption)}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="natural spectrum and codes">'
        f"{''.join(parts)}</svg>"
    )


def _ends(heights: Sequence[float]) -> tuple[float, float]:
    """Ends of the vertical axis, with some air."""
    low, high = min(heights), max(heights)
    return max(low / 1.5, 1e-3), max(high * 1.5, low * 3)


def _mark(code: Mapping[str, Any], x: float, y: float, bands: Sequence[str]) -> str:
    """A code: a dot in its band with its bound beside it."""
    title = (
        f"{code['strength']}, {fraction(code['epsilon'])}: {code['carrier']}, {code['direction']}, "
        f"{bands[code['band']]}: rms {code['rms']:.1f}, {code['loudness']:.1f} times as loud as nature"
    )
    return (
        f'<circle class="code" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{html.escape(title)}</title></circle>'
        f'<text x="{x + 9:.1f}" y="{y + 4:.1f}">{code["strength"]} {fraction(code["epsilon"])}</text>'
    )


def _legend(names: Sequence[str], codes: bool) -> list[str]:
    """One line above the chart; letters take about 7 units."""
    parts, at = [], float(LEFT)
    for name in names:
        kind, words = LINES.get(name, "light"), f"nature, {name}"
        parts.append(f'<line class="curve {kind}" x1="{at:.0f}" x2="{at + 22:.0f}" y1="16" y2="16"/>')
        parts.append(f'<text x="{at + 28:.0f}" y="20">{html.escape(words)}</text>')
        at += 44 + 6.5 * len(words)
    parts.append(f'<text x="{at:.0f}" y="20">dashed: around the ROI</text>')
    if codes:
        parts.append(f'<circle class="code" cx="{at + 160:.0f}" cy="16" r="5"/>')
        parts.append(f'<text x="{at + 170:.0f}" y="20">code</text>')
    return parts
