# SPDX-License-Identifier: Apache-2.0
"""What looks like a person in names of files and in free text: told by its form alone, so a hint and no proof."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from umed.data.layouts import INDEX
from umed.data.plain_text import EMAIL, person_columns, text_marks

__all__ = ["index_marks", "marks_of", "name_mark", "text_marks"]

_UID = re.compile(r"\d+(?:\.\d+){3,}")
_NUMBER = re.compile(r"[A-Za-z]*(\d{6,12})")
_MOST_TEXT = 1 << 26


def name_mark(name: str) -> str:
    """Why a path may name a person; ``""`` where it does not look so.

    Args:
        name: relative, with ``/``. Counters with leading zeros and UIDs are no numbers of people.

    >>> name_mark("imagesTr/MRN4711042_0000.nii.gz"), name_mark("images/ISIC_0012345.png")
    ('a number of 7 digits', '')
    >>> name_mark("a/19700131.png"), name_mark("Roe^Jane/1.png"), name_mark("a/b@c.org.png")
    ('a date', 'a caret, as in names of DICOM', 'an e-mail address')
    """
    if EMAIL.search(PurePosixPath(name).with_suffix("").as_posix()):  # png is no country
        return "an e-mail address"
    if "^" in name:
        return "a caret, as in names of DICOM"
    marks = set[str]()
    for token in re.split(r"[^A-Za-z0-9]+", _UID.sub(" ", name)):
        match = _NUMBER.fullmatch(token)
        if match is None or match[1].startswith("00"):
            continue
        marks.add("a date" if _is_date(match[1]) else f"a number of {len(match[1])} digits")
    return min(marks, default="")


def index_marks(path: Path) -> Iterator[tuple[str, str]]:
    """Fields of an index (``dataset.json``) whose text may name a person, and what in it does.

    Args:
        path: the file; one that is no JSON of a usual size has none.

    Yields:
        Dotted name of the field, and what was found; lists of files are names of files and no text.
    """
    try:
        content = json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_TEXT else None
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(content, dict):
        for name, value in content.items():
            if name not in ("training", "test", "dataset"):
                yield from _fields(str(name), value)


def _fields(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from ((name, mark) for mark in text_marks(value))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from ((name, mark) for mark in text_marks(str(key)))
            yield from _fields(f"{name}.{key}", one)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(name, one)


def marks_of(
    files: dict[str, Path], texts: frozenset[str], signed: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, str]]:
    """Everything in a folder that may name a person.

    Args:
        files: plain files by name.
        texts: those of them that are plain text, written by hand.
        signed: those of them that the owner has sealed as the card of the release: an address in them is a contact.

    Yields:
        ``"person-name"`` for a name of a file or ``"person-text"``, the file, and what is there.
    """
    for name in files:
        if mark := name_mark(name):
            yield "person-name", name, mark
    for name in sorted(texts):
        text = files[name].read_bytes()[:_MOST_TEXT].decode("utf-8", "replace")
        yield from (
            ("person-text", name, mark) for mark in text_marks(text) if not (name in signed and EMAIL.fullmatch(mark))
        )
        yield from (("person-text", name, f"a field {field!r}") for field in person_columns(text))
    index = INDEX.as_posix()
    if index in files:
        yield from (("person-text", f"{index} ({field})", mark) for field, mark in index_marks(files[index]))


def _is_date(digits: str) -> bool:
    """Whether this is year, month and day, from 1900 to 2099."""
    if len(digits) != 8 or not "1900" <= digits[:4] <= "2099":
        return False
    try:
        datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
