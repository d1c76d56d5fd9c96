# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG that take their colours from the page, so that they follow its light and dark scheme."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 44
MOST_BARS = 16


def histogram(values: Sequence[float], *, label: str, unit: str = "") -> str:
    """Draw how values are spread, as a bar chart.

    Args:
        values: the figures; what is not finite is left out and counted below the chart.
        label: what is counted along the horizontal axis.
        unit: unit of the values.

    Returns:
        An ``<svg>`` element, or a sentence where there is nothing to draw.

    Example:
        >>> histogram([], label="PSNR")
        '<p class="quiet">No figures for PSNR.</p>'
    """
    finite = [float(value) for value in values if np.isfinite(value)]
    if not finite:
        return f'<p class="quiet">No figures for {html.escape(label)}.</p>'
    low, high = min(finite), max(finite)
    if high - low < 0.5:  # equal figures would give bars of width 0
        low, high = low - 0.25, high + 0.25
    count = max(4, min(MOST_BARS, 1 + len(finite) // 2))
    counts, edges = np.histogram(finite, bins=count, range=(low, high))
    tallest = int(counts.max())
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step, after = plot_width / count, f" {unit}" if unit else ""
    parts = []
    for level in range(0, tallest + 1, max(1, -(-tallest // 4))):  # at most five grid lines
        y = TOP + plot_height * (1 - level / tallest)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    for i, number in enumerate(counts):
        if number:
            height = plot_height * number / tallest
            title = f"{edges[i]:.2f} to {edges[i + 1]:.2f}{after}: {number} case{'s' if number > 1 else ''}"
            parts.append(
                f'<rect class="bar" x="{LEFT + i * step + 1:.1f}" y="{TOP + plot_height - height:.1f}" rx="2" '
                f'width="{step - 2:.1f}" height="{height:.1f}"><title>{html.escape(title)}</title></rect>'
            )
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = low + share * (high - low)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        x, y = LEFT + share * plot_width, HEIGHT - BOTTOM + 16
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{value:.1f}</text>')
    middle = LEFT + plot_width / 2
    mean = f"mean {np.mean(finite):.2f}{after}"
    left_out = len(values) - len(finite)
    note = f", {left_out} without a finite figure" if left_out else ""
    caption = html.escape(f"{label}{f' ({unit})' if unit else ''}; {mean}{note}")
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{caption}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(f"{label}: {mean}")}">'
        f"{''.join(parts)}</svg>"
    )
