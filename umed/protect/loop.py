# SPDX-License-Identifier: Apache-2.0
"""Protects one case after the other, of any source; a case that fails leaves nothing behind and stops no other.

Cases do not depend on each other, so any process that sees both folders may do some of them.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.opening import open_source
from umed.cases.records import GENERATORS, Store
from umed.cases.source import CaseDone, Request, Source
from umed.core.errors import UmedError
from umed.core.keyfile import Key, Secret
from umed.core.types import Progress
from umed.execution import Done, Task, execute
from umed.plan.planning import Plan

if TYPE_CHECKING:
    from umed.methods.base import Method

logger = logging.getLogger(__name__)
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors that end a run: no other case would fare better."""


@dataclass(frozen=True)
class Share:
    """Some cases of a run, for any process that sees both folders.

    Args:
        request: how to open the source.
        output: output root.
        private: its private folder, with the trained generators of a method that learns.
        key_file: key of the release; it never travels itself.
        release: what tells this release from others of the same key.
        plan: the plan as JSON; empty where nothing is perturbed.
        run: hash of all that decides the output.
        cases: ids.
        token: of this very run; another one may have the same settings and other files.
    """

    request: Request
    output: Path
    private: Path
    key_file: Path
    release: str
    plan: str
    run: str
    cases: tuple[str, ...]
    token: str


def protect_share(share: Share) -> list[CaseDone]:
    """Do a share of the cases.

    Args:
        share: which cases of which run.

    Returns:
        What came of each, in the order of the share.

    Raises:
        UmedError: when the disk is full.
    """
    if share.token not in _READY:  # once for each process
        _READY.clear()
        _OPEN.close()
        _READY[share.token] = _make_ready(share)
    source, method, plan = _READY[share.token]
    store = Store(share.output, share.private)
    return [protect_case(source, case, method, plan, store, share.run) for case in share.cases]


_OPEN = ExitStack()
_READY: dict[str, tuple[Source, Method | None, Plan | None]] = {}


def _make_ready(share: Share) -> tuple[Source, Method | None, Plan | None]:
    """Source, method and plan of a run."""
    source = _OPEN.enter_context(open_source(share.request))
    if not share.plan:
        return source, None, None
    from umed.methods.base import make_method

    plan = Plan.from_json(share.plan)
    method = make_method(plan, Secret(Key.load(share.key_file), share.release))
    if method.requires_training:
        method.load(share.private / GENERATORS)
        method.to(plan.device)
    return source, method, plan


def make_shares(
    source: Source,
    request: Request,
    store: Store,
    plan: Plan | None,
    key_file: Path,
    release: str,
    run: str,
    workers: int,
) -> list[Share]:
    """Cut a run into shares, several for each worker, so that none waits long for the last one.

    Args:
        source: of the run.
        request: how it was opened.
        store: of the output.
        plan: the resolved plan, ``None`` where nothing is perturbed.
        key_file: key of the release.
        release: what tells it from others of the same key.
        run: hash of all that decides the output.
        workers: how many processes there are, about.

    Returns:
        The shares; together they hold every case once.
    """
    ids, text = list(source.sizes), "" if plan is None else plan.to_json()
    size = max(1, len(ids) // (8 * workers))
    profile = Path(request.profile)
    whole = replace(  # a worker may stand in another folder
        request,
        profile=profile.resolve() if profile.is_file() else request.profile,
        path=request.path.resolve(),
        masks=None if request.masks is None else request.masks.resolve(),
        key_file=None if request.key_file is None else request.key_file.resolve(),
    )
    token = secrets.token_hex(8)
    places = store.output.resolve(), store.folder.resolve(), key_file.resolve()
    return [
        Share(whole, *places, release, text, run, tuple(ids[start : start + size]), token)
        for start in range(0, len(ids), size)
    ]


def protect_elsewhere(
    shares: Sequence[Share],
    workers: int,
    scheduler: str | None,
    threads: int | None,
    progress: Progress | None,
) -> list[CaseDone]:
    """Do all cases on other processes.

    Args:
        shares: of the run.
        workers: local processes.
        scheduler: address of a Dask scheduler whose workers see both folders, instead of local processes.
        threads: of each local process.
        progress: called with ``"protect"``, the cases done and the cases in all.

    Returns:
        What came of each case, in the order of the source.

    Raises:
        UmedError: when a share could not be done.
    """
    tasks = [Task(f"cases from {share.cases[0]} on", protect_share, (share,)) for share in shares]
    sizes = {task.name: len(share.cases) for task, share in zip(tasks, shares, strict=True)}
    ended: list[int] = []

    def tell(done: Done, _count: int, _total: int) -> None:
        ended.append(sizes[done.name])
        if progress is not None:
            progress("protect", sum(ended), sum(sizes.values()))

    if progress is not None:
        progress("protect", 0, sum(sizes.values()))
    done = execute(
        tasks,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        on_done=tell,
    )
    failed = next((one for one in done.values() if one.error is not None), None)
    if failed is not None:
        raise UmedError(f"{failed.name}: {failed.error} What was done is kept: give --resume to go on.")
    return [case for one in done.values() for case in one.value]


def protect_here(
    source: Source,
    store: Store,
    method: Method | None,
    plan: Plan | None,
    run: str,
    progress: Progress | None,
) -> list[CaseDone]:
    """Do all cases in this process.

    Args:
        source: of the run.
        store: of the output.
        method: ready for use; ``None`` where nothing is perturbed.
        plan: the resolved plan.
        run: hash of all that decides the output.
        progress: called with ``"protect"``, the files done and the files in all.

    Returns:
        What came of each case, in the order of the source.
    """
    found, total, files = [], sum(source.sizes.values()), 0
    if progress is not None:
        progress("protect", 0, total)
    for case, size in source.sizes.items():
        found.append(protect_case(source, case, method, plan, store, run))
        files += size
        if progress is not None:
            progress("protect", files, total)
    return found


def protect_case(
    source: Source, case: str, method: Method | None, plan: Plan | None, store: Store, run: str
) -> CaseDone:
    """Do one case, or find that it was done; failures become its outcome.

    Args:
        source: where it belongs.
        case: its id.
        method: ready for use; ``None`` where nothing is perturbed.
        plan: the resolved plan.
        store: records of the output.
        run: hash of all that decides the output.

    Returns:
        What came of it.

    Raises:
        UmedError: when the disk is full.
    """
    aside = source.left_alone(case, store.output)
    if aside is not None:
        return aside
    here = source.run_of(case, run)
    record = store.read(case)
    kept = source.recall(case, record, store.output) if record is not None and record.run == here else None
    if kept is not None:
        return kept
    writer, twins = source.writer(case, plan, store.output), dict[str, list[str]]()
    try:
        with writer:
            for unit in writer.units():
                assert method is not None and plan is not None
                changed = None
                if unit.touched:
                    name = writer.seed(unit)
                    changed, twin = method.pair(unit.volumes, unit.regions, plan=plan, case_id=name, limits=unit.limits)
                    if twin is not None:
                        twins[name] = [stored_digest(one, unit.kept) for one in (changed, twin)]
                        del twin
                writer.put(unit, changed)
            done = writer.done()
    except Exception as error:  # one bad case never stops the batch
        done = writer.failed(error)
        if isinstance(error, OSError) and error.errno in DISK:
            raise UmedError(f"{store.output}: {full(error)}") from error
        if not isinstance(error, UmedError | OSError | MemoryError):
            logger.warning("case %s failed unexpectedly", case, exc_info=True)
    store.write(case, replace(writer.record(done, here), twins=twins))
    return done


def stored_digest(stored: Sequence[NDArray[Any]], kept: slice) -> str:
    """SHA-256 of stored values, whatever file they lie in: of each array its type, shape and little-endian bytes.

    Args:
        stored: arrays of a unit's image files.
        kept: the part along the first axis that counts.
    """
    digest = hashlib.sha256()
    for one in stored:
        part = np.ascontiguousarray(one[kept])
        part = part.astype(part.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{part.dtype.str} {part.shape}\n".encode())
        digest.update(part.tobytes())
    return digest.hexdigest()


def full(error: OSError) -> str:
    """What a disk that cannot be written to means, in words."""
    return f"cannot be written ({error.strerror}): the disk is full or broken. Make room and give --resume to go on."
