# SPDX-License-Identifier: Apache-2.0
"""What programs make of names and identifiers: cut short, without accented letters, encoded, romanised another way."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache, lru_cache

from umed.core.shipped import shipped_text
from umed.deid.normal_form import normal
from umed.deid.spellings import RUN, is_dense, letters

_STEM, _CUT = 8, 2  # letters that a name must have for its ending not to count, and how many these are
_LEAST_BEGINNING = 5
_LEAST = 4
_DIGITS_IN_RUN = 3
_LONGEST = 64
_FILLED = 8  # digits to which the number behind a prefix may be filled up
_PREFIXED = re.compile(r"([a-z]+)0*(\d+)\Z", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]+")
_PARTS = re.compile(r"[^\W_]+")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_JAPANESE = re.compile("[\u3041-\u30ff\u3400-\u9fff]")
_LONG_VOWELS = re.compile("(?<=[aeiou])h(?![aeiouy])|(?<=o)[ou]|(?<=u)u", re.IGNORECASE)


@lru_cache(maxsize=1024)
def name_remains(name: str) -> frozenset[str]:
    """Words of a person name (PN) in ASCII alone, as "J?rg" has them, and in other romanisations.

    >>> sorted(name_remains("Łukaszewski^Jörg")), sorted(name_remains("Иванов")), sorted(name_remains("Satou=佐藤"))
    (['ukaszewski'], ['iwanow'], ['Sato'])
    """
    found: set[str] = set()
    for word in _WORDS.findall(name[:_LONGEST]):
        form = normal(word)
        if is_dense(form):
            continue
        if not word.isascii():
            found.add("".join(one for one in word if one.isascii()))
        if _CYRILLIC.search(word) and "v" in form:
            found.add(form.replace("v", "w"))
        if word.isascii() and _JAPANESE.search(name):
            found.add(_LONG_VOWELS.sub("", word))
    return frozenset(one for one in found if len(one) >= _LEAST)


@lru_cache(maxsize=1024)
def name_stems(name: str) -> frozenset[str]:
    """Long words of a name, in normal form, without what changes with case and gender.

    >>> name_stems("Łukaszewski^Jörg")
    frozenset({'lukaszews'})
    """
    forms = (normal(word) for word in _WORDS.findall(name[:_LONGEST]))
    return frozenset(form[:-_CUT] for form in forms if len(form) >= _STEM and not is_dense(form))


@lru_cache(maxsize=1024)
def name_beginnings(name: str) -> frozenset[str]:
    """Beginnings of the words of a name, where somebody or some device cut them; they count as words of their own.

    >>> sorted(name_beginnings("Brandstetter^Eva"))[:3]
    ['brand', 'brands', 'brandst']
    """
    forms = (normal(word) for word in _WORDS.findall(name[:_LONGEST]))
    return frozenset(
        form[:size] for form in forms if not is_dense(form) for size in range(_LEAST_BEGINNING, letters(form))
    )


@lru_cache(maxsize=1024)
def id_parts(text: str) -> frozenset[str]:
    """Every six characters of an identifier with letters among its digits, and with zeros before its number.

    >>> sorted(id_parts("7b3f9c2e")), sorted(id_parts("P41"))[:2]
    (['3f9c2e', '7b3f9c', 'b3f9c2'], ['p00000041', 'p0000041'])
    """
    whole = normal(text[:_LONGEST])
    short = _PREFIXED.match(whole)
    if short is not None and len(whole) < _FILLED:
        return frozenset(short[1] + short[2].zfill(width) for width in range(1, _FILLED + 1) if width > len(short[2]))
    runs = (whole[start : start + RUN] for start in range(len(whole) - RUN + 1))
    return frozenset(run for run in runs if sum(map(str.isdigit, run)) >= _DIGITS_IN_RUN and any(map(str.isalpha, run)))


@lru_cache(maxsize=1024)
def encoded_forms(text: str) -> frozenset[str]:
    """A value as base64 and hexadecimal digits, and its number as hexadecimal.

    >>> sorted(encoded_forms("4711-X"))[::3]
    ['343731312d58', 'NDcxMS1Y']
    """
    return frozenset(_encoded(text[:_LONGEST].strip()))


@cache
def makers() -> frozenset[str]:
    """Words of the names of makers of devices, in normal form; a patient Philipson is not Philips."""
    lines = shipped_text("deid/lists/makers.txt").splitlines()
    return frozenset(normal(word) for line in lines if not line.startswith("#") for word in line.split())


def _encoded(text: str) -> Iterator[str]:
    digits = "".join(one for one in normal(text) if one.isdigit())
    values = {text, text.lower(), text.upper(), digits, *_PARTS.findall(text)}
    for value in values:
        if len(value) >= RUN or value == text and len(value) >= _LEAST:
            data = value.encode("utf-8", "surrogatepass")
            yield base64.b64encode(data).decode().rstrip("=")
            yield data.hex()
    if len(digits.lstrip("0")) >= RUN and len(digits) <= _LONGEST // 2:
        yield f"{int(digits):x}"
