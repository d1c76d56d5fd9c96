# SPDX-License-Identifier: Apache-2.0
"""A data set in, its protected copy out: plan, train where the method learns, then each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from umed.cases.proposals import Proposals, marked, read_proposals, sentence
from umed.cases.records import GENERATORS, REPORT, Store, check_run, hash_of, start_run
from umed.core.config import Settings, make_settings
from umed.core.errors import ConfigError, UmedError
from umed.core.types import Dataset, Outcome, Progress
from umed.core.version import __version__
from umed.data import layouts
from umed.data.dicom_input import takes_dicom
from umed.data.paths import no_paths
from umed.execution import Task, execute
from umed.methods.base import Method, make_method
from umed.methods.prepare import Samples, check_given, explain, hashes, prepare
from umed.plan.facts import gather
from umed.plan.planning import make_plan
from umed.protect.loop import Share, make_shares, protect_case, protect_share
from umed.protect.manifest import make_manifest, write_manifest
from umed.protect.result import Result


def protect(
    input: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    generators: str | Path | None = None,
    masks: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Result:
    """Write a protected copy of a segmentation data set.

    Args:
        input: data set in a known layout, or a folder or zip of DICOM files; never changed.
        output: new folder outside ``input``.
        recipe: name, file or mapping of settings.
        settings: used as they are instead of the recipe.
        generators: folder of trained generators; nothing is trained then.
        masks: for DICOM: folder with masks beside those in the input.
        resume: go on with a stopped run; the result has the same bytes as that of an unbroken one.
        overwrite: first delete what umed wrote to ``output``, and only that.
        report: write ``umed/report.html``.
        workers: local processes that share the cases, once the method is trained; the bytes are the same.
        scheduler: address of a Dask scheduler whose workers see both folders, instead of local processes.
        threads: of each local process; the cores divided by the workers if ``None``.
        progress: called with a stage, the steps done and the steps in all.
        overrides: any setting, such as ``epsilon="8/255"``, laid over the recipe.

    Returns:
        What came of each case.

    Raises:
        InputError: when the input is no data set, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another plan.
        BudgetError: never for a single case, whose failure is recorded in its outcome.
    """
    chosen = make_settings(recipe, overrides) if settings is None else settings
    target = Path(output)
    if takes_dicom(Path(input), masks):
        if workers != 1 or scheduler is not None:
            raise ConfigError("workers: DICOM series are protected one after the other so far. Leave --workers out.")
        return _protect_dicom(Path(input), target, chosen, masks, generators, resume, overwrite, report, progress)
    dataset = layouts.find_dataset(Path(input))
    proposals = read_proposals(dataset.root)
    check_run(dataset, target, resume=resume, overwrite=overwrite)
    plan = make_plan(gather(dataset), chosen)
    method = make_method(plan)
    given = None if generators is None else Path(generators)
    check_given(method, given)
    store = start_run(dataset, target, plan, resume=resume, overwrite=overwrite)

    def samples() -> Samples:
        from umed.training.file_samples import FileSamples

        found = FileSamples(dataset, plan)
        return found, [(case, no_paths(why, dataset, target)) for case, why in found.left_out]

    left_out = prepare(method, plan, store, given, samples, progress)
    plan = explain(method, plan)
    run = hash_of([plan.fingerprint, *sorted(hashes(store.path(GENERATORS)).values())])
    if workers == 1 and scheduler is None:
        outcomes = []
        for done, case in enumerate(dataset.cases):
            outcomes.append(protect_case(method, plan, dataset, case, store, run))
            if progress is not None:
                progress("protect", done + 1, len(dataset.cases))
    else:
        outcomes = _elsewhere(make_shares(dataset, target, plan, run, workers), workers, scheduler, threads, progress)
    outcomes = marked(outcomes, proposals)
    return _finish(Result(target, plan, tuple(outcomes), left_out), method, dataset, store, report, proposals)


def _protect_dicom(
    source: Path,
    output: Path,
    settings: Settings,
    masks: str | Path | None,
    generators: str | Path | None,
    resume: bool,
    overwrite: bool,
    report: bool,
    progress: Progress | None,
) -> Result:
    """Derived DICOM images of the same patients; ``umed anonymize --protect`` makes them nobody's."""
    from umed.release.anonymize import release
    from umed.release.job import Request

    request = Request(
        protect=True,
        masks=None if masks is None else Path(masks),
        syntax="explicit-le",
        settings=settings,
        generators=None if generators is None else Path(generators),
    )
    done = release(
        source, output, None, request, resume=resume, overwrite=overwrite, report=report, progress=progress
    )  # fmt: skip
    assert done.plan is not None
    aside = tuple((entry.name, entry.reason) for entry in done.quarantine if entry.category != "no-dicom")
    return Result(output, done.plan, done.outcomes, done.left_out, done.report, aside)


def _elsewhere(
    shares: Sequence[Share], workers: int, scheduler: str | None, threads: int | None, progress: Progress | None
) -> list[Outcome]:
    """Do the cases on other processes; the outcomes come back in the order of the data set."""
    tasks = [Task(f"cases from {share.cases[0]} on", protect_share, (share,)) for share in shares]
    done = execute(
        tasks,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        on_done=None if progress is None else lambda _done, count, total: progress("protect", count, total),
    )
    failed = next((one for one in done.values() if one.error is not None), None)
    if failed is not None:
        raise UmedError(f"{failed.name}: {failed.error} What was done is kept: give --resume to go on.")
    return [outcome for one in done.values() for outcome in one.value]


def _finish(
    result: Result, method: Method, dataset: Dataset, store: Store, report: bool, proposals: Proposals | None
) -> Result:
    """Write what covers all cases: index, sidecars, manifest, report."""
    released = {outcome.id for outcome in result.outcomes if outcome.status in ("protected", "unchanged")}
    layouts.write_index(dataset, released, store.output)
    labels = sentence(result.outcomes, proposals)
    manifest = make_manifest(result.plan, dataset.layout, result.outcomes, __version__, result.left_out, labels)
    manifest |= {"method": repr(method), "generators": hashes(store.path(GENERATORS))}
    write_manifest(store.output, manifest)
    if not report:
        return result
    from umed.report.protect_page import write_report

    path = write_report(manifest, dataset.root, store.output, store.path(REPORT))
    return replace(result, report=path)
