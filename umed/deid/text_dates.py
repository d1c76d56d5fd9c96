# SPDX-License-Identifier: Apache-2.0
"""Dates in text, of any day and in any usual spelling: beside a moved date one of them gives the shift of a patient.

Numbers that could be a date count as one, so some that are none go, too. Linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator
from functools import cache, lru_cache
from itertools import pairwise

from umed.core.shipped import shipped_text
from umed.deid.said_days import without_said_days
from umed.deid.text_tokens import Token, plain, tokens, vocabulary

LONG_NUMBER = 7
"""Digits in a row, however they are set apart, that may be a phone, an accession number or another identifier."""
_BETWEEN = 4  # tokens between the parts of a date: "15. / 6"
_CONNECTORS = frozenset("st nd rd th of the de del do da di den der le el er ste e o a".split())
_ROMAN = frozenset("i ii iii iv v vi vii viii ix x xi xii".split())
_UNITS_OF_DATES = frozenset("年月日号號년월일")
_IDEOGRAPHS = re.compile("[〇零一二三四五六七八九十百元]{1,5}[年月日号號]")  # dates in numerals of Chinese
_SIZES = range(3, 10)  # letters of names of months
# Months of the Islamic and the Hebrew calendar, without those that are common words.
_OTHER_MONTHS = frozenset(
    "muharram safar rabi jumada rajab shaban ramadan shawwal dhu qadah hijjah tishri tishrei cheshvan kislev tevet "
    "tebet shevat adar nisan iyar sivan tammuz elul محرم صفر رجب شعبان رمضان شوال تشري ניסן סיון תמוז אלול תשרי כסלו "
    "טבת שבט".split()
)  # fmt: skip
_CENTURIES = range(1800, 2200)
_ANY_YEAR = frozenset((*range(1850, 2200), *range(1380, 1460), *range(2430, 2620)))  # also of other calendars
_YEARS = range(1900, 2100)


@lru_cache(maxsize=512)
def without_dates(text: str) -> str:
    """Text without whatever may be a date, a part of one without its year included; a year alone stays.

    >>> without_dates("CT chest 06/15/23 of 15JUN23, 2.5 mm"), without_dates("B30f  1.5.2")
    ('CT chest of , 2.5 mm', 'B30f  1.5.2')
    """
    text = without_said_days(text)
    bare = plain(text)
    spelled = " ".join(_IDEOGRAPHS.sub(" ", bare).split()) if _IDEOGRAPHS.search(bare) else text
    if not any(one.isdigit() for one in bare):
        return spelled
    found = tokens(plain(spelled))
    gone = {place for places in _dates(found) for place in places}
    return _without(found, gone) if gone else spelled


@lru_cache(maxsize=512)
def without_long_numbers(text: str) -> str:
    """Text without numbers of seven digits and more, in one piece or in groups.

    >>> without_long_numbers("call +41 (0)44 255-11-11 about T1"), without_long_numbers("R5.4.1 12.5")
    ('call + about T1', 'R5.4.1 12.5')
    """
    found = tokens(plain(text))
    gone: set[int] = set()
    for row in _rows(found):
        for group in _numbers(found, row):
            if sum(len(found[place].text) for place in group) >= LONG_NUMBER and not _is_version(found, group):
                gone.update(range(group[0], group[-1] + 1))
    return _without(found, gone) if gone else text


def is_date_number(text: str) -> bool:
    """Whether a DS or IS value is a date of eight digits.

    >>> is_date_number("20230615"), is_date_number(" 20230615.0"), is_date_number("20231")
    (True, True, False)
    """
    whole = text.strip("\0 +-").partition(".")[0]
    return len(whole) == 8 and whole.isdigit() and _eight(whole, _YEARS)


@cache
def month_names() -> frozenset[str]:
    """Names and abbreviations of the months in many languages, in lower case and without accents."""
    lines = [line for line in shipped_text("deid/lists/months.txt").splitlines() if not line.startswith("#")]
    named = {_folded(word) for line in lines for word in line.partition(":")[2].split() if "_" not in word}
    return frozenset(named | _OTHER_MONTHS)


def _without(found: list[Token], gone: set[int]) -> str:
    kept = ["" if place in gone and place - 1 in gone else " " if place in gone else token.text
            for place, token in enumerate(found)]  # fmt: skip
    return " ".join("".join(kept).split())


def _folded(word: str) -> str:
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(one for one in apart if not unicodedata.combining(one))


def _rows(found: list[Token]) -> Iterator[list[int]]:
    """Places of numbers that nothing but blanks and marks sets apart, in runs."""
    row: list[int] = []
    for place, token in enumerate(found):
        if token.kind == "number":
            if row and place - row[-1] - 1 > _BETWEEN:
                yield row
                row = []
            row.append(place)
        elif token.kind == "word" and row:
            yield row
            row = []
    if row:
        yield row


def _numbers(found: list[Token], row: list[int]) -> Iterator[list[int]]:
    """Parts of a row that may be one number: a list of numbers has commas, and "14.13_2.8.2" is two versions."""
    group = row[:1]
    marks = ""
    for place in row[1:]:
        before, marks = marks, _between(found, group[-1], place)
        if "," in marks or ";" in marks or {before, marks} == {".", "_"}:
            yield group
            group, marks = [], ""
        group.append(place)
    yield group


def _is_version(found: list[Token], group: list[int]) -> bool:
    """Whether a number in groups is a version, such as 4.9.3.1331, or a fraction, such as 0.0960000."""
    texts = [found[place].text for place in group]
    if any(_between(found, one, other) != "." for one, other in pairwise(group)) or len(group) == 1:
        return False
    if len(group) == 2:
        return texts[0] == "0"
    plain_parts = all(text[0] != "0" or text == "0" for text in texts)
    return plain_parts and len(group) <= 4 and len(texts[0]) <= 2 and sum(map(len, texts)) <= LONG_NUMBER + 1


def _dates(found: list[Token]) -> Iterator[range | list[int]]:
    """Places of all tokens of each date."""
    for row in _rows(found):
        triples = zip(row, row[1:], row[2:], strict=False)
        if any(_compact(found[place].text) for place in row) or any(_triple(found, *three) for three in triples):
            yield range(row[0], _end(found, row[-1]) + 1)
            continue
        for first, second in pairwise(row):
            if _pair(found, first, second):
                yield range(first, second + 1)
    for place, token in enumerate(found):
        if token.kind != "word":
            continue
        if token.text[0] in _UNITS_OF_DATES:
            before = place - 1 - (place > 1 and found[place - 1].kind == "blank")
            if before >= 0 and found[before].kind == "number":
                yield range(before, place + 1)
        word = _folded(token.text)
        if word in month_names() or word in _ROMAN or word == "w":
            yield _named(found, place, word)
        else:
            if any(word[-size:] in month_names() for size in _SIZES if size < len(word)):
                yield _grown(found, place)
            if word not in vocabulary():
                yield _unknown(found, place)


def _end(found: list[Token], place: int) -> int:
    """Place of the last token of a date and of the time behind it: 2023-06-15T10:15."""
    if not (_is_word(found, place + 1) and found[place + 1].text.lower() == "t"):
        return place
    stop = place + 2
    while stop < len(found) and found[stop].kind in ("number", "mark"):
        stop += 1
    return stop - 1 if stop > place + 2 else place


def _named(found: list[Token], place: int, word: str) -> list[int]:
    """Places of a date around the name of a month (or the W of a week)."""
    left, right = _number(found, place, -1), _number(found, place, 1)
    after = _number(found, right, 1) if right is not None else None
    before, behind, last = (found[one].text if one is not None else "" for one in (left, right, after))
    full = last if len(last) == 4 and int(last) in _ANY_YEAR else ""
    if word == "w":  # 2023-W24, W24 2023
        sure = len(behind) in (1, 2) and (len(before) == 4 or bool(full))
    elif word in _ROMAN:  # 15.VI.2023, but not 16 x 16
        marked = left is not None and right is not None and _marked(found, left, place) and _marked(found, place, right)
        sure = len(before) in (1, 2) and (len(behind) == 4 or (len(behind) == 2 and marked))
    elif word in vocabulary():  # "tra" is a month in Croatian, and transverse
        joined = right is not None and left is not None and right - left == 2
        sure = len(before) in (1, 2) and (len(behind) == 4 or (len(behind) == 2 and joined))
        sure = sure or (len(behind) in (1, 2) and bool(full))
    else:
        sure = _is_part(before) or _is_part(behind)
    if not sure:
        return []
    days = [one for one in (left, right) if one is not None and _is_part(found[one].text)]
    if after is not None and right in days and (full or len(last) == 2):
        days.append(after)
    return list(range(min(*days, place), max(*days, place) + 1))


def _grown(found: list[Token], place: int) -> list[int]:
    """Places of a date whose month has grown together with the word before it: CTJune 15, 2023."""
    right = _number(found, place, 1)
    after = _number(found, right, 1) if right is not None else None
    if right is None or not _is_part(found[right].text):
        return []
    if after is not None and len(found[after].text) in (2, 4):
        return list(range(place, after + 1))
    return list(range(place, right + 1)) if len(found[right].text) in (4, 6) else []


def _unknown(found: list[Token], place: int) -> list[int]:
    """Places of a date whose month is a word of another language, or misspelt: 15 Mehefin 2023."""
    left, right = _number(found, place, -1), _number(found, place, 1)
    if left is None or right is None or len(found[place].text) < 3:
        return []
    day, year = found[left].text, found[right].text
    fits = len(day) <= 2 and 1 <= int(day) <= 31 and len(year) == 4 and int(year) in _ANY_YEAR
    return list(range(left, right + 1)) if fits and not _is_word(found, left - 1) else []


def _marked(found: list[Token], start: int, stop: int) -> bool:
    return any(token.kind == "mark" for token in found[start + 1 : stop])


def _number(found: list[Token], place: int, step: int) -> int | None:
    """Place of the next number to one side, over blanks, marks, and words such as "of" and "th"."""
    for _ in range(2 * _BETWEEN):
        place += step
        if not 0 <= place < len(found):
            return None
        token = found[place]
        if token.kind == "number":
            return place
        if token.kind == "word" and token.text.lower() not in _CONNECTORS:
            return None
    return None


def _is_part(text: str) -> bool:
    """Whether a number may be a day or a year, or both in one: JUN23, JUN1523, JUN152023."""
    return 1 <= len(text) <= 4 or len(text) == 6


def _month_day(first: str, second: str) -> bool:
    one, other = int(first), int(second)
    return one >= 1 and other >= 1 and max(one, other) <= 31 and min(one, other) <= 12


def _triple(found: list[Token], *places: int) -> bool:
    """Whether three numbers are day, month and year in any order with the year first or last."""
    first, second, third = (found[place].text for place in places)
    marks = [_between(found, one, other) for one, other in pairwise(places)]
    if marks[0] != marks[1] and all(marks):  # "23, 2.5"
        return False
    for year, one, other in ((first, second, third), (third, first, second)):
        fits = len(year) == 2 or (len(year) == 4 and int(year) in _ANY_YEAR)
        if fits and len(one) <= 2 and len(other) <= 2 and _month_day(one, other):
            return True
    return False


def _between(found: list[Token], first: int, second: int) -> str:
    return "".join(token.text for token in found[first + 1 : second]).strip()


def _pair(found: list[Token], first: int, second: int) -> bool:
    """Whether two numbers are a year and a month or day, or day and month as 06/15 or 15.06."""
    one, other = found[first].text, found[second].text
    between = _between(found, first, second)
    for year, part in ((one, other), (other, one)):
        if len(year) == 4 and int(year) in _YEARS and len(part) <= 3:
            most = 366 if len(part) == 3 else 31  # the day, where the month was not understood
            grown = any(_is_word(found, place) for place in (first - 1, second + 1))  # "2012 3D" is no month
            return 1 <= int(part) <= most and (bool(between) or not grown)
    if len(one) > 2 or len(other) > 2 or len(one + other) < 3:
        return False
    if between == "/":
        return _month_day(one, other) or (1 <= int(one) <= 12 and len(other) == 2)
    last = found[second + 1].text if second + 1 < len(found) else ""
    open_end = second + 2 >= len(found) or found[second + 2].kind != "number"
    return between == "." and last == "." and open_end and _month_day(one, other)


def _is_word(found: list[Token], place: int) -> bool:
    return 0 <= place < len(found) and found[place].kind == "word"


def _compact(text: str) -> bool:
    """Whether digits without separators are a date, or hold one, or one with a time."""
    size = len(text)
    if size == 6:
        return (
            any(_month_day_at(text, one, other) for one, other in ((2, 4), (0, 2)))
            or (int(text[:4]) in _YEARS and 1 <= int(text[4:]) <= 12)
            or (int(text[2:]) in _YEARS and 1 <= int(text[:2]) <= 12)
        )
    if size == 7:
        if int(text[:4]) in _YEARS:
            return 1 <= int(text[4:]) <= 366 or _month_day(text[4:6], text[6:]) or _month_day(text[4:5], text[5:])
        rest = text[:3]
        return int(text[3:]) in _YEARS and (_month_day(rest[:1], rest[1:]) or _month_day(rest[:2], rest[2:]))
    if size == 8:
        return _eight(text, _ANY_YEAR)
    if size in (10, 12) and _compact(text[:6]) and int(text[6:8]) < 24 and int(text[8:10]) < 60:
        return True
    return size > 8 and any(_eight(text[at : at + 8], _CENTURIES) for at in range(min(size, 64) - 7))


def _eight(text: str, years: Container[int]) -> bool:
    return (int(text[:4]) in years and _month_day_at(text, 4, 6)) or (
        int(text[4:]) in years and _month_day_at(text, 0, 2)
    )


def _month_day_at(text: str, one: int, other: int) -> bool:
    return _month_day(text[one : one + 2], text[other : other + 2])
