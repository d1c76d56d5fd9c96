# SPDX-License-Identifier: Apache-2.0
"""Makes a method ready: takes trained generators that are given, or trains them and keeps them in the output."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from umed.cases.records import GENERATORS, LEFT_OUT, WORK, Store
from umed.core.errors import InputError
from umed.core.types import Progress
from umed.data import files
from umed.methods.base import Method
from umed.plan.planning import Plan

Samples = tuple[Sequence[Any], Sequence[tuple[str, str]]]
"""Training cases, and id and reason of those that had to be left out."""


def check_given(method: Method, given: Path | None) -> dict[str, str]:
    """Look at trained generators before anything is written.

    Args:
        method: that is to use them.
        given: their folder or file, ``None`` when they are to be trained.

    Returns:
        SHA-256 of each file, by name.

    Raises:
        InputError: when there are none, or the method learns nothing.
    """
    if given is None:
        return {}
    if not method.requires_training:
        raise InputError(f"--generators {given}: the method {method.name} learns nothing. Leave the option out.")
    wanted = given_files(method, given)
    if not wanted:
        raise InputError(f"{given}: expected trained generators, got none. {method.where_from}.")
    if method.file:
        method.reasons(wanted[method.file])  # is it one?
    return {name: files.sha256(path) for name, path in wanted.items()}


def given_files(method: Method, given: Path) -> dict[str, Path]:
    """Files of trained generators by the name that they get in the output.

    Args:
        method: that is to use them.
        given: their folder, or the method's file itself, under any name.
    """
    if given.is_file():
        return {method.file or given.name: given}
    if method.file:
        return {method.file: given / method.file} if (given / method.file).is_file() else {}
    found = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else []
    return {path.relative_to(given).as_posix(): path for path in found}


def explain(method: Method, plan: Plan, given: Path | None = None) -> Plan:
    """Add to a plan's reasons what the method has learnt, or will learn.

    Args:
        method: of the plan, ready or not.
        plan: the resolved plan.
        given: folder or file of trained generators that are not loaded yet.

    Returns:
        A plan that does the same.

    Raises:
        InputError: when there are no generators there.
    """
    check_given(method, given)
    found = given_files(method, given).get(method.file) if given is not None else None
    return replace(plan, why=(*plan.why, *method.reasons(found)))


def prepare(
    method: Method,
    plan: Plan,
    store: Store,
    given: Path | None,
    samples: Callable[[], Samples],
    progress: Progress | None,
) -> tuple[tuple[str, str], ...]:
    """Make a method ready.

    Args:
        method: untrained.
        plan: the resolved plan.
        store: records of the output.
        given: folder or file of trained generators; ``None`` trains them.
        samples: makes the training cases, only where they are needed.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        The cases that the training had to do without, with the reason.

    Raises:
        InputError: when the generators are missing, or not those of the resumed run.
    """
    wanted = check_given(method, given)
    if not method.requires_training:
        return ()
    kept = store.path(GENERATORS)
    if given is not None:
        if kept.is_dir() and files.hashes(kept) != wanted:
            raise InputError(f"{given}: expected the generators of the resumed run, got others. Give --overwrite.")
        if not kept.is_dir():
            store.path(LEFT_OUT).unlink(missing_ok=True)  # of a training that was stopped, and is of no use now
        for name, path in given_files(method, given).items():
            files.copy(path, kept / name)
    elif not kept.is_dir():
        cases, left_out = samples()
        method.fit(cases, plan, store.path(WORK), progress)
        store.write_left_out(left_out)
        fresh = store.path(WORK) / GENERATORS
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        method.save(fresh)
        fresh.replace(kept)  # whole or not there
    method.load(kept)
    method.to(plan.device)
    if store.path(WORK).is_dir():
        shutil.rmtree(store.path(WORK))  # checkpoints and logs are of no use to whoever gets the release
    return store.left_out()
