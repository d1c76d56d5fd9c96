# SPDX-License-Identifier: Apache-2.0
"""Writes what covers all cases of a run: index, sidecars, report, record, and the page and manifest that go public."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from umed.cases.records import ABOUT, COMMITMENT, GENERATORS, REPORT, Store, close_private, write_text
from umed.cases.source import Source
from umed.core.keyfile import Key, Secret
from umed.core.types import Progress
from umed.data import layouts
from umed.data.files import RECORDS, hashes, sha256
from umed.protect.card_files import renew_card
from umed.protect.commitment import COMMITMENT_FILE, write_commitment
from umed.protect.manifest import list_files, make_record, write_manifest, write_record
from umed.protect.result import Released
from umed.protect.unlocking import UnlockPlan, finish_unlock
from umed.report.about_page import render_about

if TYPE_CHECKING:
    from umed.cases.file_source import FileSource
    from umed.cases.series_source import SeriesSource


def conclude(
    result: Released,
    source: Source,
    store: Store,
    secret: Secret,
    method: str,
    report: bool,
    unlock: UnlockPlan,
    progress: Progress | None = None,
) -> Released:
    """Write what covers all cases.

    Args:
        result: what came of them.
        source: of the run.
        store: records of the output.
        secret: of the release.
        method: the method with its options, in words.
        report: write ``report.html`` too.
        unlock: who may have the originals.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        The result with the paths of what was written.
    """
    record = make_record(result.plan, source.layout, result.outcomes, left_out=result.left_out, labels=result.labels)
    record |= {"release": secret.release, "method": method, "generators": hashes(store.path(GENERATORS))}
    record |= {"accounting": {**result.files.to_record(), "public": result.files.public()}}
    if source.layout == "dicom":
        from umed.protect.audit import finish_series, identity_of

        others: dict[str, str] = {}
        series = cast("SeriesSource", source)
        result = finish_series(result, series, store, report)
        record |= identity_of(series)
        if series.identity.secret:  # names of files may be those of patients
            record["accounting"] = {"files": len(result.files.files), "public": result.files.public()}
    else:
        result, others = _finish_files(result, cast("FileSource", source), store, record, report)
    listed = list_files(source, store, result.outcomes, others)
    more, said = finish_unlock(unlock, source, store, result.outcomes, listed, progress)
    more |= _commitment(store, secret, result)
    record |= {"files": {**listed, **more}}
    record["files"] |= renew_card(store, record)
    publish(store, secret.key, record)
    return replace(result, unlock=said)


def _finish_files(
    result: Released, source: FileSource, store: Store, record: Mapping[str, Any], report: bool
) -> tuple[Released, dict[str, str]]:
    """Index, carried files and report; gives the files that belong to no case, and what each is, too."""
    dataset = source.dataset
    released = {outcome.id for outcome in result.outcomes if outcome.status in ("protected", "unchanged")}
    contents, copies = source.others(released)
    layouts.write_others(dataset.root, contents, copies, store.output)
    names = {**dict.fromkeys(contents, "other"), **dict.fromkeys(copies, "carried")}
    others = {path.as_posix(): what for path, what in names.items()}
    if report:
        from umed.report.protect_page import write_report

        path = store.path(REPORT)
        result = replace(result, report=write_report(record, dataset, store.output, path, forecast=store.forecast()))
    return result, others


def _commitment(store: Store, secret: Secret, result: Released) -> dict[str, Any]:
    """What is published of the copies, as the manifest lists it; nothing where no case has a twin."""
    if not write_commitment(store, secret, result.outcomes):
        return {}
    return {COMMITMENT_FILE: {"sha256": sha256(store.public(COMMITMENT)), "what": "other"}}


def publish(store: Store, key: Key, record: dict[str, Any]) -> None:
    """Write the public page, the record and the manifest, and take the private folder from all but its owner.

    Args:
        store: of the output.
        key: of the release.
        record: with ``"files"`` of all cases.
    """
    write_text(store.public(ABOUT), render_about(record))
    page = {f"{RECORDS}/{ABOUT}": {"sha256": sha256(store.public(ABOUT)), "what": "other"}}
    record["files"] = dict(sorted({**record["files"], **page}.items()))
    write_record(store, key, record)
    close_private(store.folder)
    write_manifest(store, key, record)


def report_again(store: Store, key: Key, record: Mapping[str, Any], **more: Any) -> None:
    """Write the report of a finished run once more, with what was measured since; the record then vouches for it.

    Args:
        store: of the output.
        key: of the release.
        record: of the run.
        more: further arguments of :func:`umed.report.protect_page.write_report`, ``source`` among them.
    """
    from umed.report.protect_page import write_report

    write_report(record, output=store.output, path=store.path(REPORT), forecast=store.forecast(), **more)
    write_record(store, key, record)
    close_private(store.folder)
