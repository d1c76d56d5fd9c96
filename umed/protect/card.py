# SPDX-License-Identifier: Apache-2.0
"""Writes the card of a release: README, terms, and metadata for Hugging Face, Zenodo and machines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import ABOUT, CARD_FILES, KEY, LOCK, RECORD, Store, write_text
from umed.core.errors import ConfigError, InputError, did_you_mean
from umed.core.keyfile import Key
from umed.data.files import RECORDS, links, only_one
from umed.protect.card_files import card_texts, is_card, refuse_others, write_card_files
from umed.protect.conclude import publish
from umed.protect.manifest import read_manifest, read_record
from umed.protect.start import check_key_place
from umed.report.card_settings import CardSettings, card_settings
from umed.report.card_terms import find_licence


@dataclass(frozen=True)
class Card:
    """What came of writing a card.

    Args:
        folder: where the files lie.
        files: their names.
        sealed: whether the manifest lists and seals them.
        settings: what they say of the data set.
        output: the release.
    """

    folder: Path
    files: tuple[str, ...]
    sealed: bool
    settings: CardSettings
    output: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "sealed": self.sealed,
            "settings": self.settings.to_dict(),
            "exit_code": 0,
        }

    def summary(self) -> str:
        """A few lines for people."""
        licence = find_licence(self.settings.licence)
        lines = [f"card: {', '.join(self.files)} in {self.folder}", f"licence: {licence.title}. {licence.about}"]
        if "tdmrep.json" in self.files:
            lines.append(
                "reserved for machines: tdmrep.json; on a web site of yours it belongs at /.well-known/tdmrep.json"
            )
        if self.sealed:
            lines.append(f"the manifest lists and seals it. Next: umed check-release {self.output} --original INPUT")
        elif self.folder == self.output:
            known = f"umed check-release {self.output} --added {' '.join(self.files)}"
            lines.append(f"not sealed, since the private folder is not here. Next: {known}")
        else:
            lines.append("not part of the release: look at it, and lay it where it belongs")
        return "\n".join([*lines, "Read it before you publish it. None of it is legal advice."])


def card(
    output: str | Path,
    settings: CardSettings | Mapping[str, Any] | None = None,
    *,
    private: str | Path | None = None,
    key_file: str | Path | None = None,
    to: str | Path | None = None,
    without: Collection[str] = (),
) -> Card:
    """Write the card of a release: what it is, what one may do with it, for people and for machines.

    With the private folder and its key the manifest lists and seals the files, so that ``umed verify`` and
    ``umed check-release`` know them. Called again, it replaces what it wrote, and nothing else.

    Args:
        output: the release.
        settings: what is said of the data set: :class:`umed.report.card_settings.CardSettings`, or its fields. ``None``
            takes those of the last time.
        private: private folder of the release; ``OUTPUT-private`` if ``None``. Without one the files are not sealed.
        key_file: its key; ``release.key`` of the private folder if ``None``.
        to: another folder for the files; nothing in the release is changed then.
        without: names of files that are not to be written.

    Returns:
        What was written.

    Raises:
        InputError: when there is no release, a file of that name is there that umed did not write, or a record is
            damaged; nothing is written then.
        ConfigError: when a field is missing or wrong, or the key is that of another release.
    """
    root = Path(output)
    for name in without:
        if name not in CARD_FILES:
            known = ", ".join(sorted(CARD_FILES))
            raise ConfigError(f"--without: expected one of {known}, got {name!r}.{did_you_mean(name, CARD_FILES)}")
    manifest = read_manifest(root)
    if manifest["format"] == 1:
        raise InputError(f"{root}: expected a release of this version, got one of umed 0.1. Protect the data again.")
    store = Store(root, None if private is None else Path(private))
    own_key = None if key_file is None else Path(key_file)
    check_key_place(own_key, root)
    whole = store.path(RECORD).is_file() and (own_key is not None or store.path(KEY).is_file())
    if private is not None and not whole:
        raise InputError(
            f"{store.folder}: expected the private folder of {root} with its key, got none. Check --private."
        )
    key = Key.load(store.path(KEY) if own_key is None else own_key) if whole else None
    record = read_record(store.folder, key) if key is not None else None
    chosen = _settings(settings, store if whole else None)
    left = frozenset(without)
    if to is not None or key is None or record is None:
        return _beside(root, Path(to) if to is not None else root, manifest, record, chosen, left)
    if (found := next(links(root), None)) is not None:
        raise InputError(f"{found}: expected no link in a release that is written to, got one. Remove it.")
    with only_one(store.path(LOCK), str(store.folder)), only_one(root, str(root)):
        entries = write_card_files(store, record, chosen, left)
        page = f"{RECORDS}/{ABOUT}"  # is written again, with the manifest
        kept = {name: one for name, one in record["files"].items() if not is_card(name, one) and name != page}
        publish(store, key, {**record, "files": {**kept, **entries}})
    return Card(root, tuple(sorted(entries)), True, chosen, root)


def _settings(given: CardSettings | Mapping[str, Any] | None, store: Store | None) -> CardSettings:
    if isinstance(given, CardSettings):
        return given
    before: Mapping[str, Any] = {} if store is None else store.card().get("settings", {})
    if not given and not before:
        raise ConfigError(
            "card: expected what the data set is called, who made it and its licence, got nothing. Give --title, "
            "--author and --licence, or --from FILE; see docs/card.md."
        )
    content = {**before, **(given or {})}
    if given and "licence" in given and given["licence"] != before.get("licence") and "licence_text" not in given:
        content.pop("licence_text", None)  # belongs to the licence of the last time
    for name in ("title", "licence"):
        content.setdefault(name, "")
    return card_settings(content)


def _beside(
    root: Path,
    folder: Path,
    manifest: Mapping[str, Any],
    record: Mapping[str, Any] | None,
    settings: CardSettings,
    without: frozenset[str],
) -> Card:
    """Write the files without sealing them: into another folder, or into a release whose private folder is not here."""
    source = {**manifest, "plan": None} if record is None else record
    texts = {name: text for name, text in card_texts(root, source, record, settings).items() if name not in without}
    refuse_others(folder, texts, {}, manifest["files"])
    for name, text in texts.items():
        write_text(folder / name, text)
    return Card(folder, tuple(sorted(texts)), False, settings, root)
