# SPDX-License-Identifier: Apache-2.0
"""Whose copy a release is: a label of the owner, which decides the code of the copy and is never published.

It lies in the private folder, goes into ``trace.json`` and so into the commitment. Of the release only a keyed hash of
it decides anything, so that two recipients get two codes under one key, and nobody can try names against a release.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from umed.cases.records import CASES, COPY, Store, write_json
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key

if TYPE_CHECKING:
    from umed.methods.base import Method

LONGEST = 100


def check_recipient(name: str | None, method: Method | None) -> None:
    """Make sure that a label can be one, and that the run gives each copy a code of its own.

    Args:
        name: as it was given; ``None`` is always fine.
        method: of the run, ``None`` where nothing is protected.

    Raises:
        ConfigError: when it cannot.
    """
    if name is None:
        return
    if not name.strip() or len(name) > LONGEST or not name.isprintable():
        raise ConfigError(f"--recipient: expected a name of 1 to {LONGEST} printable characters, got {name[:40]!r}.")
    if name.startswith("age1") or Path(name).is_file():
        raise ConfigError(
            f"--recipient {name}: expected a name, got public keys. Did you mean --recipients FILE, which lets people "
            "unlock the originals?"
        )
    if method is None or not method.has_twins:
        got = "none" if method is None else "a method without them"
        raise ConfigError(
            f"--recipient: expected secret codes, by which copies differ, got {got}. Protect with the method umed, or "
            "leave it out."
        )


def keep_recipient(store: Store, given: str | None) -> str | None:
    """The label of a run: as it was given, or that of the run that is resumed; kept in the private folder.

    Args:
        store: of the output, whose run has begun.
        given: what :func:`check_recipient` let through.

    Raises:
        ConfigError: when the resumed run had another one.
        InputError: when its record is damaged.
    """
    path, before = store.path(COPY), recipient_of(store)
    if given is None or given == before:
        return before
    if before is not None or store.path(CASES).is_dir():
        raise ConfigError(
            f"--recipient: expected {'none' if before is None else repr(before)}, as the run that is resumed has it, "
            f"got {given!r}. Leave it out, or protect into a new folder."
        )
    write_json(path, {"recipient": given})
    return given


def recipient_of(store: Store) -> str | None:
    """Whose copy a run is, ``None`` where nobody said; InputError where its record is damaged."""
    path = store.path(COPY)
    if not path.is_file():
        return None
    try:
        found = parse_json(path.read_bytes())["recipient"]
        if not isinstance(found, str):
            raise ValueError(f"recipient {found!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected whose copy this is, got: {error}. Give --overwrite to start again."
        ) from error
    return found


def recipient_mark(key: Key, name: str | None) -> list[str]:
    """What of a label decides the code: its keyed hash; nothing without one."""
    return [] if name is None else [key.mac("recipient", name).hex()]
