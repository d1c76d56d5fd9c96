# SPDX-License-Identifier: Apache-2.0
"""How else an identifier, a date or a name may be written, in normal form (:mod:`umed.deid.normal_form`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cache, lru_cache

from umed.core.shipped import shipped_text
from umed.deid.normal_form import normal

RUN = 6
"""Digits of an identifier that name it wherever they stand."""
_LEAST = 4  # shorter forms turn up by chance
_FEW = 2  # a run of so few different digits, such as 000000, says nothing
_DATE = re.compile(r"\s{0,9}(\d{4})[-./]?(\d\d)[-./]?(\d\d)", re.ASCII)
_PARTS = re.compile(r"[\s,;\\^=\-‐-―./'’_·・]+")
_DIGITS = re.compile(r"\d+", re.ASCII)
_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff\uac00-\ud7a3\u1100-\u1112\U00020000-\U0003ffff]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
# Parts of many names, and words of many languages: alone they name nobody.
_PARTICLES = frozenset("al af am av bin da das de del della den der di do dos dr du el ibn il ii iii iv jr la las le "
    "les los md mr mrs ms phd prof san sr st te ten ter van vom von zu zum zur".split())  # fmt: skip
_OF_MONTHS = ("de", "of")
_MOST_GROUPS = _MOST_WORDS = 8
_HONORIFICS = "先生 女士 小姐 太太 老师 医生 様 さま さん 殿 氏 君 씨 님".split()  # Mr, Mrs, Dr behind a family name
_ARTICLE = "ال"


def id_variants(text: str) -> frozenset[str]:
    """An identifier with and without its prefix, its suffix and leading zeros; forms of four characters and more.

    >>> sorted(id_variants("PAT-000123456"))
    ['000123456', '123456', 'pat000123456', 'pat123456']
    """
    whole = normal(text)
    digits = "".join(_DIGITS.findall(whole))
    first = next((place for place, one in enumerate(whole) if one in "0123456789"), len(whole))
    last = len(whole) - next((place for place, one in enumerate(reversed(whole)) if one in "0123456789"), 0)
    prefix, core, suffix = whole[:first], whole[first:last], whole[last:]
    bare = core.lstrip("0")
    forms = {whole, core, bare, digits, digits.lstrip("0"), prefix + core, prefix + bare, core + suffix, bare + suffix}
    return frozenset(
        form for form in forms if len(form) >= _LEAST and len(set(form)) > (form.isdigit() and len(form) > 4)
    )


def digit_runs(text: str) -> frozenset[str]:
    """Every run of six digits of an identifier or phone number: whoever knows six knows who it is.

    >>> sorted(digit_runs("MRN 00-8812.3456"))
    ['123456', '812345', '881234']
    """
    digits = "".join(_DIGITS.findall(normal(text))).lstrip("0")
    runs = (digits[start : start + RUN] for start in range(len(digits) - RUN + 1))
    return frozenset(run for run in runs if len(set(run)) > _FEW)


def day_of(text: str) -> str:
    """Eight digits of the day that a DA or DT value begins with; empty when it is none.

    >>> day_of("1941.05.03"), day_of("19410503101500"), day_of("19411503")
    ('19410503', '19410503', '')
    """
    match = _DATE.match(text)
    if match is None:
        return ""
    try:
        return date(int(match[1]), int(match[2]), int(match[3])).strftime("%Y%m%d").rjust(8, "0")
    except ValueError:
        return ""


@cache
def months() -> tuple[tuple[str, ...], ...]:
    """Normal forms of the names and abbreviations of each month, January first."""
    lines = [line for line in shipped_text("deid/lists/months.txt").splitlines() if not line.startswith("#")]
    return tuple(tuple(dict.fromkeys(normal(word) for word in line.partition(":")[2].split())) for line in lines)


@lru_cache(maxsize=1024)
def date_spellings(day: str) -> frozenset[str]:
    """Normal forms of the usual ways to write a date: orders, two-digit years, one-digit days, names of months.

    Forms of fewer than six digits, such as 3541, mean the date only where the text sets day, month and year apart.

    Args:
        day: as :func:`day_of` gives it.

    >>> {"19410503", "3051941", "5031941", "030541", "3541", "3mai1941", "mai31941"} <= date_spellings("19410503")
    True
    """
    if not day:
        return frozenset()
    month, number = int(day[4:6]), int(day[6:])
    years, ds = (day[:4], day[2:4]), {f"{number}", f"{number:02d}"}
    found = set(numeric_spellings(day))
    for name in months()[month - 1]:
        for y in years:
            for d in ds:
                found |= {d + name + y, name + d + y, y + name + d}
                found |= {f"{d}{of}{name}{y}" for of in _OF_MONTHS} | {f"{d}de{name}de{y}"}
    nth = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}.get(number, "th")
    for name in (normal(date(2000, month, 1).strftime("%B")), normal(date(2000, month, 1).strftime("%b"))):
        for y in years:
            found |= {f"{number}{nth}{name}{y}", f"{number}{nth}of{name}{y}", f"{name}{number}{nth}{y}"}
    return frozenset(found)


@lru_cache(maxsize=4096)
def numeric_spellings(day: str) -> frozenset[str]:
    """Those of :func:`date_spellings` without a name of a month."""
    if not day:
        return frozenset()
    month, number = int(day[4:6]), int(day[6:])
    found = set()
    for y in (day[:4], day[2:4]):
        for m in {f"{month}", f"{month:02d}"}:
            for d in {f"{number}", f"{number:02d}"}:
                found |= {y + m + d, d + m + y, m + d + y, f"{y}年{m}月{d}日", normal(f"{y}년{m}월{d}일")}
    return frozenset(found)


def name_spellings(name: str) -> frozenset[str]:
    """Parts of a person name (PN) of at least two letters and usual orders of them, of all component groups.

    As written, since what stands alone is compared as a whole word; single ideographs are names, too.

    >>> sorted(name_spellings("Doe^John Q^^Dr=山田^太郎"))[:5]
    ['Doe', 'Doe John', 'Doe John Q', 'Doe John Q Dr', 'John']
    """
    found: set[str] = set()
    for components, words in _groups(name):
        found.update(word for word in words if word.casefold() not in _PARTICLES)
        found.update("".join(component) for component in components if len(component) > 1)
        found.update([" ".join(words)] if len(words) > 1 else [])
        found.update(word.removeprefix(_ARTICLE) for word in words if len(word) > 4)
        if words and _CJK.search(words[0]):
            found.update(words[0] + title for title in _HONORIFICS)
        for family, given in _pairs(components, words):
            for count in range(len(given)):
                first = " ".join(given[: count + 1])
                found |= {f"{family} {first}", f"{first} {family}"}
    return frozenset(one for one in found if len(normal(one)) >= 2 or _CJK.search(one))


def name_initials(name: str) -> frozenset[str]:
    """The family name with the initials of the given ones; all of them words of their own.

    >>> sorted(name_initials("Doe^John Quincy"))
    ['Doe JQ', 'DoeJ', 'JDoe', 'JQ Doe', 'John Q Doe']
    """
    found: set[str] = set()
    for components, words in _groups(name):
        for family, given in _pairs(components, words):
            initials = "".join(word[:1] for word in given)
            found |= {f"{family}{initials[:1]}", f"{initials[:1]}{family}"}
            if len(given) > 1:
                found |= {f"{family} {initials}", f"{initials} {family}", f"{given[0]} {initials[1:]} {family}"}
    return frozenset(one for one in found if not _CJK.search(one))


def _groups(name: str) -> Iterator[tuple[list[list[str]], list[str]]]:
    """Components of each component group, as words, and all words of the group; of a hostile name the beginning."""
    for group in name.replace("\\", "=").split("=")[:_MOST_GROUPS]:
        parts = [[part for part in _PARTS.split(one) if normal(part)][:_MOST_WORDS] for one in group.split("^")]
        components = [one for one in parts[:_MOST_WORDS] if one]
        yield components, [word for one in components for word in one]


def _pairs(components: list[list[str]], words: list[str]) -> list[tuple[str, list[str]]]:
    """Family name and given names; without carets the family name is the first word or the last."""
    if len(words) < 2:
        return []
    if len(components) > 1:
        given = [word for one in components[1:3] for word in one][:_MOST_WORDS]
        main = [word for word in components[0] if word.casefold() not in _PARTICLES]
        return [(family, given) for family in dict.fromkeys(["".join(components[0]), *main])]  # von der Heide, Heide
    return [(words[0], words[1:]), (words[-1], words[:-1])]


def is_dense(form: str) -> bool:
    """Whether a form is in a script that needs few letters for a name: ideographs and Hangul.

    >>> is_dense("山田"), is_dense("doe")
    (True, False)
    """
    return _CJK.search(form) is not None


def is_unspaced(form: str) -> bool:
    """Whether a form is in a script that sets no blanks between words: Thai, Lao, Myanmar and Khmer.

    >>> is_unspaced("สมชาย"), is_unspaced("doe")
    (True, False)
    """
    return any(
        "\u0e00" <= one <= "\u0eff" or "\u1000" <= one <= "\u109f" or "\u1780" <= one <= "\u17ff" for one in form
    )


def letters(form: str) -> int:
    """Letters and digits of a normal form as readers count them: a syllable of Hangul is one."""
    return sum(not "\u1113" <= one <= "\u11ff" for one in form)
