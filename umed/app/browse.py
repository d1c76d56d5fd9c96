# SPDX-License-Identifier: Apache-2.0
"""Names of folders, to click through; no content of a file is ever shown, and no link is followed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from umed.core.errors import InputError
from umed.core.reasons import printable

MOST = 500
"""Folders that one listing shows."""


@dataclass(frozen=True)
class ListedFolder:
    """A folder, or a zip, in a listing.

    Args:
        path: whole path.
        name: to show.
        folder: false of a zip.
    """

    path: str
    name: str
    folder: bool = True


@dataclass(frozen=True)
class Listing:
    """A folder, seen from outside.

    Args:
        path: whole path.
        parents: from the root down to it.
        entries: folders and zips in it, by name.
        files: how many other files lie in it.
        more: how many entries are not shown.
    """

    path: str
    parents: tuple[ListedFolder, ...]
    entries: tuple[ListedFolder, ...]
    files: int
    more: int = 0


def listing(path: Path) -> Listing:
    """List the folders in a folder; hidden ones are left out.

    Args:
        path: absolute.

    Raises:
        InputError: when it cannot be looked into.
    """
    if not path.is_absolute() or ".." in path.parts:
        raise InputError(f"{path}: expected a full path such as {Path.home()}, got a part of one. Type all of it.")
    found, files = [], 0
    try:
        for one in os.scandir(path):
            if one.name.startswith("."):
                continue
            if one.is_dir(follow_symlinks=False):
                found.append(ListedFolder(one.path, printable(one.name)))
            elif one.is_file(follow_symlinks=False):
                files += 1
                if one.name.lower().endswith(".zip"):
                    found.append(ListedFolder(one.path, printable(one.name), folder=False))
    except OSError as error:
        raise InputError(f"{path}: expected a folder, got none that can be read ({error.strerror}).") from error
    found.sort(key=lambda entry: (not entry.folder, entry.name.casefold()))
    parents = tuple(ListedFolder(str(one), one.name or str(one)) for one in reversed([path, *path.parents]))
    return Listing(str(path), parents, tuple(found[:MOST]), files, max(0, len(found) - MOST))
