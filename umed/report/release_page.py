# SPDX-License-Identifier: Apache-2.0
"""Turns the audit of a DICOM release into a page: what was written, quarantined, removed and changed; never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from umed.core.types import Outcome
from umed.plan.planning import Plan
from umed.report.case_figures import describe_cases
from umed.report.case_view import CaseView
from umed.report.spectrum_chart import spectrum_chart
from umed.report.template import render

STATUSES = ("protected", "unchanged", "carried", "failed")


def render_release(
    audit: Mapping[str, Any],
    plan: Plan | None,
    outcomes: Sequence[Outcome],
    views: Sequence[CaseView],
    warnings: Sequence[str] = (),
) -> str:
    """Say what a release did.

    Args:
        audit: content of ``report.json``.
        plan: ``None`` when nothing was to be protected.
        outcomes: one a series.
        views: the series that are shown.
        warnings: what went wrong while drawing.

    Returns:
        The page.
    """
    found = describe_cases(
        [{"id": one.id, "status": one.status, "reason": one.reason, **one.measures} for one in outcomes]
    )
    counts: Counter[str] = Counter(one.status for one in outcomes)
    if not counts["protected"]:
        found["chart"] = ""
    return render(
        "release.html.j2",
        **found,
        audit=audit,
        profile=audit.get("profile", {}),
        plan=plan,
        spectrum="" if plan is None else spectrum_chart(plan.placement),
        done=[*(["anonymized"] if "profile" in audit else []), *(["protected"] if plan is not None else [])],
        series=len(outcomes) - counts["failed"],
        held_back=sum(entry["count"] for entry in audit["files_quarantined"].values()),
        released=", ".join(f"{counts[name]} series {name}" for name in STATUSES if counts[name]),
        views=views,
        warnings=[*([f"Masks: {audit['labels']}."] if audit.get("labels") else []), *warnings],
    )
