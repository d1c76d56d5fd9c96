# SPDX-License-Identifier: Apache-2.0
"""What values become: dummies for each VR, moved dates, and text without what identifies somebody."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

from umed.deid.kept_text import keep_terms as keep_terms
from umed.deid.text_tokens import vocabulary as vocabulary

DUMMY_TEXT = "REMOVED"
DUMMIES: dict[str, str | int | float | bytes] = {  # a value of each VR that says nothing (PS3.15 E.1, action D)
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), DUMMY_TEXT),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "urn:removed",
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW"), bytes(8)),
}
TEXT_VRS = frozenset(("LO", "LT", "SH", "ST", "UC", "UT"))
_LONGEST = 1024  # of a hostile value no more is remembered
# Imaging terms that many people are called; of those who are, the term is taken out of all text.
_ALSO_NAMES = frozenset(
    "arm art beam block body bone brilliance case cross drive early edge fast fellow field fields foot force frame "
    "frames general grant gray grey hand hard head long low may page part ray rose sharp short side sola stone stress "
    "trio vida white wood young".split()
)
_ANYWHERE = 6  # a removed value of so many characters is taken out of the middle of words, too
BLANKS = "\0 \t\r\n\f"

_DATE = re.compile(r"(?P<y>\d{4})(?P<dot>\.?)(?P<m>\d\d)(?P=dot)(?P<d>\d\d)\Z", re.ASCII)  # ACR-NEMA wrote dots
_PARTIAL = re.compile(r"\d{4}(?:\d\d)?\Z", re.ASCII)
_TIME_PART = re.compile(r"(?:\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?\Z", re.ASCII)
_TIME = re.compile(r"\d\d:?(?:\d\d:?(?:\d\d(?:\.\d{1,6})?)?)?\Z", re.ASCII)
_AGE = re.compile(r"(\d{3})([DWMY])\Z", re.ASCII)
_WORD = re.compile(r"[^\W_]+")
_ABOUT_TECHNIQUE = re.compile(
    r"Descri|Protocol|Comment|Label|Agent|Notes|Reason|Diagnos|Indicat|Technique|Time[Zz]one|Status|Text|Neutered"
)
# "Sanatorium Zauberberg" is also told by "Zauberberg"
_ABOUT_PLACES = re.compile(
    r"Institut|Address|Hospital|Department|Physician|Request|Issuer|Location|Residence|Site|Center"
)
# Things that identify whatever text they stand in: UIDs, calendar dates in usual spellings, mail and web addresses.
_PATTERNS = re.compile(
    r"(?<![\d.])\d+(?:\.\d+){5,}(?![\d.])"
    r"|(?<!\d)(?:19|20)\d\d([-./ ]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\bhttps?://\S+"
)


def is_ordinary(text: str) -> bool:
    """Whether nothing but imaging terms and short numbers stands in a text, so that it cannot name anybody.

    >>> is_ordinary("CT Abdomen 2.5"), is_ordinary("St. Mary CT")
    (True, False)
    """
    return all(word.lower() in vocabulary() or (word.isdigit() and len(word) <= 3) for word in _WORD.findall(text))


def move_date(text: str, days: int) -> str:
    """A DA value, moved; empty when it is no date.

    >>> move_date("20240301", -1), move_date("2024.03.01", -1), move_date("March", -1)
    ('20240229', '20240229', '')
    """
    match = _DATE.match(text.strip(BLANKS))
    if not match:
        return ""
    try:
        day = date(int(match["y"]), int(match["m"]), int(match["d"])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def move_datetime(text: str, days: int) -> str:
    """A DT value, moved, with its time and offset; empty when it is none. A year or month alone keeps its precision.

    >>> move_datetime("20240301101530.5+0100", -1), move_datetime("2024", -1)
    ('20240229101530.5+0100', '2023')
    """
    bare = text.strip(BLANKS)
    if _PARTIAL.match(bare):
        return move_date(f"{bare:0<4}"[:4] + (bare[4:6] or "01") + "01", days)[: len(bare)]
    rest = bare[8:]
    moved = move_date(bare[:8], days)
    return moved + rest if moved and _TIME_PART.match(rest) else ""


def is_time(text: str) -> bool:
    """Whether a TM value is a time of day and nothing else."""
    return not text.strip(BLANKS) or _TIME.match(text.strip(BLANKS)) is not None


def cap_age(text: str) -> str:
    """An AS value; 90 years and more become 90, because so few people are older. Empty when it is no age.

    >>> cap_age("045Y"), cap_age("097Y"), cap_age("old")
    ('045Y', '090Y', '')
    """
    match = _AGE.match(text.strip(BLANKS))
    if not match:
        return ""
    return "090Y" if match[2] == "Y" and int(match[1]) > 90 else match[0]


def name_parts(name: str) -> list[str]:
    """Words of a person name (PN) of at least three characters, and the given order of all of them, joined by blanks.

    >>> name_parts("Doe^John^^Dr")
    ['Doe', 'John', 'Doe John Dr']
    """
    parts = [part for part in re.split(r"[\^=\s,;\\]+", name.strip(BLANKS)) if part]
    words = [part for part in parts if len(part) >= 3 or (part and ord(max(part)) > 0x2E80 and len(part) >= 2)]
    return words + ([" ".join(parts)] if len(parts) > 1 else [])


def spellings(text: str) -> list[str]:
    """Usual ways to write the date of a DA or DT value.

    >>> spellings("20240301")[:3]
    ['20240301', '2024-03-01', '2024.03.01']
    """
    match = _DATE.match(text.strip(BLANKS)[:10]) or _DATE.match(text.strip(BLANKS)[:8])
    if not match:
        return []
    y, m, d = match["y"], match["m"], match["d"]
    found = [f"{y}{s}{m}{s}{d}" for s in ("", "-", ".", "/")]
    return found + [f"{a}{s}{b}{s}{y}" for a, b in ((d, m), (m, d)) for s in ("-", ".", "/")]


def identifying(keyword: str, vr: str, found: Iterable[str]) -> set[str]:
    """What of the values of a removed attribute must not stand anywhere else.

    Text about the technique, by its keyword, counts for nothing, since its words are everywhere. PN gives the parts of
    the name, DA and DT the usual spellings of the date.

    >>> identifying("InstitutionName", "LO", ["St. Mary", "CT"]), identifying("StudyDescription", "LO", ["Mary"])
    ({'St. Mary'}, set())
    """
    words: set[str] = set()
    for one in found:
        text = one.strip(BLANKS)[:_LONGEST]
        if vr == "PN":
            words.update(part for part in name_parts(text) if part.lower() in _ALSO_NAMES or not is_ordinary(part))
        elif vr in ("DA", "DT"):
            words.update(spellings(text))
        elif 4 <= len(text) and not _ABOUT_TECHNIQUE.search(keyword) and not is_ordinary(text):
            words.update([text] if len(text) <= 64 else [])
            if _ABOUT_PLACES.search(keyword):
                words.update(part for part in _WORD.findall(text) if len(part) >= _ANYWHERE and not is_ordinary(part))
    return words


@lru_cache(maxsize=256)
def finder(words: frozenset[str]) -> re.Pattern[str] | None:
    """Pattern that finds removed values in any case: long ones anywhere, short ones as whole words only.

    Blanks in them match any separator.
    """
    if not words:
        return None
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    escaped = (r"[\W_]*".join(re.escape(part) for part in word.split()) for word in longest_first)
    forms = [
        form if len(word) >= _ANYWHERE and not word.isdigit() else rf"(?<![^\W_]){form}(?![^\W_])"
        for word, form in zip(longest_first, escaped, strict=True)
    ]
    return re.compile("|".join(forms), re.IGNORECASE)


def scrub(text: str, words: Iterable[str]) -> str:
    """Text without removed values of the same data set, UIDs, calendar dates, mail and web addresses.

    >>> scrub("made for JOHN DOE on 2024-03-01 at 1.2.840.113619.2.55.3", ["Doe", "John"])
    'made for on at'
    """
    pattern = finder(frozenset(words))
    cleaned = _PATTERNS.sub(" ", text)
    if pattern is not None:
        cleaned = pattern.sub(" ", cleaned)
    return text if cleaned == text else " ".join(cleaned.split())
