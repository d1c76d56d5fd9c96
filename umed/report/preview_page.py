# SPDX-License-Identifier: Apache-2.0
"""The page that shows a few cases as several strengths would leave them, side by side, before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from umed.plan.planning import Plan
from umed.report.case_figures import MEANS, CaseFigures, mean
from umed.report.pictures import Picture
from umed.report.spectrum_chart import spectrum_chart
from umed.report.template import render

WHERE = "original: where it may change"
AMPLIFIED = 16
"""How much every difference is amplified, whatever its bound, so that strengths can be compared."""


@dataclass(frozen=True)
class Tried:
    """A case as one strength leaves it.

    Args:
        name: of the strength.
        picture: its pictures, ``None`` where it cannot be protected so.
        figures: its figures, ``None`` there.
        reason: why there is none.
    """

    name: str
    picture: Picture | None = None
    figures: CaseFigures | None = None
    reason: str = ""


@dataclass(frozen=True)
class PreviewCase:
    """A case in all strengths.

    Args:
        id: case id.
        tried: one a strength, at least one of them with a picture.
        payload: what the viewer gets, see :mod:`umed.report.case_view`.
    """

    id: str
    tried: tuple[Tried, ...]
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> Picture:
        """Pictures of the first strength that has some, for the original."""
        return next(one.picture for one in self.tried if one.picture is not None)

    @property
    def names(self) -> list[str]:
        """Names of the views in the order of the page; a strength that failed has none."""
        parts = [[one.name, difference_name(one.name)] for one in self.tried if one.picture is not None]
        return ["original", WHERE, *(name for part in parts for name in part)]


def difference_name(strength: str) -> str:
    """Name of the view of a strength's difference."""
    return f"{strength}, difference × {AMPLIFIED}"


def render_preview(
    plans: Sequence[tuple[str, Plan]], cases: Sequence[PreviewCase], warnings: Sequence[str] = ()
) -> str:
    """Make the page. It holds originals: never to be published.

    Args:
        plans: name and plan of each strength.
        cases: what is shown.
        warnings: what the reader must know first.

    Returns:
        A complete HTML document.
    """
    return render(
        "preview.html.j2",
        plans=plans,
        cases=cases,
        means={name: preview_means(cases, name) for name, _ in plans},
        factor=AMPLIFIED,
        where=WHERE,
        spectrum=next((chart for _, plan in plans if (chart := spectrum_chart(plan.placement))), ""),
        warnings=["This page shows original images: never publish it, keep it where it lies.", *warnings],
    )


def preview_means(cases: Sequence[PreviewCase], name: str) -> dict[str, float]:
    """Mean over the cases of each figure of a strength; NaN where there is none."""
    rows = [one.figures for case in cases for one in case.tried if one.name == name and one.figures is not None]
    return {key: mean([value for row in rows if (value := getattr(row, key)) == value]) for key in MEANS}
