# SPDX-License-Identifier: Apache-2.0
"""Dates with the name of their month, found in a normal form in linear time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import ahocorasick

from umed.deid.spellings import months

_FILLERS = ("de", "of", "del", "den", "th", "st", "nd", "rd", "er", "thof", "stof", "ndof", "rdof")
_LONGEST = 12  # letters of fillers and digits beside the name of a month


@cache
def _names() -> Any:
    automaton: Any = ahocorasick.Automaton()
    found: dict[str, set[int]] = defaultdict(set)  # "lip" is June in Zagreb and July in Warsaw
    for month, names in enumerate(months(), 1):
        for name in names:
            found[name].add(month)
    for name, numbers in found.items():
        automaton.add_word(name, (len(name), tuple(sorted(numbers))))
    automaton.make_automaton()
    return automaton


class NamedDays:
    """Finds given days as "3 May 1941", "May 3rd, 41", "1941-MAI-03", "3 de mayo de 1941" and the like.

    Args:
        days: eight digits each.
    """

    def __init__(self, days: Iterable[str]) -> None:
        self._days: dict[int, list[str]] = defaultdict(list)
        for day in sorted(days):
            self._days[int(day[4:6])].append(day)

    def __call__(self, form: str) -> Iterator[tuple[int, int]]:
        """Where they stand in a normal form: first character, and the one behind the last."""
        if not self._days:
            return
        for end, (size, numbers) in _names().iter(form):
            start, stop = end - size + 1, end + 1
            for day in [day for month in numbers for day in self._days.get(month, ())]:
                yield from _around(form, start, stop, day)


def _around(form: str, start: int, stop: int, day: str) -> Iterator[tuple[int, int]]:
    year, number = day[:4], day[6:]
    before, after = form[max(start - _LONGEST, 0) : start], form[stop : stop + _LONGEST]
    for d in {number, number.lstrip("0")}:
        for y in (year, year[2:]):
            pairs = [(d, y), (y, d), ("", d + y)]
            pairs += [(d + filler, y) for filler in _FILLERS] + [(d + "de", "de" + y)]
            pairs += [("", d + filler + y) for filler in _FILLERS[4:9]]
            for left, right in pairs:
                if before.endswith(left) and after.startswith(right):
                    yield start - len(left), stop + len(right)
