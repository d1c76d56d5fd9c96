# SPDX-License-Identifier: Apache-2.0
"""The folder of unlock files beside a release, and the two keys that lead to it.

::

    umed/unlock/key.age       the secret key of the release, for every recipient
    umed/unlock/index.age     what belongs to the release, for that key
    umed/unlock/<hash>.age    the original of one published file, for that key; named by the SHA-256 of its path

All are plain age files. The release has a key of its own, so that a later recipient costs no more than ``key.age``, and
so that nobody can tell from the other files for whom they are. The private folder keeps ``unlock.key`` and the public
keys of the recipients, ``recipients.txt``.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from umed.cases.records import RECIPIENTS, UNLOCK, UNLOCK_KEY, Store, write_text
from umed.core.errors import InputError
from umed.data.files import RECORDS, TEMPORARY, atomic, check_apart
from umed.unlock.age_keys import (
    decrypt,
    encrypt,
    new_identity,
    public_of,
    read_identities,
    read_recipients,
    write_identity,
)

KEY_FILE, INDEX_FILE = "key.age", "index.age"
UNLOCK_FOLDER = f"{RECORDS}/{UNLOCK}"
"""Below the output, unless the steward names another place."""
WHAT = "unlock"
"""What the manifest calls these files."""
_ELSEWHERE = "# The unlock files lie in a folder of their own (--unlock-dir).\n"
_OURS = re.compile(r"(?:key|index|[0-9a-f]{64})\.age")


def unlock_name(path: str) -> str:
    """Name of the unlock file of a published file.

    >>> unlock_name("imagesTr/a.nii.gz")[-12:]
    '6a2bd8df.age'
    """
    return f"{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()}.age"


def is_unlock_file(name: str) -> bool:
    """Whether a name below the output is that of an unlock file."""
    folder, _, own = name.rpartition("/")
    return folder == UNLOCK_FOLDER and _OURS.fullmatch(own) is not None


def folder_of(output: Path, given: Path | None) -> Path:
    """Where the unlock files of an output lie."""
    return output / RECORDS / UNLOCK if given is None else given


def check_folder_place(given: Path | None, output: Path, private: Path, source: Path | None = None) -> None:
    """Make sure that unlock files may be written to a folder of their own; changes nothing.

    Raises:
        InputError: when it lies in the output, the private folder or the input, or holds anything else.
    """
    if given is None:
        return
    for other, what in ((output, "output"), (private, "private folder"), (source, "input")):
        if other is not None:
            check_apart(
                other, given, what=what, kind="folder for unlock files", step="Pick another with --unlock-dir",
                why="it is published by itself",
            )  # fmt: skip
    if given.is_symlink():
        raise InputError(f"{given}: expected a folder for unlock files, got a link. Pick another with --unlock-dir.")
    if given.is_dir():
        others = sorted(one.name for one in given.iterdir() if not _ours(one))
        if others:
            raise InputError(
                f"{given}: expected an empty folder for unlock files, got one with other files ({others[0]}). "
                "Pick another with --unlock-dir."
            )


def _ours(path: Path) -> bool:
    own = path.name.removeprefix(TEMPORARY)
    return _OURS.fullmatch(own) is not None and path.is_file() and not path.is_symlink()


def recipients_of(store: Store, given: Path | None) -> list[str]:
    """Public keys that a release is for: those that the private folder keeps, then those of a list.

    Raises:
        InputError: when a list cannot be read, see :func:`umed.unlock.age_keys.read_recipients`.
    """
    kept, found = store.path(RECIPIENTS), list[str]()
    for path in ([kept] if kept.is_file() else []) + ([given] if given is not None else []):
        found += read_recipients(path)
    return list(dict.fromkeys(found))


def keep_recipients(store: Store, recipients: Iterable[str], *, inside: bool) -> None:
    """Write them into the private folder, and whether the unlock files lie in the output, for a resumed run."""
    head = "# Who can unlock this release: public keys of age. umed unlock grant adds to them.\n"
    place = "" if inside else _ELSEWHERE
    write_text(store.path(RECIPIENTS), head + place + "".join(f"{one}\n" for one in recipients))
    store.path(RECIPIENTS).chmod(0o600)


def kept_inside(store: Store) -> bool:
    """Whether an earlier run with recipients had its unlock files in the output."""
    return _ELSEWHERE not in store.path(RECIPIENTS).read_text(encoding="utf-8", errors="replace")


def release_identity(store: Store) -> str:
    """The secret key of the release; made where there is none yet.

    Raises:
        InputError: when the file in the private folder is none.
    """
    path = store.path(UNLOCK_KEY)
    if path.is_file():
        return read_identities(path)[0]
    identity = new_identity()
    write_identity(path, identity)
    return identity


def seal_key(folder: Path, identity: str, recipients: Sequence[str]) -> Path:
    """Write the key of the release for its recipients.

    Args:
        folder: of the unlock files.
        identity: secret key of the release.
        recipients: public keys.

    Returns:
        The file.
    """
    text = f"# public key: {public_of(identity)}\n{identity}\n"
    with atomic(folder / KEY_FILE) as temporary:
        temporary.write_bytes(encrypt(text.encode(), recipients))
    return folder / KEY_FILE


def put_sealed(path: Path, plain: bytes, identity: str) -> None:
    """Write an age file for the key of the release; one that says the same stays, so that its bytes do."""
    if path.is_file() and not path.is_symlink():
        try:
            if decrypt(path.read_bytes(), [identity], path.name) == plain:
                return
        except InputError:
            pass
    with atomic(path) as temporary:
        temporary.write_bytes(encrypt(plain, [public_of(identity)]))


def tidy(folder: Path, kept: set[str]) -> None:
    """Remove unlock files of an earlier run, and give all others the same time, which then says nothing.

    Args:
        folder: of the unlock files.
        kept: names that belong to the run.
    """
    now = int(time.time())
    for path in sorted(folder.iterdir()):
        if path.name in kept:
            os.utime(path, (now, now))
        elif _ours(path):
            path.unlink()


def clear_folder(folder: Path) -> None:
    """Remove all unlock files, and the folder if nothing else is in it; links are left alone."""
    if folder.is_symlink() or not folder.is_dir():
        return
    tidy(folder, set())
    if not any(folder.iterdir()):
        folder.rmdir()
