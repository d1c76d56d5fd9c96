# SPDX-License-Identifier: Apache-2.0
"""Whether a run may write to a folder, with which key, and how it begins or goes on there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from umed.cases.records import CASES, GENERATORS, KEY, LOCK, PLAN, PREVIEW, QUARANTINE, Store, blank, write_text
from umed.cases.source import Source
from umed.core.errors import ConfigError, InputError, error_line
from umed.core.keyfile import Key
from umed.data.files import RECORDS, TEMPORARY, check_apart, links
from umed.plan.planning import Plan, differences
from umed.unlock.unlock_folder import clear_folder, folder_of


def check_run(
    root: Path, names: Sequence[str] | None, store: Store, *, resume: bool, overwrite: bool, strict: bool = True
) -> None:
    """Make sure that a run may write to its folders; changes nothing.

    Args:
        root: what is read.
        names: all files that may be written outside ``umed/``, relative to the output; ``None`` where they are not
            known yet.
        store: of the output.
        resume: go on with an earlier run.
        overwrite: replace an earlier run.
        strict: a resumed run must be of the very same files; else those that are gone are taken back.

    Raises:
        InputError: when a folder holds somebody else's files, or lies in another one of the run.
        ConfigError: when both flags are given, or there is nothing to resume.
    """
    if resume and overwrite:
        raise ConfigError("expected --resume or --overwrite, got both. Pick one.")
    output, again = store.output, resume or overwrite
    check_apart(root, output)
    _check_private(root, store)
    for folder in (output, store.folder):
        if found := next(links(folder), None):
            raise InputError(
                f"{found}: expected no link where a run writes, got one, which may lead into the input or elsewhere. "
                "Remove it, or pick another folder."
            )
    old = [name for name in (PLAN, CASES, GENERATORS) if store.public(name).exists()]
    if old:
        raise InputError(
            f"{output}: expected an output of this version, got one of umed 0.1, whose code is public and lies in it "
            f"({RECORDS}/{old[0]}). Protect the data again into a new folder."
        )
    if store.begun and not again:
        raise InputError(
            f"{output}: expected a new folder, got an earlier run, whose private folder is {store.folder}. "
            "Give --resume to go on or --overwrite to start again, or pick other folders."
        )
    if not store.begun and not blank(output):
        raise InputError(
            f"{output}: expected an empty folder, got one with other files, and no private folder of its run in "
            f"{store.folder}. Pick another output folder, or give its --private."
        )
    if not store.begun:
        return
    known = set(store.targets())
    if names is None:
        return
    if resume and strict and set(names) != known:
        differing = sorted(set(names) ^ known)[0]
        raise ConfigError(
            f"{root}: expected the data set of the run that is resumed, got one that differs in {differing}. "
            "Give --carry as that run did, or --overwrite to start again."
        )
    for name in names:
        if name not in known and (output / name).exists():
            raise InputError(f"{output / name}: expected none, got a file that umed did not write. Move it away first.")


def _earlier_plan(source: Source, path: Path) -> dict[str, Any]:
    """What decided the bytes of the run that is resumed; InputError where its plan is damaged."""
    try:
        return source.decisive_of(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, ConfigError) as error:
        raise InputError(
            f"{path}: expected the plan of the earlier run, got a damaged one ({error_line(error)[:120]}). "
            "Give --overwrite to start again with the same key."
        ) from error


def _check_private(root: Path, store: Store) -> None:
    """The private folder holds at most an earlier run, key, preview, and what a run without a result put aside."""
    private, output = store.folder, store.output
    why = "what lies there must never be published"
    for other, what in ((output, "output"), (root, "input")):
        check_apart(other, private, what=what, kind="private folder", step="Pick another with --private", why=why)
    if not private.is_dir():
        return
    for path in (private, store.path(KEY)):
        if hasattr(os, "geteuid") and path.exists() and path.stat().st_uid != os.geteuid():
            raise InputError(
                f"{path}: expected what is yours, got another user's, who may read and replace what lies there. "
                "Pick another with --private; a key of another user only by --key-file."
            )
    if store.begun:
        return
    others = sorted(
        path.name for path in private.iterdir() if path.name not in (KEY, LOCK, PREVIEW, QUARANTINE) and not _half(path)
    )
    if others:
        raise InputError(
            f"{private}: expected an empty folder for what must not be published, got one with other files "
            f"({others[0]}). Move it away, or pick another with --private."
        )


def _half(path: Path) -> bool:
    """Whether this is a half-written record."""
    return path.name.startswith(TEMPORARY)


def check_key_place(given: Path | None, output: Path) -> None:
    """Refuse a key that lies where all is published, with a ConfigError."""
    if given is not None and output.resolve() in given.resolve().parents:
        raise ConfigError(f"--key-file {given}: expected a key outside the output, got one inside. Move it away.")


def find_key(store: Store, given: Path | None) -> Key | None:
    """The key of a run, ``None`` where one is to be made.

    Args:
        store: of the output.
        given: a key file; else that of the private folder.

    Raises:
        InputError: when the file is no key, or others than its owner may read it.
        ConfigError: when it is not that of the run that is resumed.
    """
    kept = store.path(KEY)
    if given is None and not kept.is_file():
        if store.begun:
            raise InputError(
                f"{kept}: expected the key of the run, got none. Give it with --key-file; if it is lost, the run "
                "cannot go on: protect into new folders."
            )
        return None
    key = Key.load(kept if given is None else given)
    place = kept if given is None else f"--key-file {given}"
    if store.begun and key.digest() != store.key_digest:
        raise ConfigError(
            f"{place}: expected the key of the earlier run ({store.key_digest}), got another key ({key.digest()})."
        )
    if given is not None and kept.is_file() and Key.load(kept) != key:
        raise ConfigError(f"{place}: expected no other key, got one beside {kept}. Leave the option out, or move it.")
    return key


def start_run(
    source: Source, store: Store, plan: Plan | None, key: Key | None, *, resume: bool, overwrite: bool
) -> Key:
    """Open the records of a run: write key and plan, or check that the plan is still the same.

    Args:
        source: what is read.
        store: of the output.
        plan: the resolved plan, ``None`` where nothing is perturbed.
        key: of the release; made if ``None``.
        resume: go on with an earlier run.
        overwrite: replace an earlier run.

    Returns:
        The key.

    Raises:
        ConfigError: when a resumed run had other settings; the message names what differs.
        InputError: see :func:`check_run`.
    """
    names, output = source.targets(), store.output
    check_run(source.root, names, store, resume=resume, overwrite=overwrite, strict=source.strict)
    if resume:
        for name in names:  # what a killed run was writing
            (output / name).with_name(TEMPORARY + Path(name).name).unlink(missing_ok=True)
        store.path(TEMPORARY + PLAN).unlink(missing_ok=True)
    if overwrite and store.begun:
        clear_folder(folder_of(output, None))
        store.clear()
    if resume and store.path(PLAN).is_file():
        assert key is not None
        before = _earlier_plan(source, store.path(PLAN))
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
            store.begin(names, key.digest())
        return key
    key = key or Key.create(store.path(KEY))
    store.path(QUARANTINE).unlink(missing_ok=True)  # of a run that found nothing to release
    store.begin(names, key.digest())
    write_text(store.path(PLAN), source.plan_text(plan))
    return key
