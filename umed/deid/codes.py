# SPDX-License-Identifier: Apache-2.0
"""Coded concepts: the meaning comes from DICOM's tables by scheme and value, not from the file (PS3.3 8.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from pydicom.dataset import Dataset

from umed.core.shipped import shipped_text
from umed.deid.elements import element, text_of
from umed.deid.kept_text import keep_terms
from umed.deid.text_dates import without_dates
from umed.deid.values import DUMMY_TEXT, TEXT_VRS
from umed.dicom.held import has

VALUE, SCHEME, VERSION, MEANING, LONG_VALUE, URN = (
    0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120,
)  # fmt: skip
TAGS = (VALUE, SCHEME, VERSION, MEANING, LONG_VALUE, URN)
_VRS = TEXT_VRS | {"CS", "UR", "UN", None}
UNKNOWN_SCHEME = "99REMOVED"
_LONGEST_MEANING = 64  # LO
_RETIRED_SNOMED = frozenset(("SRT", "SNM3", "99SDM"))
_VERSION = re.compile(r"[A-Za-z]?\d{1,4}[a-z]?(?:\.\d{1,2}[a-z]?)?\Z", re.ASCII)
# What codes look like that the tables do not hold; those without a check digit are too short to be somebody's number.
_FORMS: Mapping[str, re.Pattern[str]] = {
    scheme: re.compile(form + r"\Z", re.ASCII)
    for scheme, form in {
        **dict.fromkeys(_RETIRED_SNOMED, r"[A-Z]\d?-[0-9A-FX][0-9A-F]{4}"),
        "FMA": r"\d{1,5}",
        "RADLEX": r"RID\d{1,5}",
        "NCIt": r"C\d{1,5}",
        "I10": r"[A-Z]\d\d(?:\.\d{1,2})?",
        "I10C": r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?",
        "I9C": r"\d{3}(?:\.\d{1,2})?",
        "UCUM": r"[munkcMG]?(?:m|g|s|Hz|V|A|Bq|Gy|eV|L|l|J|Pa|mol|h|min|d|deg|rad|T)[23]?"
        r"(?:[./][munkcMG]?(?:m|g|s|Hz|V|A|Bq|Gy|eV|L|l|J|Pa|mol|h|min|d|deg|rad|T)[23]?){0,3}|1|%",
    }.items()
}
_SNOMED = re.compile(r"[1-9]\d{2,14}[01]0\d\Z", re.ASCII)
_LOINC = re.compile(r"(?:L[AP])?(\d{1,6})-(\d)\Z", re.ASCII)
# Verhoeff's check digit, which ends every identifier of SNOMED CT.
_TIMES = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
          "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
_PERMUTED = ("0123456789", "1576283094", "5803796142", "8916043527", "9453126870",
             "4286573901", "2793806415", "7046913258")  # fmt: skip


@cache
def schemes() -> frozenset[str]:
    """Designators of coding schemes that say nothing about whoever uses them."""
    text = shipped_text("deid/lists/coding_schemes.txt")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))


@cache
def _meanings() -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Meanings of all codes of PS3.16, the usual one first."""
    from pydicom.sr import _concepts_dict  # takes a moment, and few files need it

    concepts: Mapping[str, Mapping[str, Mapping[str, tuple[str, list[int]]]]] = _concepts_dict.concepts  # type: ignore[assignment]
    found: dict[tuple[str, str], list[tuple[bool, int, str]]] = {}
    for scheme, listed in concepts.items():
        for entries in listed.values():
            for value, (meaning, groups) in entries.items():
                found.setdefault((scheme, value), []).append((not groups, len(meaning), meaning))
    return {code: tuple(meaning[:_LONGEST_MEANING].rstrip() for _, _, meaning in sorted(entries))
            for code, entries in found.items()}  # fmt: skip


@cache
def _today() -> Mapping[str, str]:
    from pydicom.sr._snomed_dict import mapping

    return mapping["SRT"]


def meanings_of(scheme: str, value: str) -> tuple[str, ...]:
    """Meanings of a code in DICOM's tables, as long as an attribute may hold them; none when they do not have it.

    >>> meanings_of("SCT", "10200004")[0], meanings_of("SRT", "T-62000")[0], meanings_of("DCM", "044 255")
    ('Liver', 'Liver', ())
    """
    if scheme in _RETIRED_SNOMED:
        scheme, value = "SCT", _today().get(value, "")
    return _meanings().get((scheme, value), ())


def is_code(scheme: str, value: str) -> bool:
    """Whether a value is in DICOM's tables, or a code of its scheme by form and check digit.

    >>> is_code("SCT", "73211009"), is_code("SCT", "0442551111"), is_code("99HERE", "4711")
    (True, False, False)
    """
    if meanings_of(scheme, value):
        return True
    if without_dates(value) != value and scheme not in ("SCT", "LN"):
        return False
    if scheme == "SCT":
        return _SNOMED.match(value) is not None and _verhoeff(value)
    if scheme == "LN":
        match = _LOINC.match(value)
        return match is not None and _mod_10(match[1]) == int(match[2])
    form = _FORMS.get(scheme)
    return form is not None and form.match(value) is not None


def is_public(item: Dataset) -> bool:
    """Whether an item is a code of a public scheme, whose parts are the secrets of nobody."""
    scheme = text_of(item, SCHEME)
    values = (text_of(item, tag) for tag in (VALUE, LONG_VALUE) if tag in item)
    return scheme in schemes() and any(is_code(scheme, value) for value in values)


def settle_code(item: Dataset) -> frozenset[int]:
    """Make an item say what its code means by the tables, and take out what is no code.

    Args:
        item: a data set, changed in place.

    Returns:
        Tags of the code in it, which need no more cleaning; empty when there is no code in it.
    """
    present = [tag for tag in TAGS if has(item, tag)]
    if not present:
        return frozenset()
    for tag in present:
        if item.get_item(tag).VR not in _VRS:
            del item[tag]
    present = [tag for tag in present if tag in item]
    scheme = text_of(item, SCHEME)
    known = scheme in schemes()
    value = next((found for tag in (VALUE, LONG_VALUE) if (found := text_of(item, tag))), "")
    meanings = meanings_of(scheme, value)
    for tag in present:
        if tag == SCHEME:
            new = scheme if known or not scheme else UNKNOWN_SCHEME
        elif tag == VERSION:
            old = text_of(item, tag)
            new = old if known and _VERSION.match(old) and without_dates(old) == old else ""
        elif tag == MEANING:
            old = text_of(item, tag)
            new = old if old in meanings else next(iter(meanings), keep_terms(old) or (DUMMY_TEXT if old else ""))
        elif tag == URN:
            new = ""
        else:
            old = text_of(item, tag)
            new = old if not old or (known and is_code(scheme, old)) else keep_terms(old) or DUMMY_TEXT
        if not new and tag in (VERSION, URN):
            del item[tag]
        elif new != text_of(item, tag):
            vr = {SCHEME: "SH", VALUE: "SH", LONG_VALUE: "UC"}.get(tag, "LO")
            item[tag] = element(tag, vr, new)
    return frozenset(present)


def _verhoeff(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_TIMES[check][int(_PERMUTED[place % 8][int(digit)])])
    return check == 0


def _mod_10(digits: str) -> int:
    """Check digit of LOINC."""
    odd = int("".join(reversed(digits))[::2][::-1]) * 2
    even = "".join(reversed(digits))[1::2][::-1]
    return -sum(map(int, even + str(odd))) % 10
