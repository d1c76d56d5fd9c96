# SPDX-License-Identifier: Apache-2.0
"""What values become: dummies for each VR, moved dates, and text without what identifies somebody."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import unquote

from umed.deid.kept_text import keep_terms as keep_terms
from umed.deid.matcher import Matcher
from umed.deid.misread import hides
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
# Things that identify whatever text they stand in: calendar dates in usual spellings.
_PATTERNS = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-./ ]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"
)
_ADDRESSES = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://\S+|\bwww\.\S+|(?<![^\s(])//\w[\w.-]*/\S*|\b[a-z]:[\\/]\S*"
    r"|\b[a-z][a-z0-9-]{2,62}(?:\.[a-z0-9-]{1,62}){0,4}"
    r"\.(?:com|org|net|edu|gov|info|local|ch|de|at|fr|it|uk|eu|nl|be)\b(?:/\S*)?"
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])",
    re.IGNORECASE,
)
_AT = re.compile(r"\s[(\[{]?at[)\]}]?\s|[(\[{]\s?at\s?[)\]}]", re.IGNORECASE)
_SPELLED_MAILS = re.compile(
    r"[\w.+-]{1,64}\s?(?:[(\[{]\s?at\s?[)\]}]|\sat\s(?=\S{1,64}\sdot\s))\s?[\w.-]{1,64}"
    r"(?:\s?[(\[{]?\s?dot\s?[)\]}]?\s?\w{2,24}){0,4}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NUMBERS = re.compile(r"[\d.]+")
_MAILS = re.compile(r"[\w.+@-]+")
MOST_TEXT = 1 << 16
"""Characters of one value that are looked at; what is beyond goes."""
_ROUNDS = 8
_MOST_KNOWN = 1024  # texts of which is remembered what became of them
_MOST_DIGITS = 32


def is_ordinary(text: str) -> bool:
    """Whether nothing but imaging terms and short numbers stands in a text, so that it cannot name anybody.

    >>> is_ordinary("CT Abdomen 2.5"), is_ordinary("St. Mary CT")
    (True, False)
    """
    words = _WORD.findall(text[:MOST_TEXT])
    if all(word.lower() in vocabulary() or (word.isdigit() and len(word) <= 3) for word in words):
        return True
    return len(text) <= _LONGEST and keep_terms(text, True) == text.strip(BLANKS)


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


def is_technique(keyword: str) -> bool:
    """Whether an attribute is, by its keyword, about how pictures are made, so that its words are everywhere."""
    return _ABOUT_TECHNIQUE.search(keyword) is not None


def is_place(keyword: str) -> bool:
    """Whether an attribute names a place, each long word of which tells which one it is."""
    return _ABOUT_PLACES.search(keyword) is not None


def may_name(part: str) -> bool:
    """Whether a part of a person name tells who it is: all but imaging terms that nobody is called.

    >>> may_name("Gray"), may_name("Doe"), may_name("Contrast")
    (True, True, False)
    """
    return part.lower() in _ALSO_NAMES or not is_ordinary(part)


def scrub(text: str, words: Matcher | Iterable[str] = ()) -> str:
    """Text without removed values in any spelling, UIDs, calendar dates, mail and web addresses, in linear time.

    What a removed piece leaves is looked at again, since it may close up to another; what never comes to an end goes.
    Of very long text only the beginning stays.

    >>> scrub("made for JOHN D.O.E. on 2024-03-01 at 1.2.840.113619.2.55.3", ["Doe", "John"])
    'made for . on at'
    """
    matcher = words if isinstance(words, Matcher) else Matcher(words)
    found = matcher.scrubbed.get(text)
    if found is None:
        found = _scrubbed(text, matcher)
        if len(text) <= _LONGEST and len(matcher.scrubbed) < _MOST_KNOWN:
            matcher.scrubbed[text] = found
    return found


def _scrubbed(text: str, matcher: Matcher) -> str:
    before, cleaned = "", _unescaped(text[:MOST_TEXT], matcher)
    for _ in range(_ROUNDS):
        before = cleaned
        cleaned = matcher.without(_without_addresses(_PATTERNS.sub(" ", cleaned)))
        if cleaned == before:
            return text if cleaned == text else " ".join(cleaned.split())
    return ""


def scrub_all(texts: list[str], matcher: Matcher) -> list[str]:
    """Values of one attribute, scrubbed one by one, and then together for numbers that their separator cuts in two.

    Of a value in another character set than its file states nothing stays where a removed one is in it.

    >>> scrub_all(["PAT 123", "456 x"], Matcher(["123456"]))
    ['PAT', 'x']
    """
    new = [scrub(one, matcher) for one in texts]
    new = ["" if hides(one, matcher) else one for one in new]
    if len(new) < 2 or sum(map(len, new)) > MOST_TEXT:
        return new
    joined = "\\".join(one.replace("\\", " ") for one in new)
    found = [(start, stop) for start, stop in matcher.stretches(joined) if _DIGIT.search(joined, start, stop)]
    if not found:
        return new
    pieces, at = [], 0
    for start, stop in found:
        pieces += [joined[at:start], " ", "\\ " * joined.count("\\", start, stop)]
        at = stop
    return [" ".join(one.split()) for one in "".join([*pieces, joined[at:]]).split("\\")]


def whole_number(text: str) -> int:
    """Size of a DS or IS value that is a whole number of up to 32 digits, else -1.

    >>> whole_number(" 4711.0"), whole_number("-47.11E2"), whole_number("0.5"), whole_number("1e99"), whole_number("")
    (4711, 4711, -1, -1, -1)
    """
    bare = text.strip(BLANKS).lstrip("+-")
    if bare.isdigit() and bare.isascii():
        return int(bare) if len(bare) <= _MOST_DIGITS else -1
    try:
        number = Decimal(bare)
        return int(number) if number.adjusted() < _MOST_DIGITS and number == number.to_integral_value() else -1
    except (ArithmeticError, ValueError):
        return -1


def _without_addresses(text: str) -> str:
    """Text without UIDs, addresses of mails, machines and pages, and paths of files."""
    if "@" in text:
        text = _MAILS.sub(_not_a_mail, text)
    if _AT.search(text):
        text = _SPELLED_MAILS.sub(" ", text)
    if "." in text or "/" in text or ":" in text:
        text = _NUMBERS.sub(_not_a_uid, _ADDRESSES.sub(" ", text))
    return text


def _not_a_uid(match: re.Match[str]) -> str:
    parts = match[0].strip(".").split(".")
    return " " if len(parts) > 5 and all(parts) else match[0]


def _not_a_mail(match: re.Match[str]) -> str:
    name, _, host = match[0].partition("@")
    return " " if name and host.strip(".") else match[0]


def _unescaped(text: str, matcher: Matcher) -> str:
    """The text without escapes of web addresses and HTML where these hide a value."""
    if "%" not in text and "&" not in text:
        return text
    plain = html.unescape(unquote(text))
    return plain if plain != text and matcher.has(plain) else text
