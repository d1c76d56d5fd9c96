# SPDX-License-Identifier: Apache-2.0
"""What a run over DICOM files keeps for its owner: counts of what was done, what was put aside, the report."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import keyword_for_tag

from umed.cases.instance_writer import CATEGORIES
from umed.cases.quarantine_list import write_quarantine
from umed.cases.records import AUDIT, REPORT, Store, write_json, write_text
from umed.cases.series_reader import SeriesReader
from umed.cases.series_source import SeriesSource
from umed.cases.span_units import make_volume
from umed.cases.spans import Slices
from umed.core.errors import UmedError
from umed.core.version import __version__
from umed.deid.identity import Anonymous, Identity
from umed.deid.table import edition
from umed.protect.result import Released
from umed.report.case_view import CaseView, Shown, ViewRoom, view_case
from umed.report.release_page import render_release

FORMAT = 1
TOOLS = ("pydicom", "highdicom", "numpy", "torch", "monai")
ACTIONS = {
    "D": "replaced by a dummy value",
    "Z": "emptied",
    "X": "removed",
    "K": "kept",
    "C": "cleaned",
    "U": "UID mapped",
}


def finish_series(result: Released, source: SeriesSource, store: Store, report: bool) -> Released:
    """Write what covers all series into the private folder.

    Args:
        result: what came of them.
        source: of the run; its identity decides whether the files are still those of the same patients.
        store: records of the output.
        report: write ``report.html`` too.

    Returns:
        The result with the path of the report.
    """
    identity = source.identity
    write_quarantine(store, result.quarantine)
    content = audit(result, identity)
    write_json(store.path(AUDIT), content)
    if not report:
        return result
    pictures, failures = _pictures(result, source, store.output)
    write_text(store.path(REPORT), render_release(content, result.plan, result.outcomes, pictures, failures))
    return replace(result, report=store.path(REPORT))


def identity_of(source: SeriesSource) -> dict[str, Any]:
    """What finds the pairs of an output again, for the record."""
    kind = "anonymous" if source.identity.secret else "derived"
    same = {"retain_uids": True} if source.identity.keeps_uids else {}
    return {"identity": kind, "derived": list(source.derived), **same}


def audit(result: Released, identity: Identity) -> dict[str, Any]:
    """Counts an action and a tag, what was quarantined and why, and the tools; never a value."""
    actions: dict[str, int] = Counter()
    tags: dict[str, dict[str, Any]] = {}
    for (tag, action), count in (result.actions or {}).items():
        actions[action] += count
        entry = tags.setdefault(tag, {"keyword": _keyword(tag), "actions": {}})
        entry["actions"][action] = count
    refused = Counter(entry.category for entry in result.quarantine)
    content: dict[str, Any] = {
        "format": FORMAT,
        "umed_version": __version__,
        "tools": _tools(),
        "files_written": result.written,
        "files_quarantined": {name: {"count": n, "why": CATEGORIES[name]} for name, n in sorted(refused.items())},
        "series": dict(Counter(outcome.status for outcome in result.outcomes)),
        **({"labels": result.labels} if result.labels else {}),
        "actions": {name: {"count": n, "meaning": ACTIONS.get(name, name)} for name, n in sorted(actions.items())},
        "tags": dict(sorted(tags.items())),
    }
    if isinstance(identity, Anonymous):
        content["profile"] = {
            "profile": identity.profile.name,
            "options": ", ".join(identity.profile.options) or "none",
            "table": edition(),
        }
        content["key"] = identity.key.digest()
        if identity.text_reader is not None:
            content["tools"]["tesseract"] = identity.text_reader.version
    else:
        content["quarantine"] = [asdict(entry) for entry in result.quarantine]
    return content


def _keyword(tag: str) -> str:
    try:
        if tag.endswith("0000)"):
            return "length of the group"
        return keyword_for_tag(int(tag.strip("()").replace(",", ""), 16)) or ""
    except ValueError:
        return ""


def _tools() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _pictures(result: Released, source: SeriesSource, output: Path) -> tuple[list[CaseView], list[str]]:
    """Original, protected and difference of a few series, at the slice with the largest ROI."""
    drawn: list[CaseView] = []
    failures: list[str] = []
    room = ViewRoom()
    if result.plan is None:
        return drawn, failures
    wanted = [one.id for one in result.outcomes if one.status == "protected"][: result.plan.report_cases]
    for case in wanted:
        try:
            drawn.append(_draw(case, source.open(case, result.plan), source.identity, output, room))
        except (UmedError, OSError, ValueError) as error:  # a picture less must not cost the report
            failures.append(f"{case} could not be drawn: {type(error).__name__}.")
    return drawn, failures


def _draw(case: str, reader: SeriesReader, identity: Identity, output: Path, room: ViewRoom) -> CaseView:
    series, plan = reader.series, reader.plan
    sizes = [(np.asarray(reader.mask.slices(*s.kept)) > 0).sum(axis=(1, 2)).max(initial=0) for s in reader.spans]
    index = int(np.argmax(sizes))
    span, unit = reader.spans[index], reader.unit(index)
    [volume], [budget], code = unit.volumes, unit.limits, reader.spans[index].encoding
    written = replace(series, instances=tuple(replace(i, path=output / identity.target(i)) for i in series.instances))
    after, _ = Slices(written, reader.limits).read(*span.kept)
    old, new = (make_volume(series, s, code).channels for s in (volume.stored[unit.kept], np.stack(after)))
    low, high = budget.unit_range
    shown = Shown(
        original=np.asarray(old * code.slope + code.inter, np.float64),
        labels=np.asarray(reader.mask.slices(*span.kept)),
        support=unit.kept_support(),
        spacing=volume.spacing,
        window=(low, high),
        amplitude=plan.epsilon * (high - low),
        axis=0,
        rows_first=True,
        first=span.kept[0],
        of=len(series.slices),
    )
    return view_case(case, shown, np.asarray(new * code.slope + code.inter, np.float64), room)
