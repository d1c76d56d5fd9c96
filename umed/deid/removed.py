# SPDX-License-Identifier: Apache-2.0
"""What of the values that are taken away must not stand anywhere else, remembered for each patient over all files."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.codes import SCHEME, TAGS, is_public
from umed.deid.elements import strings
from umed.deid.matcher import ANYWHERE, Matcher
from umed.deid.misread import other_names
from umed.deid.normal_form import normal
from umed.deid.policy import Act, Policy
from umed.deid.remains import encoded_forms, id_parts, makers, name_beginnings, name_remains, name_stems
from umed.deid.spellings import (
    day_of,
    digit_runs,
    enough,
    id_variants,
    letters,
    name_initials,
    name_spellings,
    numbers_in_prose,
    numeric_spellings,
)
from umed.dicom.held import has

MOST_VALUES = 2000
"""Of one patient; no real one has more. Where there are, only imaging terms stay in text."""
MOST_CHARACTERS = 1 << 28
"""Of all patients together."""
MOST_PATIENTS = 8
"""That a study may belong to by mistake; where it names more, studies say nothing about who is meant."""
LONG_WORD = 4
_LONGEST = 1024  # of a hostile value no more is remembered
_WHOLE = 64  # longer text is prose: nobody repeats it word by word
_SEEN = 20_000
_SECRET_DIGITS, _DATE_DIGITS = 5, 6
_DIGITS = 4  # of an identifier
_DEPTH = 64
_MOST_FLOAT = 10**32
_KEPT = frozenset(("binary", "number", "code", "text", "U"))  # unless stored with a VR that the attribute cannot have
_REMEMBERED = frozenset(("PN", "DA", "DT", "AE", "UR")) | values.TEXT_VRS
_OUT_OF_PLACE = frozenset(("PN", "DA", "DT", "AE", "UR", "SQ"))
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HINTS = "patient patientid patientno pat patid patno id no nr pid mrn case fall subject subj".split()
_LEAST_WHOLE = 3  # digits of an identifier that is a text of its own; fewer are everywhere
_OF_PATIENTS = frozenset(("PatientID", "OtherPatientIDs"))
_IDENTIFIERS = re.compile(r"IDs?\Z|IDs?[A-Z]|Number|Phone|Identifier|Serial|Barcode")


class Removed:
    """Values of one patient that must not stand in text that stays.

    Args:
        earlier: what was met before; values of it are not taken again.
    """

    def __init__(self, earlier: Removed | None = None) -> None:
        self.names: set[str] = set()
        self.words: set[tuple[str, str]] = set()
        self.days: set[str] = set()
        self.size = 0
        self.full = False
        self._seen: set[int] = set()
        self._earlier = frozenset[int]() if earlier is None else earlier._seen

    def __bool__(self) -> bool:
        return bool(self.names or self.words or self.days or self.full)

    def add(self, keyword: str, vr: str, texts: Iterable[str]) -> None:
        """Remember the values of an attribute.

        Of text about the technique, by its keyword, and of prose only long numbers count, since its words are
        everywhere.
        """
        for one in texts:
            text = one.strip(values.BLANKS)[:_LONGEST]
            if len(self.names) + len(self.words) + len(self.days) >= MOST_VALUES:
                self.full = True
                return
            size = -len(self.names) - len(self.words)
            if vr in ("DA", "DT"):
                self.days |= {day_of(text)} - {""}
            elif vr == "PN":
                self.names |= {text} - {""}
            elif keyword in _OF_PATIENTS and 2 <= len(normal(text)) < LONG_WORD:
                if normal(text).isdigit() or not values.is_ordinary(text):
                    self.words.add(("short", text))
            elif len(text) >= LONG_WORD and keyword != "CodeMeaning":
                kind = "prose" if values.is_technique(keyword) else _kind(keyword, text)
                if kind == "id" or (kind != "prose" and not values.is_ordinary(text)):
                    self.words.add((kind, text))
                if kind != "id":
                    self._prose(one[: values.MOST_TEXT])
            size += len(self.names) + len(self.words)
            self.size += size * min(len(text), _LONGEST if size == 1 else _WHOLE)
            self.__dict__.pop("matchers", None)

    def _prose(self, text: str) -> None:
        self.words |= {("prose", number) for number in numbers_in_prose(text)}

    def collect(self, dataset: Dataset, policy: Policy, column: int) -> None:
        """Remember what a policy takes out of a data set, at every depth; the data set stays as it is."""
        self._level(dataset, policy, column, 0, False)

    def _level(self, dataset: Dataset, policy: Policy, column: int, depth: int, cleaning: bool) -> None:
        if depth > _DEPTH:
            return
        public = depth and has(dataset, SCHEME) and is_public(dataset)
        for tag, stored in list(dataset.items()):
            number = int(tag)
            if number >> 16 & 1 or (public and number in TAGS):
                continue
            decision = policy[number]
            act: Act = decision.acts[column]
            if cleaning and act == "text":
                act = "C"
            vr = stored.VR
            if act in _KEPT and vr not in _OUT_OF_PLACE:
                continue
            try:
                if vr is None or vr == "UN":
                    vr = decision.vr or str(dataset[tag].VR)
                if vr == "SQ":
                    for item in dataset[tag].value or ():
                        self._level(item, policy, 2, depth + 1, cleaning or act == "C")
                elif vr in _REMEMBERED and (act != "K" or vr == "PN"):
                    self._value(dataset, number, decision.keyword, vr, stored)
            except Exception:  # what cannot be decoded cannot be looked for; it is never kept either
                continue

    def _value(self, dataset: Dataset, tag: int, keyword: str, vr: str, stored: object) -> None:
        raw = stored.value if isinstance(stored, RawDataElement) else None
        if isinstance(raw, bytes):
            if not raw:
                return
            mark = hash((tag, vr, raw))  # most values are the same in all files of a series
            if mark in self._seen or mark in self._earlier:
                return
            if len(self._seen) < _SEEN:
                self._seen.add(mark)
        self.add(keyword, vr, strings(dataset, tag))
        if isinstance(raw, bytes) and not raw.isascii() and vr not in ("DA", "DT"):
            with suppress(UnicodeDecodeError):  # where SpecificCharacterSet is wrong, in this file or in another
                self.add(keyword, vr, raw.decode("utf-8").split("\\"))
            if vr == "PN":
                self.add(keyword, vr, other_names(raw))

    def holds(self, other: Removed) -> bool:
        """Whether it has all that another one has."""
        known = other.names <= self.names and other.words <= self.words and other.days <= self.days
        return known and (self.full or not other.full)

    def joined(self, others: Iterable[Removed]) -> Removed:
        """With what others hold."""
        whole = Removed()
        for one in (self, *others):
            whole.names |= one.names
            whole.words |= one.words
            whole.days |= one.days
            whole.full |= one.full
            whole._seen |= one._seen
        whole.full |= len(whole.names) + len(whole.words) + len(whole.days) > MOST_VALUES
        return whole

    def forms(self) -> Iterator[str]:
        """Everything to be looked for but dates: names and their orders, identifiers with and without prefix."""
        for name in self.names:
            yield from (one for one in name_spellings(name) if values.may_name(one))
            yield from (one for one in name_remains(name) if _is_telling(one))
            yield from encoded_forms(name)
            if any(map(str.isdigit, name)):
                yield from id_variants(name)
        for kind, text in self.words:
            if len(text) <= _WHOLE and kind != "short":
                yield text
            if kind == "place":
                yield from (one for one in _WORD.findall(text) if len(one) >= ANYWHERE and not values.is_ordinary(one))
            elif kind == "id":
                yield from id_variants(text)
                yield from digit_runs(text)
                yield from id_parts(text)
                yield from encoded_forms(text)
                yield from (one for one in _LETTERS.findall(text) if len(one) >= 4 and not values.is_ordinary(one))
            elif kind == "prose":
                yield from (text.lstrip("0"), *digit_runs(text))

    @cached_property
    def matchers(self) -> tuple[Matcher, Matcher]:
        """Finds all of it; and only words of four letters and more, for codes that short names must not change."""
        forms = set(self.forms())
        misread = {one.encode().decode("latin-1") for one in forms if not one.isascii()}  # UTF-8 as something else
        forms |= {one for one in misread if len(normal(one)) >= ANYWHERE}
        words = {one for name in self.names for one in name_initials(name) if values.may_name(one)}
        words |= {one for name in self.names for one in name_beginnings(name) if _is_telling(one)}
        words |= {
            one
            for kind, text in self.words
            if kind == "place"
            for one in _WORD.findall(text)
            if LONG_WORD + one.isdigit() <= len(one) < ANYWHERE and not values.is_ordinary(one) and _is_telling(one)
        }
        stems = {one for name in self.names for one in name_stems(name)} - makers()
        short = {normal(text) for kind, text in self.words if kind == "short"}
        words |= {hint + one for one in short if one.isdigit() for hint in _HINTS}
        words |= {one for one in short if not one.isdigit()}
        whole = {one for one in short if len(one) == _LEAST_WHOLE}
        long = {one for one in forms if letters(form := normal(one)) >= min(LONG_WORD, enough(form))}
        return Matcher(forms, self.days, words, stems, whole), Matcher(long, self.days)

    @cached_property
    def numbers(self) -> frozenset[int]:
        """Identifiers and dates as numbers, of so many digits that no other number is one of them by chance."""
        found = {form for kind, text in self.words if kind == "id" for form in id_variants(text)}
        found |= {form for name in self.names if any(map(str.isdigit, name)) for form in id_variants(name)}
        numbers = {int(form) for form in found if form.isdigit() and len(form.lstrip("0")) >= _SECRET_DIGITS}
        prose = (text for kind, text in self.words if kind == "prose")  # a round one may well be a setting
        numbers |= {int(text) for text in prose if len(text.strip("0")) >= _DIGITS}
        dates = {form for day in self.days for form in numeric_spellings(day) if form.isdigit()}
        return frozenset(numbers | {int(form) for form in dates if len(form) >= _DATE_DIGITS})

    @cached_property
    def floats(self) -> frozenset[float]:
        """The same as binary numbers of 32 and of 64 bits hold them."""
        held = [one for one in self.numbers if one < _MOST_FLOAT]
        single = struct.unpack(f"{len(held)}f", struct.pack(f"{len(held)}f", *held))
        return frozenset((*map(float, held), *single))


class Patients:
    """What was removed, by patient; a study that names two patients, or sometimes none, counts for each of them."""

    def __init__(self) -> None:
        self._by_key: dict[str, Removed] = {}
        self._of_study: dict[str, set[str]] = {}
        self._size = 0
        self._last: tuple[object, Removed] | None = None

    def of(self, key: str, study: str) -> Removed:
        """The store of a patient, to be filled; new where there is none."""
        if study:
            keys = self._of_study.setdefault(study, set())
            if len(keys) <= MOST_PATIENTS:
                keys.add(key)
        return self._by_key.setdefault(key, Removed())

    def grown(self, store: Removed, before: int) -> None:
        """Keep the size of all stores within bounds, in the order of the scan, which is the same in every process."""
        self._size += store.size - before
        if self._size > MOST_CHARACTERS:
            store.full = True

    def known(self, key: str, study: str) -> Removed | None:
        """What must not stand in the files of a patient; ``None`` where nothing was remembered."""
        keys = self._of_study.get(study, set())
        every = sorted({key} | (keys if len(keys) <= MOST_PATIENTS else set()))
        stores = [self._by_key[one] for one in every if one in self._by_key]
        if len(stores) <= 1:
            found = stores[0] if stores else None
        elif self._last is not None and self._last[0] == every:
            return self._last[1]
        else:
            found = stores[0].joined(stores[1:])
        if found is not None and (self._last is None or self._last[1] is not found):
            if self._last is not None:  # one automaton at a time
                for name in ("matchers", "numbers", "floats"):
                    self._last[1].__dict__.pop(name, None)
            self._last = every, found
        return found


def _kind(keyword: str, text: str) -> str:
    if values.is_place(keyword):
        return "place"
    digits = sum(map(str.isdigit, text))
    if keyword in _OF_PATIENTS:  # often a name
        return "id"
    if digits >= _DIGITS and (_IDENTIFIERS.search(keyword) or 2 * digits >= sum(map(str.isalnum, text))):
        return "id"
    return "text"


def _is_telling(form: str) -> bool:
    """Whether a part of a name is neither an imaging term nor the name of a maker."""
    return values.may_name(form) and normal(form) not in makers()
