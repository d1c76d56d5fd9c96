# SPDX-License-Identifier: Apache-2.0
"""Small plain texts that may go beside images: what they must be, and what in them looks like a person."""

from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path, PurePosixPath

from umed.data import planes

MOST_TEXT_BYTES = 1_000_000
"""Bytes of a file that a person writes, at most."""
_LINES = frozenset("\t\n\r")
_PICTURE = re.compile(
    r"\s*P[1-7]\s+(?:#[^\n]*\s+)*(?:\d|WIDTH)|\s*/\* XPM|\s*#define \w+_width|(?i:.*<svg\b)", re.DOTALL
)
"""Pictures that are text: netpbm, XPM, XBM and SVG."""
_ENCODED = re.compile(r"(?:[A-Za-z0-9+/]{60,}={0,2}\s*)+")
_LONGEST_ENCODED = 4096
"""Characters of base64 or hexadecimal digits in one run; the largest signatures have fewer."""
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}")
PERSON = re.compile(r"[^\W\d_][\w'-]+\^[^\W\d_][\w'-]*")
"""As DICOM writes names: ``Roe^Jane``; no power such as ``10^3``."""
DOCUMENT_ENDINGS = frozenset(
    ".md .markdown .rst .txt .text .csv .tsv .json .jsonl .yaml .yml .toml .ini .cfg .cff .bib .ris .xml .log".split()
)
"""Endings of texts that people and programs lay beside images."""
DOCUMENT_NAMES = re.compile(
    r"(?:readme|licen[cs]e|copying|notice|authors|contributors|changes|changelog|citation|source|metadata)"
    r"(?:\.(?:md|rst|txt|text|html?|pdf|docx?))?",
    re.IGNORECASE,
)
_WHOSE = r"(?:patient|subject|person|pat)(?:'?s)?"
_BORN = rf"(?:{_WHOSE}[ _.-]?)?(?:date[ _.-]?of[ _.-]?birth|birth[ _.-]?(?:date|day)|dob)"
_FIELD = re.compile(
    rf"{_WHOSE}[ _.-]?(?:(?:full|first|last|family|given|sur|maiden)[ _.-]?)?(?:names?|address|phone|telephone)|{_BORN}"
    r"|mrn|medical[ _.-]?record(?:[ _.-]?(?:no|nr|num|number))?|ssn|social[ _.-]?security(?:[ _.-]?number)?",
    re.IGNORECASE,
)
"""Fields that say who somebody is."""
_COLUMN = re.compile(r"(?:full|first|last|family|given|sur|maiden)[ _.-]?names?|street|phone|telephone", re.IGNORECASE)
"""In the head of a table these do, too; in a citation they are an author's."""


def is_document(name: str) -> bool:
    """Whether a file is called like a text or a document.

    >>> is_document("a/README"), is_document("notes.TXT"), is_document("a.png"), is_document("README.bak")
    (True, True, False, False)
    """
    own = PurePosixPath(name)
    return own.suffix.lower() in DOCUMENT_ENDINGS or DOCUMENT_NAMES.fullmatch(own.name) is not None


def text_marks(text: str) -> list[str]:
    """E-mail addresses and names as DICOM writes them, in the order in which they stand in a text.

    >>> text_marks("10^3 cases, ask Roe^Jane or jane@example.org.")
    ['Roe^Jane', 'jane@example.org']
    """
    found = [(match.start(), match[0]) for pattern in (EMAIL, PERSON) for match in pattern.finditer(text)]
    return [mark for _, mark in sorted(found)]


def person_columns(text: str) -> list[str]:
    r"""Columns of a table, or keys of JSON or YAML, that say who somebody is.

    >>> person_columns("case,Patient Name,dx\n1,Jane,flu"), person_columns("case,patient_id\n1,7")
    (['Patient Name'], [])
    """
    lines = text.lstrip("\ufeff").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    cells: list[str] = []
    for separator in ",;\t|":
        if separator in first:
            cells += [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
    keys = re.findall(r"[\"']([^\"'\n]{2,40})[\"']\s*:", text)
    keys += re.findall(r"(?m)^[ \t-]*([A-Za-z][A-Za-z _.-]{1,40}):(?=\s)", text)
    found = [cell for cell in cells if _COLUMN.fullmatch(cell)] if len(cells) > 1 else []
    return list(dict.fromkeys([*found, *(one for one in (*cells, *keys) if _FIELD.fullmatch(one.strip()))]))


def carry_fault(path: Path) -> str:
    """Why a document is not taken along into a release; ``""`` where it may.

    E-mail addresses do not count: authors have them. :func:`umed.check_release` warns of them.

    Args:
        path: the file.
    """
    try:
        if path.is_symlink() or not path.is_file():
            return "expected a plain file of the data set, got a link or none; put the file itself there"
        size = path.stat().st_size
        data = path.read_bytes() if 0 < size <= MOST_TEXT_BYTES else b""
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if size > MOST_TEXT_BYTES:
        return f"expected a small plain text, got {size} bytes, more than {MOST_TEXT_BYTES}"
    if not data:
        return "is empty"
    if fault := text_fault(data):
        return f"expected a small plain text in UTF-8, got {fault}"
    text = data.decode("utf-8-sig")
    if match := PERSON.search(text):
        return f"may name a person ({match[0]!r}); clear it, or look at it and lay it into OUTPUT yourself (--added)"
    if columns := person_columns(text):
        return (
            f"has fields that say who somebody is ({', '.join(columns[:3])}); clear them, or look at it and lay it "
            "into OUTPUT yourself (--added)"
        )
    return ""


def text_fault(data: bytes) -> str:
    """Why bytes are no small plain text; ``""`` where they are one.

    >>> text_fault(b"Creative Commons Attribution 4.0"), text_fault(bytes(4))
    ('', 'control characters (U+0000)')
    """
    if len(data) > MOST_TEXT_BYTES:
        return f"{len(data)} bytes, more than {MOST_TEXT_BYTES}"
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
