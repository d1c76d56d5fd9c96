# SPDX-License-Identifier: Apache-2.0
"""Writes what covers all cases of a run: index, sidecars, manifest, report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from umed.cases.records import GENERATORS, REPORT, Store
from umed.cases.source import Source
from umed.data import layouts
from umed.data.files import hashes
from umed.protect.manifest import make_manifest, write_manifest
from umed.protect.result import Released

if TYPE_CHECKING:
    from umed.cases.file_source import FileSource
    from umed.cases.series_source import SeriesSource


def conclude(result: Released, source: Source, store: Store, method: str, report: bool) -> Released:
    """Write what covers all cases.

    Args:
        result: what came of them.
        source: of the run.
        store: records of the output.
        method: the method with its options, in words.
        report: write ``umed/report.html`` too.

    Returns:
        The result with the paths of what was written.
    """
    if source.layout == "dicom":
        from umed.protect.audit import finish_series

        return finish_series(result, cast("SeriesSource", source), store, report)
    plan, dataset = result.plan, cast("FileSource", source).dataset
    assert plan is not None
    released = {outcome.id for outcome in result.outcomes if outcome.status in ("protected", "unchanged")}
    layouts.write_index(dataset, released, store.output)
    manifest = make_manifest(plan, source.layout, result.outcomes, left_out=result.left_out, labels=result.labels)
    manifest |= {"method": method, "generators": hashes(store.path(GENERATORS))}
    write_manifest(store.output, manifest)
    if not report:
        return result
    from umed.report.protect_page import write_report

    return replace(result, report=write_report(manifest, dataset.root, store.output, store.path(REPORT)))
