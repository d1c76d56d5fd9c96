# SPDX-License-Identifier: Apache-2.0
"""Whether the unlock files of an output are age files, and those that belong to it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from umed.cases.records import UNLOCK_KEY
from umed.core.errors import InputError, UmedError, error_line
from umed.core.reasons import printable
from umed.data.files import RECORDS
from umed.protect.card_files import is_card
from umed.protect.published_files import Published
from umed.unlock.age_keys import decrypt, form_fault, read_identities
from umed.unlock.payload import Payload, decode_payload, read_index
from umed.unlock.unlock_folder import INDEX_FILE, KEY_FILE, UNLOCK_FOLDER, is_unlock_file, unlock_name

_START = 1 << 20


def unlock_faults(
    root: Path, listed: Mapping[str, Mapping[str, Any]], private: Path | None
) -> Iterator[tuple[str, str]]:
    """Look at the unlock files of an output.

    Args:
        root: of the output.
        listed: its files, as manifest or record lists them.
        private: private folder; with ``unlock.key`` in it every file is opened and held against the release. Else only
            their form is known.

    Yields:
        Name and what is wrong with it.
    """
    names = {name for name in listed if is_unlock_file(name) and (root / name).is_file()}
    broken = set[str]()
    for name in sorted(names):
        with open(root / name, "rb") as file:
            fault = form_fault(file.read(_START))
        if fault:
            broken.add(name)
            yield name, fault
    wanted = {f"{UNLOCK_FOLDER}/{KEY_FILE}", f"{UNLOCK_FOLDER}/{INDEX_FILE}"}
    if names:
        yield from ((name, "there is none") for name in sorted(wanted - names))
    if not names or private is None or not (private / UNLOCK_KEY).is_file() or broken or not wanted <= names:
        return
    if importlib.util.find_spec("pyrage") is None:  # whoever cannot open them is told no more than the public
        return
    yield from _opened(root, names, listed, private / UNLOCK_KEY)


def add_unlock_faults(found: Published, root: Path, private: Path | None) -> None:
    """Add them to what was found in an output."""
    there = {name: entry for name, entry in found.listed.items() if name in found.files}
    for name, fault in unlock_faults(root, there, private):
        found.add("unlock", printable(name), printable(fault))


def _opened(
    root: Path, names: set[str], listed: Mapping[str, Mapping[str, Any]], key: Path
) -> Iterator[tuple[str, str]]:
    index_name = f"{UNLOCK_FOLDER}/{INDEX_FILE}"
    try:
        identities = read_identities(key)
        index = read_index(_open(root, index_name, identities), index_name)
    except UmedError as error:
        yield index_name, error_line(error)
        return
    published = {
        name: entry
        for name, entry in listed.items()
        if not name.startswith(f"{RECORDS}/") and not is_card(name, entry)  # written after the unlock files
    }
    for name in sorted(published.keys() | index.keys()):
        if name not in index or name not in published or index[name][0] != published[name]["sha256"]:
            yield index_name, f"does not say what {name} is in this release"
    expected = {f"{UNLOCK_FOLDER}/{unlock_name(name)}": name for name, (_, has) in index.items() if has}
    for name in sorted(names - expected.keys() - {index_name, f"{UNLOCK_FOLDER}/{KEY_FILE}"}):
        yield name, "belongs to no file of this release"
    for name, path in sorted(expected.items()):
        if name not in names:
            yield name, f"there is none, so {path} cannot be unlocked"
            continue
        try:
            payload = _open(root, name, identities)
        except UmedError as error:
            yield name, error_line(error)
            continue
        if (payload.path, payload.sha256) != (path, index[path][0]):
            yield name, f"is not bound to {path} of this release"


def _open(root: Path, name: str, identities: list[str]) -> Payload:
    try:
        return decode_payload(decrypt((root / name).read_bytes(), identities, name, key=UNLOCK_KEY), name)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}).") from error
