# SPDX-License-Identifier: Apache-2.0
"""Finds calendar dates in text: numbers in any order, months by name in the languages of DICOM's character sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import NamedTuple

from umed.deid.normal_form import normal
from umed.deid.spellings import months

_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
BARRIER = "\ua015"
"""A letter that stands in no value: nothing is joined across it."""
_TOKEN = re.compile(rf"\d+|[^\W\d_{BARRIER}](?:[^\W\d_{BARRIER}]|[{_MARKS}])*")
_THAI = re.compile(r"([\u0e01-\u0e2e])\.([\u0e01-\u0e2e])\.")
_GAP = 3
_COMPACT = {
    8: ("yyyymmdd", "ddmmyyyy", "mmddyyyy"),
    7: ("dmmyyyy", "mddyyyy", "ddmyyyy", "mmdyyyy", "yyyymdd", "yyyymmd"),
    6: ("yymmdd", "ddmmyy", "mmddyy", "dmyyyy", "mdyyyy", "yyyymd"),
}
_BUDDHIST = 543  # years of the Thai calendar


class DateHit(NamedTuple):
    """A stretch of text that may be a date.

    Args:
        start: where it begins.
        stop: where it ends.
        days: what day it may be, as year, month and day; of a two-digit year both centuries.
        sure: whether it is written so that it can hardly be anything else: a month by name or a year of four digits.
    """

    start: int
    stop: int
    days: frozenset[tuple[int, int, int]]
    sure: bool


def dates_in(text: str) -> Iterator[DateHit]:
    """All stretches of a text that may be dates, those without separators too.

    >>> [sorted(hit.days) for hit in dates_in("on 3. Mai 1941")], [hit.sure for hit in dates_in("x 03/05/41")]
    ([[(1941, 5, 3)]], [False])
    """
    if not any(map(str.isdecimal, text)):
        return
    if "\u0e01" <= max(text):
        text = _THAI.sub(r"\1\2  ", text)
    tokens = [_read(match) for match in _TOKEN.finditer(text)]
    for place, (start, stop, number, month, width) in enumerate(tokens):
        if width in _COMPACT:
            digits = str(number).zfill(width)
            days = {day for shape in _COMPACT[width] for day in _compact(digits, shape)}
            if days:
                yield DateHit(start, stop, frozenset(days), width == 8)
        if (width and width <= 4) or month:
            yield from _apart(text, tokens, place)


_Read = tuple[int, int, int, frozenset[int], int]


def _read(match: re.Match[str]) -> _Read:
    """Start, stop, number, months of that name, digits (-1 for words that stand between the parts of dates)."""
    word = match[0]
    if word[0].isdecimal():
        return match.start(), match.end(), int(word[:9]), frozenset(), len(word)
    form = normal(word)
    found = _months().get(form, frozenset())
    return match.start(), match.end(), 0, found, 0 if found or form not in _connectors() else -1


def _apart(text: str, tokens: list[_Read], place: int) -> Iterator[DateHit]:
    """A date of three parts that begins with a token."""
    parts, end = [tokens[place]], tokens[place][1]
    for token in tokens[place + 1 : place + 7]:
        if token[0] - end > _GAP or BARRIER in text[end : token[0]] or "\n\n" in text[end : token[0]]:
            return
        end = token[1]
        if token[4] == -1:
            continue
        if token[4] > 4 or not (token[4] or token[3]):
            return
        parts.append(token)
        if len(parts) == 3:
            break
    if len(parts) < 3:
        return
    named = [index for index, part in enumerate(parts) if part[3]]
    if len(named) > 1 or named == [2]:
        return
    days: set[tuple[int, int, int]] = set()
    for order in _orders(named):
        year, month, day = (parts[index] for index in order)
        if day[4] <= 2 and (month[3] or month[4] <= 2):
            for number in month[3] or (month[2],):
                days.update(_days(year[2], year[4], number, day[2]))
    if days:
        sure = bool(named) or any(part[4] == 4 for part in parts)
        yield DateHit(parts[0][0], end, frozenset(days), sure)


def _orders(named: list[int]) -> tuple[tuple[int, int, int], ...]:
    """Places of year, month and day."""
    if named == [0]:
        return ((2, 0, 1), (1, 0, 2))
    if named == [1]:
        return ((2, 1, 0), (0, 1, 2))
    return ((0, 1, 2), (2, 1, 0), (2, 0, 1))


def _compact(digits: str, shape: str) -> Iterator[tuple[int, int, int]]:
    year, month, day = ("".join(d for d, s in zip(digits, shape, strict=True) if s == part) for part in "ymd")
    yield from _days(int(year), len(year), int(month), int(day))


def _days(year: int, width: int, month: int, day: int) -> Iterator[tuple[int, int, int]]:
    if width == 4:
        years = (year, year - _BUDDHIST) if year > 2400 else (year,)
    elif width == 2:
        years = (1900 + year, 2000 + year)
    else:
        return
    for one in years:
        try:
            yield date(one, month, day).timetuple()[:3]
        except ValueError:
            continue


@cache
def _months() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, names in enumerate(months(), 1):
        for name in names:
            found.setdefault(name, set()).add(number)
    return {name: frozenset(numbers) for name, numbers in found.items()}


@cache
def _connectors() -> frozenset[str]:
    words = "de del di of the st nd rd th er e o den der am le el 年 月 日 號 号 г года р року en στις του 년 월 일"
    return frozenset(normal(word) for word in words.split())
