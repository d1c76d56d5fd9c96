# SPDX-License-Identifier: Apache-2.0
"""What a run does for those who may have the originals: checks who they are first, writes their files last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import RECIPIENTS, Store
from umed.cases.source import Source
from umed.core.errors import ConfigError
from umed.core.types import Outcome, Progress
from umed.data.files import sha256
from umed.unlock.age_keys import read_recipients
from umed.unlock.unlock_folder import UNLOCK_FOLDER, WHAT, check_folder_place, folder_of, kept_inside, recipients_of
from umed.unlock.write_unlock import write_unlock


@dataclass(frozen=True)
class UnlockPlan:
    """For whom unlock files are written, and where.

    Args:
        recipients: public keys; none where no unlock files are wanted.
        folder: for them.
        inside: whether it lies in the output, so that the manifest lists them.
    """

    recipients: tuple[str, ...]
    folder: Path
    inside: bool


def plan_unlock(
    store: Store, recipients: Path | None, given: Path | None, source: Path, *, protects: bool, overwrite: bool
) -> UnlockPlan:
    """Find out who may unlock a release, before anything is written.

    Args:
        store: of the output.
        recipients: file of public keys; a resumed run goes on with those that it had.
        given: folder for the unlock files; that of the output if ``None``.
        source: what is protected.
        protects: whether anything is perturbed.
        overwrite: the recipients of an earlier run do not count.

    Raises:
        ConfigError: when there is nothing to unlock, pyrage is missing, or the earlier run had another folder.
        InputError: when the list holds anything but public keys, or the folder holds other files.
    """
    earlier = store.path(RECIPIENTS).is_file() and not overwrite
    if recipients is not None and not protects:
        raise ConfigError("--recipients: expected images that are protected, got none. Add --protect, or leave it out.")
    if given is not None and recipients is None and not earlier:
        raise ConfigError("--unlock-dir: expected --recipients FILE beside it, got none. Add it, or leave it out.")
    folder, inside = folder_of(store.output, given), given is None
    found: list[str] = []
    if overwrite and recipients is not None:
        found = read_recipients(recipients)
    elif recipients is not None or earlier:
        found = recipients_of(store, recipients)
    if found:
        check_folder_place(given, store.output, store.folder, source)
    if earlier and inside != kept_inside(store):
        where = "--unlock-dir DIR, where that run wrote them" if inside else f"none, since they lie in {UNLOCK_FOLDER}"
        raise ConfigError(f"--unlock-dir: expected {where}, got another folder for the unlock files. Give the same.")
    return UnlockPlan(tuple(found), folder, inside)


def finish_unlock(
    plan: UnlockPlan,
    source: Source,
    store: Store,
    outcomes: Iterable[Outcome],
    listed: Mapping[str, Mapping[str, Any]],
    progress: Progress | None,
) -> tuple[dict[str, dict[str, str]], str]:
    """Write the unlock files of a run.

    Args:
        plan: who may open them.
        source: of the run.
        store: of the output.
        outcomes: one a case.
        listed: the files of the output, as the manifest lists them.
        progress: called with ``"unlock"``, cases done and cases in all.

    Returns:
        What the manifest says of them: nothing, where they lie elsewhere; and a sentence for the summary.

    Raises:
        InputError: see :func:`umed.unlock.write_unlock.write_unlock`.
    """
    if not plan.recipients:
        return {}, ""
    names = write_unlock(source, store, outcomes, listed, plan.folder, list(plan.recipients), progress)
    size = sum((plan.folder / name).stat().st_size for name in names)
    release = sum((store.output / name).stat().st_size for name in listed)
    people = f"{len(plan.recipients)} recipient{'' if len(plan.recipients) == 1 else 's'}"
    said = f"{plan.folder}: {len(names)} files for {people}, {size / 1e6:.4g} MB, {size / release:.1%} of the release"
    entries = {f"{UNLOCK_FOLDER}/{name}": {"sha256": sha256(plan.folder / name), "what": WHAT} for name in names}
    return (entries if plan.inside else {}), said
