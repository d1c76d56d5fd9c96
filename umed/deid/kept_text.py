# SPDX-License-Identifier: Apache-2.0
"""What of a text may stay: imaging terms, and numbers that a unit or a term gives a meaning, never several in a row.

Everything is one pass over the tokens of a text, so the time is proportional to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from umed.core.shipped import parse_yaml, shipped_text
from umed.deid.text_dates import without_dates
from umed.deid.text_tokens import Token, tokens, vocabulary

Part = Literal["number", "word", "measure", "cross", "other"]
Bound = tuple[float, float, float]
"""Least, most and step of a number that stays."""

_YEARS = range(1900, 2100)
_BEFORE_UNIT = frozenset("-_")
_AFTER_TERM = frozenset("-_=:#.")
_WORD = re.compile(r"\S+")
_ADDRESS = re.compile(r"@|://|\bwww\.", re.IGNORECASE)
_FACTORS = 3  # 2.5 x 2.5 x 3 mm


class _Item(NamedTuple):
    """A word, a number, a number joined to its unit or term, or an x between numbers; ``marks`` stand before it."""

    part: Part
    text: str
    marks: str


@cache
def bounds(group: str) -> Mapping[str, Bound]:
    """Words of ``lists/numbers.yaml`` that a number may stand beside, with the numbers they take."""
    listed: Mapping[str, Any] = parse_yaml(shipped_text("deid/lists/numbers.yaml"))[group]
    return {word: (0.0, float(one), 0.0) if not isinstance(one, list) else _bound(*one) for word, one in listed.items()}


@lru_cache(maxsize=512)
def keep_terms(text: str, ages: bool = False) -> str:
    """Text with only imaging terms and numbers that mean something beside them (PS3.15 E.3.5, clean descriptors).

    An allow-list: what is not known to be harmless goes, so that a name does not have to be recognised as one.

    Args:
        text: any.
        ages: whether ages of up to 89 years stay.

    >>> keep_terms("AX T1 post, Dr. Miller 4711 2.5mm Jane_Doe liver, phase 3")
    'AX T1 post 2.5mm liver phase 3'
    >>> keep_terms("CT head 03/05/41 tel 044 255 11 11, 45 y"), keep_terms("45 y", ages=True)
    ('CT head', '45 y')
    >>> keep_terms("CT chest.liver@head.example"), keep_terms("CT https://liver.example/head chest")
    ('CT', 'CT chest')
    """
    items = list(_items(without_dates(_without_addresses(text)), ages))
    kept: list[_Item] = []
    place = 0
    while place < len(items):
        item = items[place]
        if item.part == "number":
            stop = place + 1
            while stop < len(items) and _goes_on(items, stop):
                stop += 1
            kept += _row(items, place, stop, ages)
            place = stop
            continue
        if item.part == "measure" or (item.part in ("word", "cross") and item.text.lower() in vocabulary()):
            kept.append(item)
        elif item.part == "word" and kept and kept[-1].part == "number" and _unit(item.text, ages) is not None:
            kept.append(item)  # of the number that stayed before it
        place += 1
    return " ".join(item.text for item in _without_neighbours(kept))


def _without_addresses(text: str) -> str:
    """Text without mail and web addresses, whose parts may be imaging terms."""
    if "@" not in text and "://" not in text and "www." not in text.lower():
        return text
    return _WORD.sub(lambda found: " " if _ADDRESS.search(found[0]) else found[0], text)


def _bound(least: float, most: float, step: float = 0.0) -> Bound:
    return float(least), float(most), float(step)


def _items(text: str, ages: bool) -> Iterator[_Item]:
    """Words and numbers in their order."""
    found = tokens(text)
    place, marks = 0, ""
    while place < len(found):
        if found[place].kind in ("blank", "mark"):
            marks += found[place].text
            place += 1
            continue
        atoms: list[Token] = []
        while place < len(found) and found[place].kind in ("word", "number"):
            atom = found[place]
            point = atom.kind == "number" and place + 2 < len(found) and found[place + 1].text in (".", ",")
            if point and found[place + 2].kind == "number":
                atom = Token("number", atom.text + found[place + 1].text + found[place + 2].text)
                place += 2
            atoms.append(atom)
            place += 1
        yield from _chunk(atoms, marks, ages)
        marks = ""


def _chunk(atoms: list[Token], marks: str, ages: bool) -> Iterator[_Item]:
    """Items of one run of letters and digits."""
    whole = "".join(atom.text for atom in atoms)
    kinds = [atom.kind for atom in atoms]
    first, last = atoms[0].text, atoms[-1].text
    if kinds == ["number"]:
        yield _Item("number", whole, marks)
    elif kinds == ["word"]:
        yield _Item("cross" if whole.lower() in ("x", "×") else "word", whole, marks)
    elif whole.lower() in vocabulary():
        yield _Item("word", whole, marks)
    elif kinds == ["word", "number"] and (
        _fits(last, bounds("joined").get(first.lower())) or _fits(last, bounds("terms").get(first.lower()))
    ):
        yield _Item("measure", whole, marks)
    elif kinds == ["number", "word"] and _fits(first, _unit(last, ages)):
        yield _Item("measure", whole, marks)
    elif kinds[0] == "number" and all(atom.text.lower() == "x" for atom in atoms[1:-1] if atom.kind == "word"):
        for number, atom in enumerate(atoms):
            part: Part = "number" if atom.kind == "number" else "cross" if atom.text.lower() == "x" else "word"
            yield _Item(part, atom.text, "" if number else marks)
    else:  # digits and letters of nobody knows what
        yield _Item("other", whole, marks)


def _goes_on(items: list[_Item], place: int) -> bool:
    """Whether a row of numbers does not end before an item."""
    crossed = items[place].part == "cross" and place + 1 < len(items)
    return items[place].part == "number" or (crossed and items[place + 1].part == "number")


def _row(items: list[_Item], start: int, stop: int, ages: bool) -> list[_Item]:
    """What stays of numbers in a row: one beside its unit or term, or up to three factors before a unit."""
    row = items[start:stop]
    behind = items[stop] if stop < len(items) else None
    unit = None
    if behind is not None and behind.part == "word" and set(behind.marks.strip()) <= _BEFORE_UNIT:
        unit = _unit(behind.text, ages)
    numbers = row[::2]
    factors = [item.part for item in row] == ["number", "cross"] * (len(row) // 2) + ["number"]
    if 1 < len(numbers) <= _FACTORS and factors and all(_fits(item.text, unit) for item in numbers):
        joined = "".join(item.text for item in row)
        return [_Item("number", joined, row[0].marks)]
    if len(row) > 1:
        return []
    before = items[start - 1] if start else None
    term = None
    if before is not None and before.part == "word" and set(row[0].marks.strip()) <= _AFTER_TERM:
        term = bounds("terms").get(before.text.lower())
    if _fits(row[0].text, term) and before is not None:
        return row if before.text.lower() in vocabulary() else [before, *row]
    return row if _fits(row[0].text, unit) else []


def _unit(text: str, ages: bool) -> Bound | None:
    word = text.lower()
    return bounds("units").get(word) or (bounds("ages").get(word) if ages else None)


def _fits(text: str, bound: Bound | None) -> bool:
    """Whether a number is one that stays beside a word with this bound; leading zeros are those of dates and phones."""
    if bound is None or len(text) > 7 or (text[0] == "0" and len(text) > 1 and text[1] not in ".,"):
        return False
    number = float(text.replace(",", "."))
    least, most, step = bound
    return least <= number <= most and number not in _YEARS and (not step or number % step == 0)


def _without_neighbours(items: list[_Item]) -> list[_Item]:
    """Without numbers that came to stand side by side when what was between them went, and without their units."""
    single = [item for place, item in enumerate(items) if item.part != "number" or not _beside(items, place)]
    return [
        item
        for place, item in enumerate(single)
        if item.part != "word" or item.text.lower() in vocabulary() or _beside(single, place)
    ]


def _beside(items: list[_Item], place: int) -> bool:
    """Whether a number stands right before or behind an item."""
    around = [*items[max(place - 1, 0) : place], *items[place + 1 : place + 2]]
    return any(one.part == "number" for one in around)
