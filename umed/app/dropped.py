# SPDX-License-Identifier: Apache-2.0
"""Files that were dropped on the page: copied into the page's private working folder, under their own names."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from umed.core.errors import InputError

DEEPEST, LONGEST = 32, 255
"""Folders above a file, and bytes of one name."""
SPARE = 1 << 28
"""Bytes that are left free on the disk."""


def new_drop(work: Path) -> Path:
    """Make an empty folder for what is dropped.

    Args:
        work: private working folder of the page.
    """
    number = 1
    while True:
        folder = work / f"dropped-{number}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return folder


def safe_parts(name: str) -> tuple[str, ...]:
    """Folders and name of a dropped file.

    Args:
        name: as the browser gives it, with ``/`` between folders.

    Raises:
        InputError: when it would lead out of its folder, or is no name of a file.

    >>> safe_parts("data/images/a.png")
    ('data', 'images', 'a.png')
    """
    parts = tuple(name.split("/"))
    bad = [one for one in parts if one in ("", ".", "..") or "\\" in one or len(os.fsencode(one)) > LONGEST]
    if bad or len(parts) > DEEPEST or not name.isprintable() or (os.name == "nt" and ":" in name):
        raise InputError(f"{name[:80]!r}: expected the name of a file in a folder, got another one. Rename it.")
    return parts


async def write_drop(folder: Path, name: str, content: AsyncIterator[bytes]) -> int:
    """Write one dropped file; a file that is there is never replaced, and half of one never stays.

    Args:
        folder: of the drop.
        name: see :func:`safe_parts`.
        content: its bytes, in pieces.

    Returns:
        How many bytes it has.

    Raises:
        InputError: when the name is none, it is there already, or the disk is full.
    """
    parts = safe_parts(name)
    target = folder.joinpath(*parts)
    try:
        _make_folders(folder, parts[:-1])
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise InputError(f"{name}: expected a new file, got one that cannot be made ({error.strerror}).") from error
    size = 0
    try:
        with open(descriptor, "wb") as file:
            async for piece in content:
                size += _write(file, piece, folder)
    except BaseException:  # the disk is full, or the browser was closed
        target.unlink(missing_ok=True)
        raise
    return size


def _make_folders(folder: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        folder = folder / part
        folder.mkdir(mode=0o700, exist_ok=True)


def _write(file: BinaryIO, piece: bytes, folder: Path) -> int:
    if shutil.disk_usage(folder).free < len(piece) + SPARE:
        raise InputError(f"{folder}: expected room for a copy, got a full disk. Choose the folder by its path instead.")
    file.write(piece)
    return len(piece)


def discard_drop(folder: Path) -> None:
    """Remove what was copied so far of a drop that came to nothing: nobody asks for it again."""
    shutil.rmtree(folder, ignore_errors=True)


def dropped_root(folder: Path) -> Path:
    """What was dropped: the one folder or zip in it, else the folder around several files.

    Raises:
        InputError: when nothing was dropped.
    """
    found = sorted(folder.iterdir())
    if not found:
        raise InputError("Dropped files: expected a folder with images and masks, got nothing. Drop it again.")
    alone = found[0] if len(found) == 1 else None
    return alone if alone is not None and (alone.is_dir() or alone.suffix.lower() == ".zip") else folder
