# SPDX-License-Identifier: Apache-2.0
"""Finds any of many values in text in any spelling (:mod:`umed.deid.normal_form`), in linear time (Aho, Corasick)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import ahocorasick

from umed.deid import values
from umed.deid.dates_in_text import BARRIER, dates_in
from umed.deid.normal_form import Located, located, normal
from umed.deid.spellings import is_dense, letters

ANYWHERE = 6
"""A value of so many letters is found within words, too; of ideographs two are enough."""
MANY_DIGITS = 8
"""Digits that stand apart are taken together where nothing else says so from so many on."""
_MARKS_IN_NUMBERS = re.compile(r"[-./ _\u00a0\u2010-\u2015\u2212,()]{1,3}\Z")
_GROUPS = re.compile(r"\d+")
_NEAR = 24
_HINT = re.compile(
    r"(?:patient\w*|pat|name\w*|names|id|ids|identifier|mrn|pid|acc(?:ession)?\w*|case|nr|no|num(?:ber)?|dr|mr|mrs|ms|tel"
    r"|phone|fon|born|dob|ssn|ahv|fallnr)[\"'\s:=#._\-]{0,4}\Z",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"(?<![^\W_])\d+[\W_]{0,3}\Z")
_PREFIX = re.compile(r"(?:\+|(?<!\d)00)[1-9]\d{0,2}[\s().-]{0,3}\Z")  # of a country
_PHONE = 8  # digits behind it
Strength = Literal["sure", "beside", "weak"]


class Needle(NamedTuple):
    """What a form stands for.

    Args:
        word: the value that it comes from.
        parts: words that it joins.
        alone: whether it counts only as a whole value or beside a word such as "patient".
    """

    word: str
    parts: int = 1
    alone: bool = False


class TextHit(NamedTuple):
    """A stretch of text that spells a value.

    Args:
        start: where it begins.
        stop: where it ends.
        word: the value, or the day as eight digits.
        found: what stands there.
        strength: ``"beside"`` for a short one beside a word that says what it is, ``"weak"`` for one that is short or
            whose digits stand apart among other numbers: it counts where it is all that stands there.
    """

    start: int
    stop: int
    word: str
    found: str
    strength: Strength = "sure"


class TextSearch:
    """Finds many values in text.

    Args:
        forms: normal forms and what each stands for.
        days: days to look for, as year, month and day.
    """

    def __init__(self, forms: Mapping[str, Needle], days: Mapping[tuple[int, int, int], str]) -> None:
        self._days = days
        self._automaton: Any = ahocorasick.Automaton()
        self._any = bool(forms)
        for form, needle in forms.items():
            self._automaton.add_word(form, (form, needle))
        self._automaton.make_automaton()

    def __call__(self, text: str) -> Iterator[TextHit]:
        """All stretches that spell a value, in any order."""
        if self._days:
            for hit in dates_in(text):
                for day in hit.days & self._days.keys():
                    row = not hit.sure and _in_a_row(text, hit.start, hit.stop)
                    found = text[hit.start : hit.stop]
                    yield TextHit(hit.start, hit.stop, self._days[day], found, "weak" if row else "sure")
        if not self._any:
            return
        flat = normal(text)
        hits = list(self._automaton.iter(flat)) if flat else []
        if not hits:
            return
        place = located(text)
        for end, (form, needle) in hits:
            first = end - len(form) + 1
            start, stop = place.starts[first], place.stops[end]
            strength = _strength(text, place, first, end, form, needle)
            if strength is not None:
                yield TextHit(start, stop, needle.word, text[start:stop], strength)


def _strength(text: str, place: Located, first: int, end: int, form: str, needle: Needle) -> Strength | None:
    start, stop = place.starts[first], place.stops[end]
    before, after = text[start - 1 : start] if start else "", text[stop : stop + 1]
    if form.isdigit():
        strength = _number(text, start, stop, form)
    else:
        strength = _word(text, start, stop, form, needle, before, after)
    if strength is not None and needle.alone:
        return "beside" if _HINT.search(text[max(0, start - _NEAR) : start]) else "weak"
    return strength


def _number(text: str, start: int, stop: int, form: str) -> Strength | None:
    while start and text[start - 1] == "0":  # leading zeros change nothing
        start -= 1
    before, after = text[start - 1 : start] if start else "", text[stop : stop + 1]
    if len(form) >= _PHONE and not after.isdigit() and _PREFIX.search(text[max(0, start - _NEAR) : start]):
        return "sure"
    if before.isdigit() or after.isdigit():
        return None
    stretch = text[start:stop]
    groups = _GROUPS.findall(stretch)
    if len(groups) == 1:
        if (before in (".", ",") and before and text[start - 2 : start - 1].isdigit()) or (
            after in (".",) and text[stop + 1 : stop + 2].isdigit()
        ):
            return None  # a part of a decimal number or of a UID
        return "sure"
    gaps = {gap for gap in _GROUPS.split(stretch) if gap}
    if not all(_MARKS_IN_NUMBERS.match(gap) for gap in gaps):
        return None
    if before == "." or (after == "." and text[stop + 1 : stop + 2].isdigit()):
        return None
    if len(form) < MANY_DIGITS - 2:
        return None
    return "weak" if len(form) < MANY_DIGITS or _in_a_row(text, start, stop) else "sure"


def _in_a_row(text: str, start: int, stop: int) -> bool:
    """Whether a number that is none of a word such as T1 stands just before or behind."""
    before, after = _BEFORE.search(text[max(0, start - _NEAR) : start]), text[stop : stop + 4]
    return before is not None or any(map(str.isdigit, after))


def _word(text: str, start: int, stop: int, form: str, needle: Needle, before: str, after: str) -> Strength | None:
    stretch = text[start:stop]
    joined = len(re.findall(r"[^\W_]+", stretch))
    touched = (_touches(before, form[0]), _touches(after, form[-1]))
    long = letters(form) >= ANYWHERE or is_dense(form)
    if joined > needle.parts and not long and not all(len(one) == 1 for one in re.findall(r"[^\W_]+", stretch)):
        return None  # "am Ustertor" is no Muster
    if not any(touched):
        return "sure"
    if not long or (joined > 1 and all(touched)):
        return None
    if is_dense(form):
        return "sure"
    while start and text[start - 1].isalpha() and text[start - 1] != BARRIER:
        start -= 1
    while stop < len(text) and text[stop].isalpha() and text[stop] != BARRIER:
        stop += 1
    return None if values.is_ordinary(text[start:stop]) else "sure"  # "anonymou" within "anonymous" is no secret


def _touches(neighbour: str, own: str) -> bool:
    """Whether a neighbour continues a word or a number."""
    return bool(neighbour) and neighbour != BARRIER and neighbour.isalnum() and neighbour.isdigit() == own.isdigit()
