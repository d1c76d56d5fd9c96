# SPDX-License-Identifier: Apache-2.0
"""Tells a value of an original that was left in an output from words that stand there for another reason."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.sr._concepts_dict import concepts

from umed.core.shipped import shipped_text
from umed.deid import values
from umed.deid.needles import Kind
from umed.deid.normal_form import normal
from umed.deid.remains import makers

FEW_DIGITS = 2
CODE_MEANING = 0x00080104
_MAKER_TAGS = frozenset((0x00080070, 0x00081090, 0x00189004, 0x00189005, 0x00500015))
_WORD = re.compile(r"[^\W\d_]+")
_OF_FIRMS = frozenset(
    "ag co company corp corporation gmbh healthcare healthineers imaging inc kg limited llc ltd medical nv s sa "
    "systems technologies technology usa".split()
)
_STAND_INS = frozenset(
    "anonym anon anonymous anonymised anonymized test tester testing phantom patient volunteer subject demo dummy "
    "sample example qa qc calibration service unknown noname none".split()
)


def why_coincidence(word: str, kind: Kind, *, tag: int = 0, text: str = "", own_page: bool = False) -> str:
    """Why a hit says nothing about the patient; empty where it is a finding.

    Args:
        word: the value of the original.
        kind: what it is.
        tag: the attribute that it was found in, 0 for other places.
        text: the whole value of that attribute.
        own_page: whether it was found in a page or record whose words are umed's.
    """
    if kind in ("uid", "date"):
        return ""
    parts = [part.lower() for part in _WORD.findall(word)]
    if parts and all(part in _STAND_INS for part in parts) and not any(map(str.isdigit, word)):
        return "a stand-in for a name"
    if tag in _MAKER_TAGS and _is_maker(word):
        return "a maker of devices, where the maker is named"
    if tag == CODE_MEANING and normal(text) in _code_meanings():
        return "the meaning of a public code"
    if own_page and len(parts) == 1 and parts[0] in own_words():
        return "a word of umed's own pages"
    if not parts and sum(map(str.isdigit, word)) <= FEW_DIGITS:
        return "a number of few digits"
    if kind != "name" and parts and values.is_ordinary(word):
        return "an imaging term"
    return ""


def why_finding(word: str, found: str, kind: Kind) -> str:
    """Why a hit cannot be a coincidence, without quoting it."""
    if kind == "uid":
        return "a whole UID of an original, and no UID of the standard"
    if kind == "date":
        return "the same day, month and year" + (" in another spelling" if not found.isdigit() else "")
    digits = sum(map(str.isdigit, word))
    written = "as written" if found.lower() == word else "in another spelling"
    if digits and digits * 2 >= sum(map(str.isalnum, word)):
        return f"the same {digits} digits, {written}, and not part of a longer number"
    count = sum(map(str.isalpha, word))
    return f"the same {count} letters, {written}, which no list of imaging terms, makers or umed's own words holds"


def _is_maker(word: str) -> bool:
    """Whether all words of a value are those of makers, or such as their names have."""
    words = [normal(part) for part in _WORD.findall(word)]
    return any(part in makers() for part in words) and all(part in makers() | _of_firms() for part in words)


@cache
def _of_firms() -> frozenset[str]:
    return frozenset(map(normal, _OF_FIRMS))


@cache
def own_words() -> frozenset[str]:
    """Words of the pages and records that umed writes for the public, and of the dictionary of DICOM."""
    lines = shipped_text("deid/lists/own_words.txt").splitlines()
    own = {word for line in lines if not line.startswith("#") for word in line.split()}
    names = {part.lower() for entry in DicomDictionary.values() for part in _WORD.findall(entry[2])}
    return frozenset(own | names)


@cache
def _code_meanings() -> frozenset[str]:
    schemes: Any = concepts
    found = {normal(code[0]) for names in schemes.values() for codes in names.values() for code in codes.values()}
    return frozenset(found | {normal(entry[2]) for entry in DicomDictionary.values()})


def is_keyword(word: str) -> bool:
    """Whether a word is a keyword of the dictionary of DICOM."""
    return tag_for_keyword(word) is not None
