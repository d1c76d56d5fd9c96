# SPDX-License-Identifier: Apache-2.0
"""Protects one case after the other: written under a temporary name, read back, checked, and only then renamed.

A case that fails leaves nothing behind and does not stop the others. Cases do not depend on each other, so any process
that sees both folders may do some of them.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.records import GENERATORS, Record, Store
from umed.core.errors import BudgetError, UmedError, VerificationError
from umed.core.types import Case, Dataset, Outcome, Regions, Volume
from umed.data import files, formats, layouts
from umed.data.paths import no_paths
from umed.methods.base import Method, make_method
from umed.plan.budget import Budget
from umed.plan.facts import open_case
from umed.plan.limits import make_limits
from umed.plan.metrics import different, largest_step, measure
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Share:
    """Some cases of a run, for any process that sees both folders.

    Args:
        root: data set.
        output: output root, with the trained generators of a method that learns.
        plan: the plan as JSON.
        run: hash of all that decides the output.
        cases: ids.
    """

    root: Path
    output: Path
    plan: str
    run: str
    cases: tuple[str, ...]


def protect_share(share: Share) -> list[Outcome]:
    """Do a share of the cases.

    Args:
        share: which cases of which run.

    Returns:
        One outcome a case, in the order of the share.

    Raises:
        UmedError: when the disk is full.
    """
    method, plan, dataset = _ready(share.root, share.output, share.plan, share.run)
    by_id = {case.id: case for case in dataset.cases}
    store = Store(share.output)
    return [protect_case(method, plan, dataset, by_id[name], store, share.run) for name in share.cases]


@lru_cache(maxsize=1)
def _ready(root: Path, output: Path, text: str, run: str) -> tuple[Method, Plan, Dataset]:
    """Method, plan and data set of a run, once for each process."""
    plan = Plan.from_json(text)
    method = make_method(plan)
    if method.requires_training:
        method.load(Store(output).path(GENERATORS))
        method.to(plan.device)
    return method, plan, layouts.find_dataset(root)


def make_shares(dataset: Dataset, output: Path, plan: Plan, run: str, workers: int) -> Sequence[Share]:
    """Cut a run into shares, several for each worker, so that none waits long for the last one.

    Args:
        dataset: data set.
        output: output root.
        plan: the plan.
        run: hash of all that decides the output.
        workers: how many processes there are, about.

    Returns:
        The shares; together they hold every case once.
    """
    ids = [case.id for case in dataset.cases]
    size = max(1, len(ids) // (8 * workers))
    parts = [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]
    root, out = dataset.root.resolve(), output.resolve()
    return [Share(root, out, plan.to_json(), run, part) for part in parts]


def protect_case(method: Method, plan: Plan, dataset: Dataset, case: Case, store: Store, run: str) -> Outcome:
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
    return no_paths(text, dataset, output)


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
                formats.write(volume, changed[i], temporary)
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
        if changed is not None and not any(figures["voxels_changed"] for figures in measures):
            raise BudgetError(
                f"{case.id}: expected changed voxels, got none: all are outside the range, or the noise is below half "
                "a stored step. Set range or epsilon, or train the generator longer."
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
    formats.write(volume, volume.stored, temporary)
    return _read_back(volume, volume.stored, temporary).sha256 or files.sha256(temporary)


def _read_back(volume: Volume, stored: NDArray[Any], path: Path) -> Volume:
    """Read a written file, once, and make sure that it says exactly what was meant; it knows its bytes' checksum."""
    back = formats.read(path)
    same = back.stored.shape == stored.shape and back.stored.dtype == stored.dtype
    if not same or different(back.stored, stored).any():
        raise VerificationError(f"{path.name}: expected the values that were written, got others. Check the disk.")
    difference = formats.header_difference(volume, back)
    if difference:
        raise VerificationError(f"{path.name}: {difference}. Report this file's format as a bug.")
    return back


def outside(regions: Regions) -> NDArray[np.bool_]:
    """Voxels of the full grid that are not labelled."""
    free = np.ones(regions.shape, bool)
    free[regions.box] = regions.labels == 0
    return free


def _check(volume: Volume, stored: NDArray[Any], regions: Regions, limit: Budget, largest: float, name: Path) -> None:
    """The promises of one written file; :mod:`umed.verify` proves them again from the files alone."""
    if largest > limit.bound_stored:
        raise VerificationError(f"{name}: expected steps up to {limit.bound_stored:g}, got {largest:g}. Report a bug.")
    if limit.background is not None:
        weak = largest_step(volume.channels, replace(volume, stored=stored).channels, mask=outside(regions))
        if weak > limit.background:
            raise VerificationError(
                f"{name}: expected steps up to {limit.background:g} outside the labels, got {weak:g}. Report a bug."
            )
    moved = different(volume.stored, stored)
    moved = np.asarray(moved.any(axis=-1)) if volume.channels_last else moved
    if int(moved.sum()) != int((moved[regions.box] & regions.support).sum()):
        raise VerificationError(f"{name}: expected changes inside ROI and contour only, got others. Report a bug.")
