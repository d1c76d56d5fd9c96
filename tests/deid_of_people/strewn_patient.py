# SPDX-License-Identifier: Apache-2.0
"""Invented patients, and the spellings in which people and programs repeat what identifies them."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, timedelta

from pydicom.charset import convert_encodings, encode_string

SYLLABLES = "bra dux fip gno hul jex kwi lop mez nuf pli quo rix sva tov vul wem xan yro zed bly cro".split()
KANJI = "園澤嶋崎橋藤渡邊櫻齋瀧濱廣澁惠壽榮龍彌藏"
# Character sets with the letters of a second group of the name; none where it is all Latin.
SETS: tuple[tuple[str | list[str], str], ...] = (
    ("ISO_IR 192", KANJI), ("ISO_IR 192", "가나다라마바사아자차카타파하"), ("ISO_IR 192", "αβγδεζηθικλμνξπρστφχω"),
    ("ISO_IR 100", "äöüßéèñçø"), ("ISO_IR 101", "žšćđńłóęř"), ("ISO_IR 109", "ĉĝĥĵŝŭ"), ("ISO_IR 110", "ąčēģįķļņšū"),
    ("ISO_IR 148", "çğışöü"), ("ISO_IR 144", "абвгдежзиклмнопрстуфхцчшщюя"), ("ISO_IR 126", "αβγδεζηθικλμνξπρστφχω"),
    ("ISO_IR 127", "بتثجحخدذرزسشصضطظعغفقكلمن"), ("ISO_IR 138", "אבגדהוזחטילמנסעפצקרשת"),
    ("ISO_IR 166", "กขคงจฉชซญณดตถทธนบปผฝพ"),
    ("ISO_IR 203", "äöüžšœéè"), ("ISO_IR 13", "ｱｲｳｶｷｸｻｼｽﾀﾁﾂﾅﾆﾇ"),
    (["", "ISO 2022 IR 87"], "山田太郎北南東西川本村上下中"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "山田太郎北南東西川本村上下中"),
    (["", "ISO 2022 IR 159"], "丂丄丅丒丟丣倞匲卌啐"),
    (["", "ISO 2022 IR 149"], "가나다라마바사아자차카타파하"), (["", "ISO 2022 IR 58"], "王李张刘陈杨赵黄周吴"),
    ("GB18030", "王李張劉陳楊趙黃周吳"), ("GBK", "王李张刘陈杨赵黄周吴"), ("", ""),
)  # fmt: skip
MONTHS = ("January February March April May June July August September October November December".split(),
          "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
          "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split())  # fmt: skip


@dataclass
class Patient:
    """Somebody invented: what is planted, and what is searched for."""

    sets: str | list[str]
    names: list[str]
    second: str
    numbers: list[str]
    places: list[str]
    days: list[date]
    uids: list[str]
    moves: list[tuple[tuple[int, ...], int, str]] = field(default_factory=list)
    """Paths, tags and days of dates that are moved."""

    @property
    def words(self) -> list[str]:
        """All words that name somebody."""
        return [*self.names, *self.second.split("^"), *self.places] if self.second else [*self.names, *self.places]


def word(draw: random.Random, least: int = 2) -> str:
    return "".join(draw.choice(SYLLABLES) for _ in range(draw.randint(least, 3))).capitalize()


def somebody(draw: random.Random) -> Patient:
    sets, letters = draw.choice(SETS)
    dense = any(unicodedata.name(one).startswith(("CJK", "HANGUL")) for one in letters)
    size = (2, 3) if dense else (6, 9)
    second = (
        "^".join("".join(draw.choice(letters) for _ in range(draw.randint(*size))) for _ in range(2)) if letters else ""
    )
    digits = [str(draw.randint(1, 9)) + "".join(draw.choice("0123456789") for _ in range(draw.randint(7, 9)))
              for _ in range(6)]  # fmt: skip
    days = [date(1920, 1, 1) + timedelta(draw.randrange(38_000)) for _ in range(4)]
    uids = [f"1.3.6.1.4.1.{draw.randrange(10**6)}.{draw.randrange(10**9)}.{n}.7" for n in range(2)]
    places = [word(draw, 3) for _ in range(2)]
    return Patient(sets, [word(draw) for _ in range(4)], second, digits, places, days, uids)


def spelled_id(draw: random.Random, digits: str) -> str:
    """An identifier in one of the ways that people and programs write it."""
    cut = draw.randint(2, 4)
    groups = [digits[at : at + cut] for at in range(0, len(digits), cut)]
    apart = draw.choice(["-", " ", ".", "/", "_", "--", " - "]).join(groups)
    ways = [digits, "0" * draw.randint(1, 4) + digits, f"MRN{digits}", f"PAT-{digits}", digits + "Z", f"{digits}-X"]
    return draw.choice([*ways, apart, "99" + digits + "1", f"a{digits}b"])


def spelled_day(draw: random.Random, day: date) -> str:
    """A date in one of the usual ways."""
    month = draw.choice(MONTHS)[day.month - 1]
    forms = "%Y%m%d %Y-%m-%d %d.%m.%Y %m/%d/%Y %d%m%Y %m/%d/%y %y%m%d %Y.%m.%d %Y%m%d101500 %d-%b-%Y".split()
    ways = [*map(day.strftime, forms), f"{day.day}. {month} {day.year}", f"{month} {day.day}, {day.year}"]
    return draw.choice([*ways, f"{day.day} {month} {day.year}", f"{day.day}{month[:3].upper()}{day.year % 100:02d}"])


def spelled_name(draw: random.Random, patient: Patient) -> str:
    """A name of somebody, or a part of it, as it is typed again."""
    if patient.second and draw.random() < 0.5:
        parts = patient.second.split("^")
        joined = ("^".join(parts), "".join(parts), " ".join(parts), *parts, parts[0].upper())
        found = draw.choice(joined)
        return unicodedata.normalize("NFD", found) if draw.random() < 0.1 else found
    at = draw.choice((0, 2))
    family, given = patient.names[at : at + 2]
    ways = [f"{family}^{given}", f"{given} {family}", family, given, family.upper(), family.lower(), family + given]
    ways += [f"{family}, {given[0]}.", f"{family}_{given}", f"{given[0]}{family}", f"{family.upper()} {given}"]
    return draw.choice(ways)


def planted(draw: random.Random, patient: Patient) -> tuple[str, str]:
    """Kind and text of something that must be gone."""
    kind = draw.choice(("name", "name", "id", "id", "date", "place", "uid"))
    if kind == "name":
        return kind, spelled_name(draw, patient)
    if kind == "id":
        return kind, spelled_id(draw, draw.choice(patient.numbers))
    if kind == "date":
        return kind, spelled_day(draw, draw.choice(patient.days))
    if kind == "place":
        return kind, draw.choice((str, str.upper, str.lower))(draw.choice(patient.places))
    return kind, draw.choice(patient.uids)


def coded(text: str, sets: str | list[str]) -> bytes:
    """Bytes of a text in a character set, each word by itself; question marks for what it cannot say."""
    if isinstance(sets, str):
        return text.encode(convert_encodings([sets])[0], "replace")
    encodings = convert_encodings(sets)
    parts = re.split(r"([\^=\\ _/()]|[ -~]+)", text)
    return b"".join(part.encode() if part.isascii() else encode_string(part, encodings) for part in parts)
