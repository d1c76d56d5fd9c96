# SPDX-License-Identifier: Apache-2.0
"""Code strings (CS): what is none is text, and digits in one mean as much as in text (PS3.5 6.2)."""

from __future__ import annotations

import re

from umed.deid.kept_text import keep_terms
from umed.deid.said_days import OLD, without_ages, without_said_days
from umed.deid.text_dates import without_dates
from umed.deid.text_tokens import tokens

LONGEST = 16
_CODE = re.compile(r"[A-Z0-9_ ]{0,16}\Z", re.ASCII)
_OTHER = re.compile(r"[^A-Z0-9_ ]+", re.ASCII)
_DIGITS = 5  # of so many digits a number may be somebody's, in one piece or in groups
# Defined terms with more digits than that: compressions by the number of their standard (PS3.3 C.7.6.1.1.5).
_TERMS = frozenset(
    "ISO_10918_1 ISO_14495_1 ISO_15444_1 ISO_15444_15 ISO_13818_2 ISO_14496_10 ISO_23008_2 ISO_18181_1".split()
)


def clean_code_strings(found: list[str], most: int, ages: bool) -> list[str]:
    """Values of a CS attribute, each a code string or empty.

    Args:
        found: decoded values.
        most: how many values DICOM allows; 0 for any number. More are text.
        ages: whether ages stay.

    >>> clean_code_strings(["ORIGINAL", "DIS2D", "for Dr Miller, CT chest 03/05/41"], 0, False)
    ['ORIGINAL', 'DIS2D', 'FOR CT CHEST']
    >>> clean_code_strings(["044", "255", "11", "11"], 0, False), clean_code_strings(["DATE 15JUN23"], 0, False)
    (['', '', '', ''], [''])
    """
    many = bool(most) and len(found) > most
    bare = [one.strip("\0 \t\r\n") for one in found]
    numeric = [one for one in bare if one.isdigit()]
    phone = len(numeric) > 1 and sum(map(len, numeric)) >= _DIGITS
    cleaned = []
    for one, text in zip(found, bare, strict=True):
        if many or not _is_code(text, ages) or (phone and text.isdigit()):
            cleaned.append(_as_code(keep_terms(text, ages)))
        else:
            cleaned.append(one)
    return cleaned[:most] if many else cleaned


def _is_code(text: str, ages: bool) -> bool:
    if _CODE.match(text) is None:
        return False
    if without_said_days(text) != text:
        return False
    if text in _TERMS or not any(one.isdigit() for one in text):
        return True
    if without_dates(text) != text or without_ages(text, OLD if ages else 0) != text:
        return False
    digits = 0
    for token in tokens(text):
        digits = digits + len(token.text) if token.kind == "number" else 0 if token.kind == "word" else digits
        if digits >= _DIGITS:
            return False
    return True


def _as_code(text: str) -> str:
    """The first words of a cleaned text, as a code string."""
    words = _OTHER.sub(" ", text.upper()).split()
    while len(" ".join(words)) > LONGEST:
        words.pop()
    return " ".join(words)
