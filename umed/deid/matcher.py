# SPDX-License-Identifier: Apache-2.0
"""Finds many values in a text in any spelling and in linear time (Aho and Corasick 1975)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import ahocorasick

from umed.deid.named_days import NamedDays
from umed.deid.normal_form import Located, located, normal
from umed.deid.spellings import enough, letters, numeric_spellings
from umed.deid.text_tokens import vocabulary

ANYWHERE = 6
"""A value of so many letters or digits is found within words and numbers, too; of ideographs two are enough."""
_LEAST = 4
_NUMBER = re.compile(r"\d+")
_MOST_MARKS = 64
_ENDING = 4  # letters around a stem


class _Rule(NamedTuple):
    """When a form counts: its size, whether anywhere, as three numbers apart, with an unseen e before it, or alone."""

    size: int
    anywhere: bool
    apart: bool = False
    lead: int = 0
    alone: bool = False
    stem: bool = False


class Matcher:
    """Finds values in the normal form of a text (:func:`umed.deid.normal_form.normal`).

    Long values are found anywhere; short ones where neither a letter touches their letters nor a digit their digits,
    and those of one or two characters only as words of their own. Dates of fewer than six digits are found where the
    text sets day, month and year apart.

    Args:
        values: in any spelling.
        words: values that count as whole words only, however long.
        stems: normal forms of beginnings that count with up to four letters around them, unless these make a word that
            is no name.
        whole: normal forms that count where a text says nothing else.
        days: dates, as :func:`umed.deid.spellings.day_of` gives them; every usual spelling of them is looked for.
    """

    def __init__(
        self,
        values: Iterable[str],
        days: Iterable[str] = (),
        words: Iterable[str] = (),
        stems: Iterable[str] = (),
        whole: Iterable[str] = (),
    ) -> None:
        found: dict[str, _Rule] = {}
        days = frozenset(day for day in days if day)
        for form in (form for day in days for form in numeric_spellings(day)):
            short = form.isdigit() and len(form) < ANYWHERE
            found[form] = _Rule(len(form), not short and form.isdigit(), short)
        for value, long in (*((one, True) for one in values), *((one, False) for one in words)):
            form = normal(value)
            if not form:
                continue
            size = max(letters(form), sum(map(str.isalnum, value)))
            anywhere = long and len(form) >= _LEAST and size >= ANYWHERE
            anywhere = anywhere or (enough(form) < ANYWHERE and size >= enough(form))
            rule = _Rule(len(form), anywhere, False, 0, size <= 2)
            if form not in found or not found[form].anywhere:
                found[form] = rule
            bare = form.lstrip("e")  # behind a, o or u its e is folded away
            if bare and bare != form:
                found.setdefault(bare, rule._replace(size=len(bare), lead=len(form) - len(bare)))
        for form in stems:
            if form not in found or not found[form].anywhere:
                found[form] = _Rule(len(form), False, stem=True)
        self._whole = frozenset(whole)
        self._count = len(found) + len(self._whole)
        self._named = NamedDays(days)
        self._automaton: Any = ahocorasick.Automaton()
        for form, rule in found.items():
            self._automaton.add_word(form, rule)
        self._automaton.make_automaton()
        self.scrubbed: dict[str, str] = {}  # what became of texts: most are the same in all files of a series

    def __bool__(self) -> bool:
        return self._count > 0

    def has(self, text: str) -> bool:
        """Whether any value stands in a text."""
        return bool(self.stretches(text))

    def stretches(self, text: str) -> list[tuple[int, int]]:
        """Where values stand: starts and stops in the text as it was given, in order, apart from one another."""
        if not self._count:
            return []
        form = normal(text)
        if form in self._whole:
            return [(0, len(text))]
        hits, named = list(self._automaton.iter(form)), list(self._named(form))
        if not hits and not named:
            return []
        place = located(text)
        found: list[tuple[int, int]] = []
        for first, behind in named:
            if _is_whole(text, place, place.starts[first], behind - 1, behind - first, False):
                found.append((place.starts[first], _with_marks(text, place.stops[behind - 1])))
        for end, (size, anywhere, apart, lead, alone, stem) in hits:
            start, stop = place.starts[end - size + 1], place.stops[end]
            if stem:
                found += _around(text, start, stop)
                continue
            if lead and not anywhere:
                while lead and start and normal(text[start - 1]) == "e":
                    start, lead = start - 1, lead - 1
                if lead:
                    continue
            if anywhere or (
                _is_whole(text, place, start, end, size, alone) and (not apart or _is_apart(text[start:stop]))
            ):
                found.append((start, _with_marks(text, stop)))
        return _joined(found)

    def without(self, text: str, instead: str = " ") -> str:
        """The text with every found stretch replaced."""
        pieces, at = [], 0
        for start, stop in self.stretches(text):
            pieces += [text[at:start], instead]
            at = stop
        return "".join([*pieces, text[at:]]) if pieces else text


def _around(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The word around a stem, if it is hardly longer and may be a name."""
    first, behind = start, stop
    while first and start - first <= _ENDING and text[first - 1].isalpha():
        first -= 1
    while behind < len(text) and behind - stop <= _ENDING and text[behind].isalpha():
        behind += 1
    if start - first + behind - stop <= _ENDING and text[first:behind].lower() not in vocabulary():
        yield first, _with_marks(text, behind)


def _is_whole(text: str, place: Located, start: int, end: int, size: int, alone: bool) -> bool:
    """Whether what touches a stretch is of another kind than its ends."""
    before = _seen(text, start - 1, -1)
    after = _seen(text, place.stops[end], 1)
    if alone:
        return not (before or after)
    first, last = place.text[end - size + 1], place.text[end]
    return not (before and _same(before, first)) and not (after and _same(after, last))


def _seen(text: str, at: int, step: int) -> str:
    """The letter or digit that stands at a place, past marks that nobody sees; empty when there is none."""
    for place in range(at, at + step * _MOST_MARKS, step):
        if not 0 <= place < len(text):
            return ""
        form = normal(text[place])
        if form:
            return form[-1 if step < 0 else 0]
        if not _is_mark(text[place]):
            return ""
    return ""


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me", "Cf")


def _same(one: str, other: str) -> bool:
    return one.isdigit() == other.isdigit()


def _is_apart(text: str) -> bool:
    """Whether a stretch is three numbers with something between them."""
    return len(_NUMBER.findall(text)) == 3


def _with_marks(text: str, stop: int) -> int:
    while stop < len(text) and _is_mark(text[stop]):
        stop += 1
    return stop


def _joined(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged
