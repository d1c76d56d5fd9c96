# SPDX-License-Identifier: Apache-2.0
"""Lets more people unlock a release that is out already; only the file with its key is written again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import KEY, LOCK, RECIPIENTS, RECORD, UNLOCK_KEY, Store, write_json
from umed.core.errors import InputError
from umed.core.keyfile import Key
from umed.data.files import links, only_one, sha256
from umed.protect.manifest import read_manifest, read_record, write_manifest
from umed.protect.start import check_key_place
from umed.unlock.age_keys import decrypt, read_identities, read_recipients
from umed.unlock.payload import decode_payload
from umed.unlock.unlock_folder import (
    INDEX_FILE,
    KEY_FILE,
    UNLOCK_FOLDER,
    folder_of,
    keep_recipients,
    recipients_of,
    seal_key,
)


@dataclass(frozen=True)
class Granted:
    """Who can unlock a release from now on.

    Args:
        file: that was written, to be published in place of the old one.
        added: public keys that are new.
        recipients: all of them.
        manifest: that lists the file, sealed again; ``None`` where the unlock files lie outside the output.
    """

    file: Path
    added: tuple[str, ...]
    recipients: tuple[str, ...]
    manifest: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "file": str(self.file),
            "manifest": None if self.manifest is None else str(self.manifest),
            "added": list(self.added),
            "recipients": list(self.recipients),
            "exit_code": 0,
        }

    def summary(self) -> str:
        """A few lines for people."""
        again = " and ".join(map(str, [self.file, *([] if self.manifest is None else [self.manifest])]))
        return "\n".join(
            [
                *(f"added: {one}" for one in self.added),
                f"{len(self.recipients)} can unlock it now, {len(self.added)} of them new; publish again: {again}",
                "nobody can be taken off again: whoever could open a copy of the release can open that copy for ever",
            ]
        )


def grant(
    output: str | Path,
    *,
    recipients: str | Path,
    private: str | Path | None = None,
    key_file: str | Path | None = None,
    unlock_dir: str | Path | None = None,
) -> Granted:
    """Let more people unlock a release.

    Args:
        output: the release.
        recipients: file of public keys, one a line; those that were given earlier stay.
        private: its private folder; ``OUTPUT-private`` if ``None``.
        key_file: its key; ``release.key`` of the private folder if ``None``.
        unlock_dir: where its unlock files lie; ``umed/unlock`` of the output if ``None``.

    Returns:
        Who can unlock it now.

    Raises:
        InputError: when the release has no unlock files, or these, the private folder or the list are not what they
            should be; nothing is written then.
        ConfigError: when the key is that of another release, or pyrage is missing.
    """
    root, given = Path(output), None if unlock_dir is None else Path(unlock_dir)
    store = Store(root, None if private is None else Path(private))
    own_key = None if key_file is None else Path(key_file)
    check_key_place(own_key, root)
    folder, inside = folder_of(root, given), given is None
    read_manifest(root)
    new = read_recipients(Path(recipients))
    if not store.path(UNLOCK_KEY).is_file():
        raise InputError(
            f"{store.path(UNLOCK_KEY)}: expected the key of the unlock files, got none. Give the private folder of the "
            "run with --private; a release that was made without --recipients has none."
        )
    key = Key.load(store.path(KEY) if own_key is None else own_key)
    record = read_record(store.folder, key)
    if not (folder / KEY_FILE).is_file():
        raise InputError(f"{folder / KEY_FILE}: expected the unlock files of the release, got none. Give --unlock-dir.")
    for place in (folder, *((root,) if inside else ())):
        if folder.is_symlink() or (found := next(links(place), None)) is not None:
            link = folder if folder.is_symlink() else found
            raise InputError(f"{link}: expected no link in a folder that is written to, got one. Remove it.")
    with only_one(store.path(LOCK), str(store.folder)), only_one(root, str(root)):
        [identity] = read_identities(store.path(UNLOCK_KEY))
        index = folder / INDEX_FILE
        opened = decrypt(index.read_bytes(), [identity], str(index), key=UNLOCK_KEY)
        decode_payload(opened, str(index))  # another key would lock everybody out
        before = recipients_of(store, None)
        everybody = list(dict.fromkeys([*before, *new]))
        keep_recipients(store, everybody, inside=inside)
        file = seal_key(folder, identity, everybody)
        if inside:
            record["files"][f"{UNLOCK_FOLDER}/{KEY_FILE}"]["sha256"] = sha256(file)
        record["private"][RECIPIENTS] = sha256(store.path(RECIPIENTS))
        write_json(store.path(RECORD), key.seal("release", record))
        store.path(RECORD).chmod(0o600)
        manifest = write_manifest(store, key, record) if inside else None
    added = [one for one in everybody if one not in before]
    return Granted(file, tuple(added), tuple(everybody), manifest)
