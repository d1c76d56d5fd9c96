# SPDX-License-Identifier: Apache-2.0
"""The report: what happened to a data set, in one self-contained HTML file that a person can read and pass on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.records import write_text
from umed.core.config import from_mapping
from umed.core.errors import UmedError
from umed.core.types import Case, Dataset, Volume
from umed.data import formats
from umed.data.declared import ruled
from umed.data.layouts import find_dataset
from umed.plan.budget import to_unit
from umed.plan.facts import open_case
from umed.plan.limits import make_limits
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions
from umed.report.case_figures import describe_cases
from umed.report.case_view import CaseView, Shown, ViewRoom, view_case
from umed.report.spectrum_chart import spectrum_chart
from umed.report.template import cases, render

__all__ = ["sample_cases", "write_report"]
NAMED = 5  # cases left out of training that the page names


def write_report(
    manifest: Mapping[str, Any],
    source: Path | Dataset,
    output: Path,
    path: Path,
    *,
    probe: Mapping[str, float] | None = None,
    forecast: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a finished run, atomically; the same run gives the same bytes.

    Args:
        manifest: record of the run, see :mod:`umed.protect.manifest`.
        source: the original data set or its root, read again for the pictures.
        output: root of the protected one, read again for the pictures.
        path: file to write.
        probe: mean DSC of a quick probe victim, keys ``"clean"`` and ``"protected"``; ``None`` where there was none.
        forecast: what was forecast for the plan, see :func:`umed.cases.records.check_forecast`; ``None`` likewise.

    Returns:
        ``path``.
    """
    plan = from_mapping(Plan, manifest["plan"], "plan")
    drawn, failures = [], []
    dataset = ruled(source if isinstance(source, Dataset) else find_dataset(Path(source)), plan)
    known = {case.id: case for case in dataset.cases}
    room = ViewRoom()
    for case_id in sample_cases(manifest["cases"], plan.seed, plan.report_cases):
        try:
            drawn.append(_draw(dataset, known[case_id], Path(output), plan, room))
        except (UmedError, OSError, KeyError) as error:  # a picture less must not cost the report
            failures.append(f"{case_id} could not be drawn: {type(error).__name__}.")
    counts = Counter(case["status"] for case in manifest["cases"])
    page = render(
        "protect.html.j2",
        **describe_cases(manifest["cases"]),
        plan=plan,
        version=manifest.get("umed_version", ""),
        method=manifest.get("method", plan.method),
        protected=counts["protected"],
        total=counts.total(),
        others=[f"{counts[name]} {name}" for name in ("unchanged", "failed", "skipped") if counts[name]],
        probe=probe,
        spectrum=spectrum_chart(plan.placement),
        forecast=forecast,
        views=drawn,
        warnings=[*_notes(manifest, counts), *failures],
    )
    write_text(Path(path), page)
    return Path(path)


def _notes(manifest: Mapping[str, Any], counts: Mapping[str, int]) -> list[str]:
    """What a reader must know first."""
    notes = []
    if labels := manifest.get("labels"):
        notes.append(f"Masks: {labels}.")
    if counts["failed"]:
        notes.append(f"Failed: {cases(counts['failed'])}, not in the released folder. The table says why.")
    if unused := [f"{one['id']}: {one['reason'].rstrip('.')}" for one in manifest.get("left_out_of_training", ())]:
        more = f"; and {len(unused) - NAMED} more, see release.json" if len(unused) > NAMED else ""
        notes.append(f"Left out of training: {cases(len(unused))}. {'; '.join(unused[:NAMED])}{more}.")
    if not counts["protected"]:
        notes.append("No case was protected.")
    return notes


def sample_cases(outcomes: Sequence[Mapping[str, Any]], seed: int, count: int) -> list[str]:
    """Choose which cases are drawn; depends on the seed and the ids, not on their order.

    Args:
        outcomes: cases of the manifest.
        seed: the plan's seed.
        count: how many at most.

    Returns:
        Ids of protected cases, sorted.

    Example:
        >>> sample_cases([{"id": "a", "status": "protected"}, {"id": "b", "status": "failed"}], 0, 6)
        ['a']
    """
    return sorted(
        drawing_order([str(outcome["id"]) for outcome in outcomes if outcome["status"] == "protected"], seed)[:count]
    )


def drawing_order(ids: Sequence[str], seed: int) -> list[str]:
    """Ids in the order in which they are chosen to be drawn; depends on the seed and the ids, not on their order."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"report/{seed}/{name}".encode()).digest())


def _draw(dataset: Dataset, case: Case, output: Path, plan: Plan, room: ViewRoom) -> CaseView:
    opened = open_case(dataset, case)
    assert opened.labels is not None  # a protected case has one
    first = opened.volumes[0]
    budget = make_limits(opened.volumes, plan)[0]
    regions = plan_regions(opened.labels, first, plan)
    support = np.zeros(first.spatial_shape, bool)
    support[regions.box] = regions.roi
    written = formats.read(output / case.outputs[0])
    before, after, (low, high) = _physical(first), _physical(written), budget.unit_range
    if budget.channels:  # one display range for all would hide the channels of smaller ones
        before, after = (to_unit(one.channels, one.encoding, budget).astype(np.float64) for one in (first, written))
        low, high = 0.0, 1.0
    axis = 2 if plan.slice_axis is None else plan.slice_axis
    shown = Shown(
        original=before,
        labels=opened.labels,
        support=support,
        spacing=first.spacing,
        window=(low, high),
        amplitude=plan.epsilon * (high - low),
        axis=axis,
    )
    return view_case(case.id, shown, after, room)


def _physical(volume: Volume) -> NDArray[np.float64]:
    return np.asarray(volume.channels * volume.encoding.slope + volume.encoding.inter, dtype=np.float64)
