# SPDX-License-Identifier: Apache-2.0
"""A data set in, its protected copy out: plan, train where the method learns, then one case at a time.

Every file is written under a temporary name, read back, checked against its promises, and only then renamed. A case
that fails leaves nothing behind and does not stop the others.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed import __version__, io
from umed.budget import Budget
from umed.config import Settings, make_settings
from umed.errors import ConfigError, UmedError, VerificationError
from umed.facts import gather, open_case
from umed.generators import Samples, hashes, prepare
from umed.io import files, layouts
from umed.io.dicom import is_dicom, require_dicom
from umed.manifest import make_manifest, write_manifest
from umed.methods.base import Method, make_limits, make_method
from umed.metrics import different, measure
from umed.planning import Plan, make_plan
from umed.records import GENERATORS, REPORT, Record, Store, check_run, hash_of, start_run
from umed.regions import plan_regions
from umed.registry import resolve
from umed.result import Result
from umed.types import Case, Dataset, Outcome, Progress, Regions, Volume

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)


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
    if is_dicom(Path(input)):
        return _protect_dicom(Path(input), target, chosen, masks, generators, resume, overwrite, report, progress)
    if masks is not None:
        raise ConfigError(f"--masks {masks}: expected DICOM files as input, got another layout. Leave the option out.")
    dataset = layouts.find_dataset(Path(input))
    check_run(dataset, target, resume=resume, overwrite=overwrite)
    plan = make_plan(gather(dataset), chosen)
    method = make_method(plan)
    store = start_run(dataset, target, plan, resume=resume, overwrite=overwrite)

    def samples() -> Samples:
        from umed.samples import FileSamples

        found = FileSamples(dataset, plan)
        return found, [(case, _no_paths(why, dataset, target)) for case, why in found.left_out]

    given = None if generators is None else Path(generators)
    left_out = prepare(method, plan, store, given, samples, progress)
    run = hash_of([plan.fingerprint, *sorted(hashes(store.path(GENERATORS)).values())])
    outcomes = []
    for done, case in enumerate(dataset.cases):
        outcomes.append(_case(method, plan, dataset, case, store, run))
        if progress is not None:
            progress("protect", done + 1, len(dataset.cases))
    return _finish(Result(target, plan, tuple(outcomes), left_out), method, dataset, store, report)


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
    require_dicom()
    from umed.release.job import Request
    from umed.release.run import release

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


def _case(method: Method, plan: Plan, dataset: Dataset, case: Case, store: Store, run: str) -> Outcome:
    """Do one case, or find that it was done; failures become its outcome."""
    if case.label is None:
        return Outcome(case.id, "skipped", "no label, so there is no telling what to protect; not copied")
    record = store.read(case.id)
    if record is not None and record.stands(run, dataset.root, store.output):
        return record.to_outcome()
    try:
        record = _process(method, plan, dataset, case, store, run)
    except OSError as error:
        _discard(case, store)
        if error.errno in FULL:
            raise UmedError(f"{store.output}: the disk is full. Free some space and give --resume to go on.") from error
        record = Record(asdict(Outcome(case.id, "failed", _reason(error, dataset, store.output))), run)
    except Exception as error:  # one bad case never stops the batch
        _discard(case, store)
        if not isinstance(error, UmedError):
            logger.warning("case %s failed unexpectedly", case.id, exc_info=True)
        record = Record(asdict(Outcome(case.id, "failed", _reason(error, dataset, store.output))), run)
    store.write(case.id, record)
    return record.to_outcome()


def _reason(error: Exception, dataset: Dataset, output: Path) -> str:
    """One line without the machine's folders, since it goes into the manifest."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, UmedError):
        text = f"{type(error).__name__}: {text}"
    return _no_paths(text, dataset, output)


def _no_paths(text: str, dataset: Dataset, output: Path) -> str:
    """A message without the machine's folders and memory addresses; the data set's own names stay."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    for root in (dataset.root, dataset.root.resolve(), output, output.resolve()):
        text = text.replace(f"{root}/", "")
    return re.sub(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\s'\":,;]*[\\/])?", "", text)


def _discard(case: Case, store: Store) -> None:
    """Take back what a failed case, or an earlier run of it, has left in the output."""
    for name in (*case.outputs, case.label):
        if name is not None:
            (store.output / name).unlink(missing_ok=True)


def _process(method: Method, plan: Plan, dataset: Dataset, case: Case, store: Store, run: str) -> Record:
    """Protect one case: everything under temporary names, checked, then renamed together."""
    opened = open_case(dataset, case)
    assert opened.labels is not None and case.label is not None
    volumes = opened.volumes
    regions = plan_regions(opened.labels, volumes[0], plan)
    del opened
    known = {name: volume.sha256 for volume, name in zip(volumes, case.images, strict=True)}
    names = (*case.images, case.label)
    sources = {name.as_posix(): known.get(name) or files.sha256(dataset.root / name) for name in names}
    limits = [] if regions.empty else make_limits(volumes, plan)
    changed = None if regions.empty else method(volumes, regions, plan=plan, case_id=case.id, limits=limits)
    outputs, measures = {}, []
    with ExitStack() as stack:
        for i, (volume, name) in enumerate(zip(volumes, case.outputs, strict=True)):
            temporary = stack.enter_context(files.atomic(store.output / name))
            if changed is not None:
                io.write(volume, changed[i], temporary)
                back = _read_back(volume, changed[i], temporary)
                changed[i] = back.stored  # one array less in memory
                digest = back.sha256 or files.sha256(temporary)
                figures = measure(volume, back.stored, regions, limits[i])
                _check(volume, back.stored, regions, limits[i], figures["largest_step"], name)
            else:
                figures = {}
                digest = _unchanged(volume, case.images[i] == name, temporary)
            outputs[name.as_posix()] = digest
            measures.append(
                {**figures, "sha256_in": sources[case.images[i].as_posix()], "sha256_out": outputs[name.as_posix()]}
            )
        label = stack.enter_context(files.atomic(store.output / case.label))
        digest = files.checked_copy(dataset.root / case.label, label, sources[case.label.as_posix()])
        outputs[case.label.as_posix()] = digest
    if regions.empty:
        lossy = case.images != case.outputs
        reason = "the label is empty, so there is nothing to protect; the pixels are unchanged"
        reason += ", written as png because the source is lossy" if lossy else ""
        outcome = Outcome(case.id, "unchanged", reason, {"files": measures, "label_sha256": digest})
    else:
        outcome = Outcome(case.id, "protected", "", {"files": measures, "label_sha256": digest})
    return Record(asdict(outcome), run, sources, outputs)


def _unchanged(volume: Volume, same_format: bool, temporary: Path) -> str:
    if same_format:
        return files.checked_copy(volume.source, temporary, volume.sha256)
    io.write(volume, volume.stored, temporary)
    return _read_back(volume, volume.stored, temporary).sha256 or files.sha256(temporary)


def _read_back(volume: Volume, stored: NDArray[Any], path: Path) -> Volume:
    """Read a written file, once, and make sure that it says exactly what was meant; it knows its bytes' checksum."""
    back = io.read(path)
    same = back.stored.shape == stored.shape and back.stored.dtype == stored.dtype
    if not same or different(back.stored, stored).any():
        raise VerificationError(f"{path.name}: expected the values that were written, got others. Check the disk.")
    difference = io.header_difference(volume, back)
    if difference:
        raise VerificationError(f"{path.name}: {difference}. Report this file's format as a bug.")
    return back


def _check(volume: Volume, stored: NDArray[Any], regions: Regions, limit: Budget, largest: float, name: Path) -> None:
    """The promises of one written file; :mod:`umed.verify` proves them again from the files alone."""
    if largest > limit.bound_stored:
        raise VerificationError(f"{name}: expected steps up to {limit.bound_stored:g}, got {largest:g}. Report a bug.")
    moved = different(volume.stored, stored)
    moved = np.asarray(moved.any(axis=-1)) if volume.channels_last else moved
    if int(moved.sum()) != int((moved[regions.box] & regions.support).sum()):
        raise VerificationError(f"{name}: expected changes inside ROI and contour only, got others. Report a bug.")


def _finish(result: Result, method: Method, dataset: Dataset, store: Store, report: bool) -> Result:
    """Write what covers all cases: index, sidecars, manifest, report."""
    released = {outcome.id for outcome in result.outcomes if outcome.status in ("protected", "unchanged")}
    layouts.write_index(dataset, released, store.output)
    manifest = make_manifest(result.plan, dataset.layout, result.outcomes, __version__, result.left_out)
    manifest |= {"method": repr(method), "generators": hashes(store.path(GENERATORS))}
    write_manifest(store.output, manifest)
    if not report:
        return result
    write_report = resolve("report", "html")
    path = write_report(manifest, dataset.root, store.output, store.path(REPORT))
    return replace(result, report=path)
