# SPDX-License-Identifier: Apache-2.0
"""The originals of a release, for whoever has the key of a recipient: all of them, or nothing.

Nothing in the release is trusted: names must be those of its own files, no link is followed, every published file must
have the SHA-256 that its unlock file is bound to, sizes are compared before anything is unpacked, and what comes out
must be, by its checksum, what went in.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from umed.core.errors import InputError
from umed.core.progress import counted
from umed.core.types import Progress
from umed.data import files, formats
from umed.unlock.age_keys import decrypt, read_identities
from umed.unlock.file_payloads import CHANGED, free_place, restore_file
from umed.unlock.payload import INDEX, PIXELS, Payload, decode_payload, read_index
from umed.unlock.unlock_folder import INDEX_FILE, KEY_FILE, folder_of, unlock_name

_MOST_KEY = 1 << 20
_MOST_INDEX = 1 << 30
_FREE = 64 << 20
_BEYOND = 1100
"""How many times as large as a published file, which may be packed, its unlock file may be."""
AGAIN = "Fetch the release again."


@dataclass(frozen=True)
class Unlocked:
    """What came of unlocking a release.

    Args:
        originals: the folder that was written.
        restored: files that had been changed and are the originals again.
        copied: files that had never been changed.
    """

    originals: Path
    restored: tuple[str, ...]
    copied: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "originals": str(self.originals),
            "restored": list(self.restored),
            "copied": list(self.copied),
            "exit_code": 0,
        }

    def summary(self) -> str:
        """Two lines for people."""
        one = len(self.restored) == 1
        return (
            f"{len(self.restored)} file{'' if one else 's'} changed for the release, now checked to be the original"
            f"{'' if one else 's'} again; {len(self.copied)} that the release left as they were\n"
            f"originals: {self.originals} (only you may enter it). They are not protected: keep to what you agreed to."
        )


def unlock(
    output: str | Path,
    originals: str | Path,
    *,
    key: str | Path,
    unlock_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Unlocked:
    """Write the originals of a release.

    Args:
        output: the release, whole, as it was published.
        originals: new folder outside it; written whole or not at all.
        key: secret key file of a recipient.
        unlock_dir: where the unlock files lie; ``umed/unlock`` of the release if ``None``.
        progress: called with ``"unlock"``, files done and files in all.

    Returns:
        What was written.

    Raises:
        InputError: when the key opens nothing, or release or unlock files are not as they were written.
        VerificationError: when what would come out is not what went in.
    """
    root, target = Path(output), Path(originals)
    folder = folder_of(root, None if unlock_dir is None else Path(unlock_dir))
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder that umed protect wrote, got none. Check the path.")
    identities = read_identities(Path(key))
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(
            f"{folder}: expected the unlock files of the release, got none. They may lie elsewhere: --unlock-dir DIR; "
            "or the release was made without --recipients."
        )
    _check_target(root, target)
    _check_target(folder, target)
    opened = decrypt(_read(folder, KEY_FILE, _MOST_KEY), identities, str(folder / KEY_FILE), key=str(key))
    release = _keys_in(opened, folder / KEY_FILE)
    index = _payload(folder, INDEX_FILE, release, _MOST_INDEX)
    listed = read_index(index, str(folder / INDEX_FILE))
    restored, copied, beside = list[str](), list[str](), set[str]()
    with files.whole_folder(target) as place:
        for name, (digest, _) in counted({n: e for n, e in listed.items() if e[1]}.items(), "unlock", progress):
            written = _restore(root, folder, name, digest, release, place)
            restored += written
            beside.update(written[1:])  # data files of a header, which have no unlock file of their own
        for name, (digest, has) in listed.items():
            if not has and name not in beside:
                _copy(root, name, digest, place)
                copied.append(name)
    return Unlocked(target, tuple(sorted(restored)), tuple(sorted(copied)))


def _check_target(root: Path, target: Path) -> None:
    files.check_apart(
        root, target, what="release", step="Pick another folder for the originals", why="the release stays as it is"
    )
    if target.is_symlink():
        raise InputError(f"{target}: expected a new folder for the originals, got a link. Pick another.")
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target}: expected a new or empty folder, got one with files. Pick another.")
    own = os.access in os.supports_effective_ids
    if target.is_dir() and not os.access(target, os.W_OK, effective_ids=own):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))  # it would be replaced, not filled
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target}: expected a folder to write into, got none above it. Make it first.")


def _read(folder: Path, name: str, most: int) -> bytes:
    """An unlock file; a link is none."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path}: expected an unlock file, got none. {AGAIN}")
    if path.stat().st_size > most:
        raise InputError(f"{path}: expected an unlock file of at most {most} bytes, got a larger one. {AGAIN}")
    return path.read_bytes()


def _keys_in(opened: bytes, path: Path) -> list[str]:
    """The secret key of the release; never quoted."""
    try:
        lines = [line for line in opened.decode("ascii").splitlines() if line.startswith("AGE-SECRET-KEY-1")]
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1:
        raise InputError(f"{path}: expected the key of a release, got something else. {AGAIN}")
    return lines


def _payload(folder: Path, name: str, release: list[str], most: int) -> Payload:
    where = str(folder / name)
    return decode_payload(decrypt(_read(folder, name, most), release, where, key=f"{KEY_FILE} of this release"), where)


def _published(root: Path, name: str) -> Path:
    """A published file, reached by no link."""
    path, parts = root, PurePosixPath(name).parts
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise InputError(f"{path}: expected plain files and folders in the release, got a link. {AGAIN}")
    if not path.is_file():
        raise InputError(f"{path}: expected a file of the release, got none. {AGAIN}")
    return path


def _restore(root: Path, folder: Path, name: str, digest: str, release: list[str], place: Path) -> list[str]:
    """Bring one original back."""
    published = _published(root, name)
    beside = (published.with_name(one) for one in formats.companions(published))
    size = sum(path.stat().st_size for path in (published, *beside) if path.is_file())
    payload = _payload(folder, unlock_name(name), release, _FREE + _BEYOND * size)
    where = folder / unlock_name(name)
    if payload.kind == INDEX or payload.path != name:
        raise InputError(f"{where}: expected the unlock file of {name}, got that of another file. {AGAIN}")
    if payload.sha256 != digest:
        raise InputError(f"{where}: expected the unlock file of this release, got one of another. {AGAIN}")
    if payload.kind == PIXELS:
        from umed.data.dicom_input import require_dicom

        require_dicom()
        from umed.unlock.series_payloads import restore_series_file

        return restore_series_file(payload, published, place)
    return restore_file(payload, published, place)


def _copy(root: Path, name: str, digest: str, place: Path) -> None:
    """Copy a file that was never changed, and make sure that it was not changed since, either."""
    published, target = _published(root, name), free_place(place, name)
    shutil.copyfile(published, target)
    if files.sha256(target) != digest:
        raise InputError(f"{published}: {CHANGED}")
