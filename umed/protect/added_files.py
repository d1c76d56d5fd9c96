# SPDX-License-Identifier: Apache-2.0
"""Files that a steward lays into an output by hand, such as a licence: which may be there, and what they must be."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from umed.core.errors import ConfigError
from umed.data.files import RECORDS
from umed.data.plain_text import MOST_TEXT_BYTES as MOST_ADDED
from umed.data.plain_text import text_fault

__all__ = ["MOST_ADDED", "SAID", "take_added", "text_fault"]

SAID = "added by you, not covered by the manifest"


def take_added(added: Iterable[str], output: Path, there: Collection[str], listed: Collection[str]) -> frozenset[str]:
    """Names of files that somebody says are added.

    Args:
        added: paths relative to the output.
        output: its root, for messages.
        there: names of the plain files of the output.
        listed: names that the manifest lists.

    Returns:
        Them, as ``there`` has them.

    Raises:
        ConfigError: for a file that is not there, lies in ``umed/``, or is one of umed's own.
    """
    found = set[str]()
    for one in added:
        name = PurePosixPath(one).as_posix()
        if PurePosixPath(name).parts[:1] == (RECORDS,):
            raise ConfigError(f"--added {one}: expected a file outside {RECORDS}/, got one inside. Move it out.")
        if name in listed:
            raise ConfigError(
                f"--added {one}: expected a file that the manifest does not list, got one of its own. Leave it out."
            )
        if name not in there:
            raise ConfigError(
                f"--added {one}: expected a plain file, relative to {output}, got none there. Check the path."
            )
        found.add(name)
    return frozenset(found)
