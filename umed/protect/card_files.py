# SPDX-License-Identifier: Apache-2.0
"""The files of a card within a release: which there may be, who vouches for them, and how they are written again.

A card is listed in the manifest and sealed with it, like everything else in a release. Its names are fixed and its
content is plain text, whoever says that a file belongs to one; so it is no way in for anything but text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umed.cases.records import CARD, CARD_FILES, CARD_WHAT, Store, write_json, write_text
from umed.core.errors import InputError
from umed.core.keyfile import Key
from umed.data.files import sha256
from umed.data.plain_text import MOST_TEXT_BYTES, text_fault
from umed.protect.private_content import private_kind

if TYPE_CHECKING:
    from umed.report.card_settings import CardSettings


def is_card(name: str, entry: object) -> bool:
    """Whether a manifest lists a file as part of a card, under a name that such a file may have."""
    return isinstance(entry, Mapping) and entry.get("what") == CARD_WHAT and name in CARD_FILES


def card_faults(root: Path, listed: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What is wrong with files that are listed as parts of a card.

    Args:
        root: of the output.
        listed: entries of its manifest, from anybody.

    Yields:
        Name and what is wrong with it.
    """
    for name, entry in listed.items():
        if entry.get("what") != CARD_WHAT:
            continue
        if name not in CARD_FILES:
            yield name, f"a name that no card has; expected one of {', '.join(sorted(CARD_FILES))}"
        elif (root / name).is_file():
            large = (root / name).stat().st_size > MOST_TEXT_BYTES
            if fault := "too large" if large else text_fault((root / name).read_bytes()):
                yield name, fault


def vouched_cards(manifest: Mapping[str, Any], root: Path, key: Key | None) -> frozenset[str]:
    """Files of a card that are as the key has sealed them; none without the key."""
    if key is None or not manifest or not key.is_sealed("manifest", manifest):
        return frozenset()
    listed = {name: one for name, one in manifest["files"].items() if is_card(name, one) and (root / name).is_file()}
    return frozenset(name for name, one in listed.items() if sha256(root / name) == one.get("sha256"))


def write_card_files(
    store: Store, record: Mapping[str, Any], settings: CardSettings, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Write the files of a card into a release, and keep in its private folder what they came from.

    Args:
        store: of the output.
        record: private record; its files are described.
        settings: what the steward says.
        without: names of files that are not to be written.

    Returns:
        What the manifest says of them.

    Raises:
        InputError: when a file of that name is there that umed did not write, or a text cannot be published; nothing
            is written then.
    """
    before = _before(store, record)
    texts = {
        name: text for name, text in card_texts(store.output, record, record, settings).items() if name not in without
    }
    refuse_others(store.output, texts, before, record["files"])
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    write_json(store.path(CARD), {"settings": settings.to_dict(), "without": sorted(without), "files": digests})
    for name in before.keys() - texts.keys():
        if sha256_of(store.output / name) in before[name]:
            (store.output / name).unlink()
    for name, text in texts.items():
        write_text(store.output / name, text)
    return {name: {"sha256": digest, "what": CARD_WHAT} for name, digest in digests.items()}


def _before(store: Store, record: Mapping[str, Any]) -> dict[str, set[str]]:
    """What an earlier card may have written: as its record says, or as the release does if a run was killed between."""
    found = {name: {digest} for name, digest in store.card().get("files", {}).items()}
    for name, one in record["files"].items():
        if is_card(name, one):
            found.setdefault(name, set()).add(one["sha256"])
    return found


def card_texts(
    output: Path, manifest: Mapping[str, Any], record: Mapping[str, Any] | None, settings: CardSettings
) -> dict[str, str]:
    """Texts of a card by name.

    Args:
        output: root of the release.
        manifest: public manifest, or the private record.
        record: private record; ``None`` where it is not at hand.
        settings: what the steward says.

    Raises:
        InputError: when one of them is nothing that may be published.
    """
    from umed.protect.manifest import bound_text
    from umed.report.card_page import make_card, release_facts

    plan = manifest.get("plan")
    bound = manifest.get("bound", {}).get("text", "") if plan is None else bound_text(plan) if plan else ""
    facts = release_facts({**manifest, "bound_text": bound}, output, record, settings.keywords)
    texts = make_card(settings, facts)
    for name, text in texts.items():
        if fault := text_fault(text.encode()) or private_kind(name, text.encode()):
            raise InputError(f"{output / name}: expected a small plain text of what you gave, got {fault}. Change it.")
    return texts


def refuse_others(
    folder: Path,
    names: Mapping[str, str],
    before: Mapping[str, Collection[str]],
    listed: Mapping[str, Mapping[str, Any]],
) -> None:
    """Make sure that nothing is overwritten but what umed wrote itself.

    Args:
        folder: to be written to.
        names: of the files to be written.
        before: what SHA-256 an earlier card may have there, by name.
        listed: entries of the manifest, for the message.

    Raises:
        InputError: naming the file and the way out.
    """
    for name in names:
        path = folder / name
        if not path.exists() and not path.is_symlink():
            continue
        if path.is_file() and not path.is_symlink() and sha256(path) in before.get(name, ()):
            continue
        carried = listed.get(name, {}).get("what") not in (None, CARD_WHAT)
        whose = "one that the run carried along" if carried else "one that umed card did not write"
        raise InputError(
            f"{path}: expected none, since nothing of yours is overwritten, got {whose}. Keep it with --without "
            f"{name}, move it away, or write the card elsewhere with --to FOLDER."
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a plain file; ``""`` where there is none."""
    return sha256(path) if path.is_file() and not path.is_symlink() else ""


def renew_card(store: Store, record: Mapping[str, Any]) -> dict[str, Any]:
    """After a resumed run: write the card of the release again, since its figures may be others.

    Args:
        store: of the output.
        record: of the run.

    Returns:
        What the manifest says of it; nothing where there is no card, or it was changed by hand (the check of the
        release then names it).
    """
    card = store.card()
    there = {name: sha256_of(store.output / name) for name in card.get("files", {})}
    if not card or any(digest not in ("", card["files"][name]) for name, digest in there.items()):
        return {}
    from umed.report.card_settings import card_settings

    return write_card_files(store, record, card_settings(card["settings"]), frozenset(card["without"]))
