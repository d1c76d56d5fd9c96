# SPDX-License-Identifier: Apache-2.0
"""What says when somebody was born or came, without a date: weekdays, weeks, quarters, eras, years of birth, ages."""

from __future__ import annotations

import re

_WEEKDAYS = (
    "monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag "
    "sonnabend sonntag lundi mardi mercredi jeudi vendredi samedi dimanche lunes martes miércoles jueves viernes "
    "sábado domingo lunedì martedì mercoledì giovedì venerdì maandag dinsdag woensdag donderdag vrijdag zaterdag "
    "zondag måndag tisdag onsdag torsdag fredag lördag söndag mandag tirsdag lørdag søndag"
).split()
_SHORT_WEEKDAYS = "mon tue tues wed thu thur thurs fri sat sun".split()  # without those that are months, such as mar
_BIRTH = (
    "born birth birthday birthyear geboren geb jahrgang jg geburtsjahr yob dob née nee né ddn naissance "
    "nacido nacida nato nata nacimento geboorte född født рожд рождения"
).split()
_AGED = "age aged alter leeftijd edad età âge ålder alder возраст".split()
_YEARS_OLD = (
    "y yo yr yrs year years yold j ja jahr jahre jähr jährig jährige jähriger ans an años anni anos jaar år лет "
    "год года"
).split()
_DAYS = re.compile(
    rf"\b(?:{'|'.join(_WEEKDAYS)})\b"
    rf"|\b(?:{'|'.join(_SHORT_WEEKDAYS)})[.,]{{0,2}}[ ]?(?=\d{{1,2}}[./ -])"
    r"|\b(?:mo|di|mi|do|fr|sa|so)[.,]{1,2}[ ]?(?=\d{1,2}[./ -])"
    r"|\b(?:KW|CW)[ ._-]?\d{1,2}(?:\s?[/ -]\s?\d{2,4})?(?!\d)"
    r"|\bQ[1-4][ /._-]{0,2}(?:\d\d){1,2}(?!\d)|(?<![A-Za-z0-9])[1-4]Q[ /._-]?(?:\d\d){1,2}(?!\d)"
    rf"|(?<![^\W_])(?:{'|'.join(_BIRTH)})[\s.:=*'’/_-]{{0,4}}(?:in\s)?(?:\d\d){{1,2}}(?!\d)"
    r"|(?<!\S)[*'’](?:\d\d|(?:18|19|20)\d\d)(?!\S)"
    r"|(?:明治|大正|昭和|平成|令和|民國|民国)\s?(?=[\d〇零一二三四五六七八九十元])"
    r"|(?<![\d.:])(?:[01]?\d|2[0-3]):[0-5]\d(?:(?::[0-5]\d(?:\.\d+)?)|(?=\s?[ap]m\b)|(?<=\d\d:\d\d))(?![\d:])(?:\s?[ap]m\b)?"
    r"|(?<![\d.:])(?:[01]?\d|2[0-3])(?:[.:h]\s?[0-5]\d)?\s?(?:uhr|o'clock)\b|(?<![\d.:\w])(?:[01]?\d|2[0-3])h[0-5]\d(?!\w)",
    re.IGNORECASE,
)
_AGES = re.compile(
    rf"(?<![\d.,])\d{{1,3}}[\s_-]{{0,2}}(?:{'|'.join(_YEARS_OLD)})\.?(?![^\W_])(?:[\s_-]old\b)?|\d{{1,3}}\s?[歳岁歲세]"
    rf"|(?<![^\W_])(?:{'|'.join(_AGED)})[\s.:=_-]{{0,3}}\d{{1,3}}(?!\d)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
OLD = 90
"""Years from which an age is never told, because so few people are older."""


def without_said_days(text: str) -> str:
    """Text without weekdays, numbered weeks and quarters, times of day, and years of birth; linear in its length.

    >>> without_said_days("T1 Thursday KW24/23"), without_said_days("Thu 15 Jun, born 41"), without_said_days("W24")
    ('T1', '15 Jun,', 'W24')
    """
    return _without(_DAYS, text)


def without_ages(text: str, least: int = 0) -> str:
    """Text without ages of so many years and more.

    >>> without_ages("B30f 82yo, age 7"), without_ages("aged 82", 90), without_ages("97 y", 90), without_ages("2.5 mm")
    ('B30f ,', 'aged 82', '', '2.5 mm')
    """
    ages = list(_AGES.finditer(text))
    if all(int(_NUMBER.findall(one[0])[0]) < least for one in ages):
        return text
    kept = _AGES.sub(lambda match: match[0] if int(_NUMBER.findall(match[0])[0]) < least else " ", text)
    return " ".join(kept.split())


def _without(pattern: re.Pattern[str], text: str) -> str:
    return " ".join(pattern.sub(" ", text).split()) if pattern.search(text) else text
