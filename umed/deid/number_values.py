# SPDX-License-Identifier: Apache-2.0
"""Identifiers and dates in numbers that stay (SeriesNumber may be one), and removed text in their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.elements import BINARY_NUMBERS, binary_numbers, element, strings
from umed.deid.matcher import Matcher
from umed.deid.misread import SEVERAL
from umed.deid.policy import PLACES, Policy
from umed.deid.refusals import Quarantine
from umed.deid.removed import Removed

LONG_DIGITS = 8  # a number that repeats an identifier of so many digits says nothing about how pixels are understood
MISPLACED = (
    "a coordinate repeats an identifier of the patient; put aside. Correct it in the original, or leave the file out."
)
_LONG = 10 ** (LONG_DIGITS - 1)
_WITHIN = 10**6  # an identifier or date of seven digits and more counts within a longer number, too
_SHORT = ("SS", "US")  # too small for a long number
_LEAST_BYTES, _MOST_BYTES = 6, 1 << 16
_RUN = re.compile(rb"[\t\n\r\x1b\x20-\x7e\x80-\xff]{4,}")
# UIDs, dates and mail addresses. Fewer kinds than text is cleaned of, since bytes of numbers look like many things.
_TELLING = re.compile(
    r"(?<![\d.])\d{1,9}(?:\.\d{1,32}){5,20}|(?<!\d)(?:19|20)\d\d([-/.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|[\w.+-]{2,32}@[\w-]{2,32}\.[A-Za-z]{2}",
    re.ASCII,
)
Count = Callable[[int, str], None]


def clean_numbers(numbers: Iterable[tuple[Dataset, int]], removed: Removed, policy: Policy, count: Count) -> None:
    """Put 0 in the place of DS and IS values that are an identifier without its zeros or prefix, or a date.

    Args:
        numbers: data sets and tags.
        removed: what was removed of the patient.
        policy: says which attributes tell how pixels are understood; these keep all but long numbers.
        count: is told of each change.

    Raises:
        Quarantine: when one of them is a coordinate.
    """
    if not removed.numbers:
        return
    for dataset, tag in numbers:
        small = _LONG if policy[int(tag)].essential else 0
        old = strings(dataset, tag)
        apart = tag not in PLACES and not small
        new = ["0" if _tells(one, removed.numbers, small, apart) else one for one in old]
        if new != old:
            if tag in PLACES:
                raise Quarantine(MISPLACED)
            dataset[tag] = element(tag, str(dataset[tag].VR), new if len(new) > 1 else new[0])
            count(tag, "D")


def clean_binaries(
    binaries: Iterable[tuple[Dataset, int, str]],
    removed: Removed,
    policy: Policy,
    count: Count,
    stated: str | Iterable[str] = (),
) -> None:
    """The same for binary numbers, and those whose bytes say something that was removed go.

    Args:
        binaries: data sets, tags and VRs.
        removed: what was removed of the patient.
        policy: as for :func:`clean_numbers`.
        count: is told of each change.
        stated: Python's names for the character sets of the file, which items do not always know.
    """
    _, long = removed.matchers
    stated = (stated,) if isinstance(stated, str) else tuple(stated)
    for dataset, tag, vr in binaries:
        raw = dataset.get_item(tag).value
        if isinstance(raw, bytes) and _LEAST_BYTES <= len(raw) <= _MOST_BYTES and _says(dataset, raw, long, stated):
            del dataset[tag]
            count(tag, "X")
            continue
        essential = policy[int(tag)].essential
        if (
            vr not in BINARY_NUMBERS or not removed.numbers or (essential and vr in ("SS", "US"))
        ):  # too small to be long
            continue
        given = removed.floats if vr in ("FL", "FD") else removed.numbers
        small = _LONG if essential else 0
        old = binary_numbers(dataset, tag, vr)
        new = [0 if (abs(one) in given and abs(one) >= small) or _holds(one, removed.numbers) else one for one in old]
        if new != old:
            dataset[tag] = element(tag, vr, new if len(new) > 1 else new[0])
            count(tag, "D")


def _tells(text: str, secret: frozenset[int], small: int, apart: bool) -> bool:
    """Whether a DS or IS value is an identifier or a date, or has one in it; ``apart`` also with a point within it."""
    number = values.whole_number(text)
    if (number in secret and number >= small) or _holds(number, secret):
        return True
    digits = text.strip(values.BLANKS).lstrip("+-").replace(".", "", 1)
    return apart and "." in text and digits.isdigit() and len(digits) >= LONG_DIGITS and int(digits) in secret


def _holds(number: float, secret: frozenset[int]) -> bool:
    """Whether a long whole number has an identifier or a date within it."""
    if not _LONG * 10 <= abs(number) < 1e32 or number != int(number):
        return False
    digits = str(abs(int(number)))
    return any(str(one) in digits for one in secret if one >= _WITHIN)


def _says(dataset: Dataset, raw: bytes, matcher: Matcher, stated: Iterable[str]) -> bool:
    """Whether bytes are a text that has something in it which must not stay, in a character set that they may be in."""
    if not raw.strip(b"\0") or not (runs := _RUN.findall(raw)):
        return False
    text = b"\n\n".join(runs)
    plain = text.decode("latin-1")
    if matcher.has(plain) or _TELLING.search(plain):
        return True
    found = {text.decode("latin-1")}
    if not text.isascii() or b"\x1b" in text:
        sets = dataset.original_character_set
        for name in (*SEVERAL, "iso2022_jp_2", *stated, *([sets] if isinstance(sets, str) else sets)):
            with suppress(LookupError):
                found.add(text.decode(name, "ignore"))
    if raw.count(0) * 3 > len(raw):
        found.add(raw.decode("utf-16-le", "ignore"))
    return any(map(matcher.has, found))
