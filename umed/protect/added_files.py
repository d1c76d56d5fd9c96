# SPDX-License-Identifier: Apache-2.0
"""Files that a steward lays into an output by hand, such as a licence: which may be there, and what they must be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from umed.core.errors import ConfigError
from umed.data import planes
from umed.data.files import RECORDS

MOST_ADDED = 1_000_000
"""Bytes of a file that a person writes, at most."""
SAID = "added by you, not covered by the manifest"
_LINES = frozenset("\t\n\r")
_PICTURE = re.compile(
    r"\s*P[1-7]\s+(?:#[^\n]*\s+)*(?:\d|WIDTH)|\s*/\* XPM|\s*#define \w+_width|(?i:.*<svg\b)", re.DOTALL
)
"""Pictures that are text: netpbm, XPM, XBM and SVG."""
_ENCODED = re.compile(r"(?:[A-Za-z0-9+/]{60,}={0,2}\s*)+")
_LONGEST_ENCODED = 4096
"""Characters of base64 or hexadecimal digits in one run; the largest signatures have fewer."""


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


def text_fault(data: bytes) -> str:
    """Why bytes are no small plain text; ``""`` where they are one.

    >>> text_fault(b"Creative Commons Attribution 4.0"), text_fault(bytes(4))
    ('', 'control characters (U+0000)')
    """
    if len(data) > MOST_ADDED:
        return f"{len(data)} bytes, more than {MOST_ADDED}"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "an image" if planes.is_picture(data) else "not UTF-8"
    odd = sorted(one for one in set(text) - _LINES if unicodedata.category(one) in ("Cc", "Co", "Cn"))
    if odd:
        return f"control characters (U+{ord(odd[0]):04X})"
    if _PICTURE.search(text):
        return "a picture written as text"
    if any(len(match[0]) > _LONGEST_ENCODED for match in _ENCODED.finditer(text)):
        return "data written as text (base64 or hexadecimal digits)"
    return ""
