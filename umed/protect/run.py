# SPDX-License-Identifier: Apache-2.0
"""A data set in, its protected copy out: plan, train where the method learns, then each case; one way for all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umed.cases.opening import open_source
from umed.cases.proposals import marked, sentence
from umed.cases.quarantine_list import keep_all_aside
from umed.cases.records import (
    GENERATORS,
    KEY,
    LOCK,
    Store,
    check_forecast,
    hash_of,
    make_private,
)
from umed.cases.source import Request, Source, fates_of, given_path
from umed.core.config import Settings, make_settings
from umed.core.errors import InputError, UmedError
from umed.core.keyfile import Key, Secret
from umed.core.reasons import group_reasons
from umed.core.types import Progress
from umed.data.dicom_input import OTHER_FILES
from umed.data.files import check_apart, hashes, only_one
from umed.execution import check_execution
from umed.plan.planning import Plan
from umed.protect.conclude import conclude
from umed.protect.kept_forecast import keep_forecast
from umed.protect.loop import DISK, full, make_shares, protect_elsewhere, protect_here
from umed.protect.recipient_label import check_recipient, keep_recipient, recipient_mark
from umed.protect.release_findings import ReleaseCheck, ReleaseFinding, make_check
from umed.protect.result import Released, Result
from umed.protect.start import check_key_place, check_run, find_key, start_run
from umed.protect.unlocking import UnlockPlan, plan_unlock

if TYPE_CHECKING:
    from umed.methods.base import Method


def protect(
    input: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    generators: str | Path | None = None,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    key_file: str | Path | None = None,
    private: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    check: bool = True,
    forecast: Mapping[str, Any] | None = None,
    recipients: str | Path | None = None,
    unlock_dir: str | Path | None = None,
    recipient: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Result:
    """Write a protected copy of a segmentation data set.

    Args:
        input: data set in a known layout, or a folder or zip of DICOM files; never changed. DICOM files become derived
            images of the same patients; ``umed anonymize --protect`` makes them nobody's.
        output: new folder outside ``input``.
        recipe: name, file or mapping of settings.
        settings: used as they are instead of the recipe.
        generators: folder of trained generators; nothing is trained then.
        masks: for DICOM: folder with masks beside those in the input.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        key_file: secret from ``umed keygen``, from which every code is drawn; made in the private folder if ``None``.
        private: folder for what must never be published: key, generators, plan, records, report with originals;
            ``OUTPUT-private`` if ``None``.
        resume: go on with a stopped run; the result has the same bytes as that of an unbroken one.
        overwrite: first delete what umed wrote to ``output``, and only that.
        report: write ``report.html`` into the private folder.
        check: at the end, do what :func:`umed.check_release` does.
        forecast: what ``umed.forecast(...).to_dict()`` said of this plan; kept in the private folder and shown in the
            report. One that was made for other files or settings is left out, with a warning. A resumed run keeps its
            own if ``None``.
        recipients: file of public keys of age (``age1...``), one a line: for them, and nobody else, what gives the
            originals back is written beside the release, see :mod:`umed.unlock`. A resumed run keeps its own.
        unlock_dir: folder for that, outside ``output``; ``umed/unlock`` in it if ``None``.
        recipient: name of whoever gets this copy: two names give two codes, and a trace says whose copy it was, see
            :mod:`umed.trace`. It stays in the private folder. A resumed run keeps its own.
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
    request = Request(Path(input), chosen, masks=given_path(masks), layout=given_path(layout))
    options = RunOptions(
        *(generators, resume, overwrite, report, workers, scheduler, threads, key_file, private, check, forecast),
        recipients=recipients,
        unlock_dir=unlock_dir,
        recipient=recipient,
    )
    done = run(request, Path(output), options, progress=progress)
    assert done.plan is not None
    aside = tuple((entry.name, entry.reason) for entry in done.quarantine if entry.category != "no-dicom")
    return Result(
        *(done.output, done.private, done.plan, done.outcomes, done.left_out, done.report, aside),
        check=done.check,
        shared_code=done.shared_code,
        forecast=done.forecast,
        forecast_unfit=done.forecast_unfit,
        files=done.files,
        unlock=done.unlock,
    )


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; none of it but the key and the recipient decides a byte of the images.

    Args:
        generators: folder or file of trained generators; nothing is trained then.
        resume: go on with a stopped run.
        overwrite: replace an earlier run.
        report: write the report.
        workers: local processes that share the cases.
        scheduler: address of a Dask scheduler, instead of local processes.
        threads: of each local process.
        key_file: of the release; made in the private folder if ``None``.
        private: folder for what must never be published; beside the output if ``None``.
        check: look the output over at the end, see :mod:`umed.protect.check_release`.
        forecast: what was forecast for the plan, to be kept and shown.
        recipients: file of public keys of those who may have the originals.
        unlock_dir: folder for what gives them back; in the output if ``None``.
        recipient: whose copy it is.
    """

    generators: str | Path | None = None
    resume: bool = False
    overwrite: bool = False
    report: bool = True
    workers: int = 1
    scheduler: str | None = None
    threads: int | None = None
    key_file: str | Path | None = None
    private: str | Path | None = None
    check: bool = True
    forecast: Mapping[str, Any] | None = None
    recipients: str | Path | None = None
    unlock_dir: str | Path | None = None
    recipient: str | None = None


def run(
    request: Request,
    output: Path,
    options: RunOptions,
    *,
    progress: Progress | None = None,
) -> Released:
    """Do a run; :func:`protect` and :func:`umed.release.anonymize.anonymize` both end here.

    Args:
        request: what is read, and how it is written.
        output: output root.
        options: how it is done.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        What came of it.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another one.
        UmedError: when the disk is full.
    """
    check_execution(options.workers, options.scheduler, options.threads)
    if options.forecast is not None:
        check_forecast(options.forecast, "forecast")
    store = Store(output, None if options.private is None else Path(options.private))
    key_file = None if options.key_file is None else Path(options.key_file)
    check_key_place(key_file, output)
    check_run(request.path, None, store, resume=options.resume, overwrite=options.overwrite)
    key = find_key(store, key_file)
    unlock = plan_unlock(
        *(store, given_path(options.recipients), given_path(options.unlock_dir), request.path),
        protects=request.settings is not None,
        overwrite=options.overwrite,
    )
    if request.masks is not None:
        check_apart(request.masks, output)
    with open_source(request, progress=progress) as source:
        if not source.sizes:
            why = "; ".join(group_reasons((one.name, one.reason) for one in source.refused)) or "no file was found"
            note = keep_all_aside(store, source.refused)
            raise InputError(
                f"{request.path}: expected DICOM files, got none that can be released ({why}). {OTHER_FILES}{note}"
            )
        try:
            return _run(source, request, store, key, options, unlock, progress)
        except OSError as error:
            if error.errno not in DISK:
                raise
            raise UmedError(f"{output}: {full(error)}") from error


def _run(
    source: Source,
    request: Request,
    store: Store,
    key: Key | None,
    options: RunOptions,
    unlock: UnlockPlan,
    progress: Progress | None,
) -> Released:
    try:
        plan = None if request.settings is None else source.make_plan(request.settings)
    except InputError as error:
        raise InputError(f"{error}{keep_all_aside(store, source.all_aside)}") from error
    given = None if options.generators is None else Path(options.generators)
    method = _make(plan, given)
    check_recipient(options.recipient, method)
    _ = source.proposals  # a damaged record is refused before anything is written
    check_run(  # once more: now the names of DICOM files are known, too
        source.root, source.targets(), store, resume=options.resume, overwrite=options.overwrite, strict=source.strict
    )
    make_private(store.folder)
    store.output.mkdir(parents=True, exist_ok=True)
    with only_one(store.path(LOCK), str(store.folder)), only_one(store.output, str(store.output)):
        key = start_run(source, store, plan, key, resume=options.resume, overwrite=options.overwrite)
        return _work(source, request, store, key, plan, method, options, unlock, progress)


def _work(
    source: Source,
    request: Request,
    store: Store,
    key: Key,
    plan: Plan | None,
    method: Method | None,
    options: RunOptions,
    unlock: UnlockPlan,
    progress: Progress | None,
) -> Released:
    """Train, do every case, and write what covers all of them."""
    given = None if options.generators is None else Path(options.generators)
    expected, unfit = keep_forecast(store, source, plan, options.forecast, trained=given is not None)
    proposals = source.proposals
    recipient = keep_recipient(store, options.recipient)
    mark = recipient_mark(key, recipient)
    secret = Secret(key, release_id(source, plan, mark))
    left_out: tuple[tuple[str, str], ...] = ()
    if method is not None and plan is not None:
        method.secret = secret
        left_out, plan = _ready(method, plan, store, source, given, progress)
    decisive = hash_of([json.dumps(source.decisive(plan), sort_keys=True), key.digest(), *mark])
    whole = source.name_run(decisive, list(hashes(store.path(GENERATORS)).values()))
    if options.workers == 1 and options.scheduler is None:
        done = protect_here(source, store, method, plan, whole, progress)
    else:
        file = store.path(KEY) if options.key_file is None else Path(options.key_file)
        shares = make_shares(source, request, store, plan, file, secret.release, whole, options.workers)
        done = protect_elsewhere(shares, options.workers, options.scheduler, options.threads, progress)
    outcomes = marked([one.outcome for one in done], proposals)
    aside = [*source.refused, *(entry for one in done for entry in one.quarantine)]
    released = Released(
        store.output,
        store.folder,
        tuple(outcomes),
        tuple(sorted(aside, key=lambda entry: entry.name)),
        sum((one.actions for one in done), Counter()),
        plan,
        left_out,
        labels=sentence(outcomes, proposals),
        shared_code="" if method is None else method.shared_code(),
        forecast="" if expected is None else str(expected["sentence"]),
        forecast_unfit=unfit,
        files=source.account(fates_of(outcomes), aside),
        warnings=tuple(source.warnings),
    )
    said = "" if method is None else repr(method)
    released = conclude(released, source, store, secret, said, options.report, unlock, progress)
    if not options.check:
        return released
    return replace(released, check=look_over(store, source.root, key, progress, layout=request.layout))


def look_over(
    store: Store, root: Path, key: Key, progress: Progress | None, *, layout: Path | None = None
) -> ReleaseCheck:
    """Check the output as a steward would before the upload; what cannot be checked is a problem, not an end."""
    from umed.protect.check_release import check_release

    try:
        return check_release(
            store.output, original=root, layout=layout, private=store.folder, key=key, progress=progress
        )
    except UmedError as error:
        return make_check(str(store.output), 0, [ReleaseFinding("not-checked", str(store.output), str(error))])


def release_id(source: Source, plan: Plan | None, mark: Sequence[str] = ()) -> str:
    """What tells a release from others of the same key: a hash of all settings that decide its bytes.

    Args:
        source: of the run.
        plan: likewise.
        mark: of the recipient, see :func:`umed.protect.recipient_label.recipient_mark`.
    """
    return hash_of([json.dumps(source.decisive(plan), sort_keys=True), *mark])


def _make(plan: Plan | None, given: Path | None) -> Method | None:
    """The method, untrained; what is wrong with it is said before anything is written. Torch is imported only here."""
    if plan is None:
        return None
    from umed.methods.base import make_method
    from umed.methods.prepare import check_given

    method = make_method(plan)
    check_given(method, given)
    return method


def _ready(
    method: Method, plan: Plan, store: Store, source: Source, given: Path | None, progress: Progress | None
) -> tuple[tuple[tuple[str, str], ...], Plan]:
    """Train the method or load it; gives the cases that were left out, and the plan with what the method says."""
    from umed.methods.prepare import Samples, explain, prepare

    def samples() -> Samples:
        from umed.training.samples import training_samples

        return training_samples(source, plan, public=True, progress=progress)

    left_out = prepare(method, plan, store, given, samples, progress)
    return left_out, explain(method, plan)
