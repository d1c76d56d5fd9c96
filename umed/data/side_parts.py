# SPDX-License-Identifier: Apache-2.0
"""What stands in a file beside its pixels, as :mod:`umed.data.side_data` finds it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOST_TEXT = 2000
"""Characters of a text that are kept."""


@dataclass(frozen=True)
class SidePart:
    """Bytes that belong to no pixel of the image itself.

    Args:
        what: what they are, such as ``"EXIF thumbnail"`` or ``"bytes after IEND"``.
        data: they.
    """

    what: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class SideData:
    """What was found beside the pixels.

    Args:
        kind: ``"NIfTI"``, ``"MetaImage"``, ``"NRRD"``, ``"PNG"``, ``"JPEG"``, ``"TIFF"``, or empty where it is none.
        texts: field and text, without padding; a field may occur more than once.
        parts: hidden bytes.
        problems: what is wrong with the file.
    """

    kind: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    parts: tuple[SidePart, ...] = ()
    problems: tuple[str, ...] = ()


def text_of(raw: bytes) -> str:
    """Text of a field: UTF-8 or else Latin-1, pieces between zeros joined by a space, without control characters.

    >>> text_of(b"FSL5.0" + bytes(4))
    'FSL5.0'
    """
    joined = b" ".join(piece.strip() for piece in raw.split(b"\0") if piece.strip())
    try:
        text = joined.decode("utf-8")
    except UnicodeDecodeError:
        text = joined.decode("latin-1")
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text).strip()[:MOST_TEXT]


def holds_text(raw: bytes) -> bool:
    """Whether bytes hold something that a person could read: four letters or digits in a row."""
    return re.search(rb"[A-Za-z0-9\xc0-\xff]{4}|(?:[A-Za-z0-9]\0){4}", raw) is not None
