# SPDX-License-Identifier: Apache-2.0
"""What to look for in an output: the values of its originals that identify, taken from them apart from the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.elements import strings
from umed.deid.engine import CODE_SYSTEM
from umed.deid.keys import is_standard_uid
from umed.deid.normal_form import normal
from umed.deid.spellings import day_of, id_variants, is_dense, letters, name_spellings, numbers_in_prose
from umed.deid.table import rows
from umed.deid.text_search import Needle

Kind = Literal["name", "text", "date", "uid", "private"]
Source = tuple[Kind, set[int]]
"""What a value is, and which attributes of the originals held it."""
SHORTEST = 4
SHORTEST_DIGITS = 6  # shorter numbers turn up by chance in any header; looked for in text only
_LONGEST = 1024
_LONGEST_WHOLE = 64
_PLACE_WORD = 6
_NO_DATES = frozenset(("19000101",))
_STAND_INS = frozenset(
    "removed anonymous anonymized anonymised anonymisiert anonym anon deidentified de-identified unknown none noname "
    "no-name n/a na nil null xxx xxxx 000y urn:removed".split()
)
# Text about the technique counts for nothing, since its words are everywhere.
_ABOUT_TECHNIQUE = re.compile(
    r"Descri|Protocol|Comment|Label|Agent|Notes|Reason|Diagnos|Indicat|Technique|Time[Zz]one|Status|Text|Neutered"
)
# "Sanatorium Zauberberg" is also told by "Zauberberg"
_ABOUT_PLACES = re.compile(
    r"Institut|Address|Hospital|Department|Physician|Request|Issuer|Location|Residence|Site|Center"
)
_IDENTIFIER = re.compile(r"IDs?$|Number|Accession|Telephone|Phone|Serial")
_WORD = re.compile(r"[^\W_]+")


@dataclass
class Needles:
    """Values to look for, with what they are and which attributes of the originals held them.

    Args:
        found: kind and tags by value in lower case; looked for in all bytes, and in text in every spelling.
        spelled: kind and tags by value that only text can spell: orders of names, identifiers without their prefix.
        short: likewise, of values that are too short to count but as a whole value or beside a word such as "patient".
        days: tags by year, month and day.
        public: tag and whole value of text and dates that held no secret of another attribute of its own data set:
            it counts only where the attribute is one that is kept, by the table or by an option.
    """

    found: dict[str, Source] = field(default_factory=dict)
    spelled: dict[str, Source] = field(default_factory=dict)
    short: dict[str, Source] = field(default_factory=dict)
    days: dict[tuple[int, int, int], set[int]] = field(default_factory=dict)
    public: set[tuple[int, str]] = field(default_factory=set)

    def add(self, kind: Kind, tag: int, words: Iterable[str], *, spelled: bool = False) -> None:
        """Remember values that mean something; short ones apart."""
        for word in words:
            lower = word.lower()
            form = normal(lower)
            if not form or lower.strip(" ^=") in _STAND_INS or form.strip("0x") == "":
                continue  # "xxxxxxxx" and "0000" name nobody, and turn up everywhere
            dense = is_dense(form) and letters(form) >= 2
            if len(form) >= SHORTEST and (len(set(form)) > 2 or dense) and not _is_short_number(form):
                where = self.spelled if spelled else self.found
            elif dense:
                where = self.found
            elif kind != "private":
                where = self.short
            else:
                continue
            where.setdefault(lower, (kind, set()))[1].add(tag)

    def collect(self, dataset: Dataset) -> None:
        """Take the identifying values of one original, at every depth."""
        own = Needles()
        own._level(dataset)
        secrets = [
            (word, {tag for tag in tags if not tag >> 16 & 1})
            for word, (kind, tags) in (own.found | own.spelled).items()
            if kind != "private"
        ]
        for mine, theirs in ((self.found, own.found), (self.spelled, own.spelled), (self.short, own.short)):
            for word, (kind, tags) in theirs.items():
                mine.setdefault(word, (kind, set()))[1].update(tags)
        for day, tags in own.days.items():
            self.days.setdefault(day, set()).update(tags)
        for tag, text in own.public:
            if not any(word in text and tags != {tag} for word, tags in secrets):
                self.public.add((tag, text))

    def _level(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            number = int(tag)
            try:
                vr = str(dataset[tag].VR)
                if vr == "SQ":
                    for item in dataset[tag].value:
                        self._level(item)
                    continue
                self._value(number, vr, str(dataset[tag].keyword), strings(dataset, number))
            except Exception:  # what cannot be decoded cannot be looked for; it is never kept either
                continue

    def _value(self, tag: int, vr: str, keyword: str, texts: list[str]) -> None:
        bare = [text.strip(values.BLANKS)[:_LONGEST] for text in texts]
        if vr == "UI":
            uids = (u for u in bare if len(u) >= 8 and not is_standard_uid(u) and not CODE_SYSTEM.match(u))
            self.add("uid", tag, uids)
        elif vr == "PN":
            for name in bare:
                self._name(tag, name)
        elif tag >> 16 & 1:
            if vr in values.TEXT_VRS and tag & 0xFFFF >= 0x1000:
                self.add("private", tag, (t for t in bare if _is_telling(t) and len(t) >= SHORTEST_DIGITS))
        elif tag in rows():
            self.public.update((tag, text.lower()) for text in bare)
            if vr in ("DA", "DT"):
                for text in bare:
                    self._day(tag, text)
            elif vr in values.TEXT_VRS or vr in ("AE", "UR"):
                for text in bare:
                    self._text(tag, keyword, text)
        elif vr in values.TEXT_VRS or vr == "CS":
            self.public.update((tag, text.lower()) for text in bare)

    def _name(self, tag: int, name: str) -> None:
        """Parts of a name and orders of them; imaging terms count together only."""
        if not values.is_ordinary(name):
            self.add("name", tag, [name])
        for form in name_spellings(name):
            parts = len(_WORD.findall(form))
            if parts > 1 and is_dense(form):
                self.add("name", tag, [form, form.replace(" ", "")])
            elif parts > 1:
                self.add("name", tag, [form], spelled=True)
            elif not values.is_ordinary(form):
                self.add("name", tag, [form], spelled=form not in name and not is_dense(form))

    def _day(self, tag: int, text: str) -> None:
        day = day_of(text)
        if day and day not in _NO_DATES:
            self.days.setdefault((int(day[:4]), int(day[4:6]), int(day[6:])), set()).add(tag)
            self.add("date", tag, [day, f"{day[:4]}-{day[4:6]}-{day[6:]}"])

    def _text(self, tag: int, keyword: str, text: str) -> None:
        # "044 255 11 11" and "123" are short numbers to the list of imaging terms
        if not _is_telling(text) and not (_IDENTIFIER.search(keyword) and any(map(str.isdigit, text))):
            return
        if _ABOUT_TECHNIQUE.search(keyword) or len(text) > _LONGEST_WHOLE:
            self.add("text", tag, numbers_in_prose(text), spelled=True)
        if _ABOUT_TECHNIQUE.search(keyword):
            return
        if len(text) <= _LONGEST_WHOLE:
            self.add("text", tag, [text])
        if _IDENTIFIER.search(keyword):
            digits = (form for form in id_variants(text) if any(map(str.isdigit, form)))
            self.add("text", tag, (form for form in digits if len(form) >= SHORTEST_DIGITS), spelled=True)
        if _ABOUT_PLACES.search(keyword):
            parts = (part for part in _WORD.findall(text) if len(part) >= _PLACE_WORD and not values.is_ordinary(part))
            self.add("text", tag, parts)

    def settle(self) -> Needles:
        """Without private text that kept public attributes repeat (devices write their model everywhere)."""
        public = "\n".join(sorted(text for tag, text in self.public if tag not in rows()))
        kept = {w: entry for w, entry in self.found.items() if entry[0] != "private" or w not in public}
        return Needles(kept, self.spelled, self.short, self.days, self.public)

    def source(self, word: str) -> Source:
        """Kind and tags of a value that was found; a day is given as eight digits."""
        for where in (self.found, self.spelled, self.short):
            if word in where:
                return where[word]
        return "date", self.days.get((int(word[:4]), int(word[4:6]), int(word[6:])), set())

    def forms(self) -> dict[str, Needle]:
        """Normal forms for a search in text."""
        forms: dict[str, Needle] = {}
        for where, alone in ((self.found, False), (self.spelled, False), (self.short, True)):
            for word, (kind, _) in where.items():
                form = normal(word)
                if kind in ("uid", "date") or (kind == "private" and len(form) < SHORTEST_DIGITS):
                    continue  # UIDs have one spelling; dates are read, not compared
                forms.setdefault(form, Needle(word, max(1, len(_WORD.findall(word))), alone))
                if form.isdigit() and form[0] == "0" and len(form.lstrip("0")) >= SHORTEST:
                    bare = form.lstrip("0")
                    forms.setdefault(bare, Needle(word, 1, alone or _is_short_number(bare)))
        return forms


def keywords(tags: Iterable[int]) -> str:
    """Names of attributes for people; private ones by their group.

    >>> keywords([0x00100010, 0x00291010])
    'PatientName, a private attribute'
    """
    names = {keyword_for_tag(tag) or ("a private attribute" if tag >> 16 & 1 else f"({tag:08X})") for tag in tags}
    return ", ".join(sorted(names))


def _is_short_number(form: str) -> bool:
    return form.isdigit() and len(form) < SHORTEST_DIGITS


def _is_telling(text: str) -> bool:
    return bool(text) and not values.is_ordinary(text)
