# SPDX-License-Identifier: Apache-2.0
"""Whether a run may write to a folder, and how it begins or goes on there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from umed.cases.records import PLAN, TARGETS, Store, blank, write_json, write_text
from umed.cases.source import Source
from umed.core.errors import ConfigError, InputError
from umed.data.files import RECORDS, TEMPORARY, check_output
from umed.plan.planning import Plan, differences


def check_run(
    root: Path, names: Sequence[str] | None, output: Path, *, resume: bool, overwrite: bool, strict: bool = True
) -> None:
    """Make sure that a run may write to a folder; changes nothing.

    Args:
        root: what is read.
        names: all files that may be written outside ``umed/``, relative to the output; ``None`` where they are not
            known yet.
        output: output root.
        resume: go on with an earlier run.
        overwrite: replace an earlier run.
        strict: a resumed run must be of the very same files; else those that are gone are taken back.

    Raises:
        InputError: when the folder holds somebody else's files, or lies in the input.
        ConfigError: when both flags are given, or there is nothing to resume.
    """
    if resume and overwrite:
        raise ConfigError("expected --resume or --overwrite, got both. Pick one.")
    again = resume or overwrite
    check_output(root, output, resume=again, overwrite=False)
    if names is None or not again or blank(output):
        return
    known = set(Store(output).targets())
    if resume and strict and set(names) != known:
        differing = sorted(set(names) ^ known)[0]
        raise ConfigError(
            f"{root}: expected the data set of the run that is resumed, got one that differs in {differing}. "
            "Give --overwrite to start again."
        )
    for name in names:
        if name not in known and (output / name).exists():
            raise InputError(f"{output / name}: expected none, got a file that umed did not write. Move it away first.")


def start_run(source: Source, output: Path, plan: Plan | None, *, resume: bool, overwrite: bool) -> Store:
    """Open the records of a run: write the plan, or check that it is still the same.

    Args:
        source: what is read.
        output: output root.
        plan: the resolved plan, ``None`` where nothing is perturbed.
        resume: go on with an earlier run.
        overwrite: replace an earlier run.

    Returns:
        The records.

    Raises:
        ConfigError: when a resumed run had other settings; the message names what differs.
        InputError: see :func:`check_run`.
    """
    names = source.targets()
    check_run(source.root, names, output, resume=resume, overwrite=overwrite, strict=source.strict)
    store = Store(output)
    if resume:
        for name in [*names, f"{RECORDS}/{PLAN}"]:  # what a killed run was writing
            (output / name).with_name(TEMPORARY + Path(name).name).unlink(missing_ok=True)
    if overwrite and not blank(output):
        store.clear()
    if resume and store.path(PLAN).is_file():
        before = source.decisive_of(store.path(PLAN).read_text(encoding="utf-8"))
        now = json.loads(json.dumps(source.decisive(plan)))
        found = differences(before, now)
        if found:
            raise ConfigError(
                f"--resume: expected the plan of the earlier run, got another {found[0].split()[0]}: "
                f"{'; '.join(found)}. Give the same settings, or --overwrite to start again."
            )
        for name in set(store.targets()) - set(names):  # of sources that are no longer there
            (output / name).unlink(missing_ok=True)
        if not source.strict:
            write_json(store.path(TARGETS), {"files": names})
        return store
    write_json(store.path(TARGETS), {"files": names})
    write_text(store.path(PLAN), source.plan_text(plan))
    return store
