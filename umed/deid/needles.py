# SPDX-License-Identifier: Apache-2.0
"""What to look for in an output: identifying values of the originals, and a search for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.elements import strings
from umed.deid.engine import CODE_SYSTEM
from umed.deid.keys import is_standard_uid
from umed.deid.table import rows

Kind = Literal["name", "text", "date", "uid", "private"]
SHORTEST = 4
SHORTEST_IN_PIXELS = 8  # four given bytes turn up by chance in any large picture
SHORTEST_DIGITS = 6  # shorter numbers turn up by chance in any header; looked for in text only
_PREFIX = 4
_DUMMIES = frozenset(str(dummy).lower() for dummy in values.DUMMIES.values()) | set(values.spellings("19000101"))


@dataclass
class Needles:
    """Values to look for, in lower case, with what they are and which attributes of the originals held them.

    Args:
        found: kind and tags by value.
        public: tag and whole value of text and dates that held no secret of another attribute of its own data set:
            it counts only where the attribute is one that is kept, by the table or by an option.
    """

    found: dict[str, tuple[Kind, set[int]]] = field(default_factory=dict)
    public: set[tuple[int, str]] = field(default_factory=set)

    def add(self, kind: Kind, tag: int, words: Iterable[str]) -> None:
        """Remember values that are long enough to mean something."""
        for word in words:
            lower = word.lower()
            # "xxxxxxxx" and "0000" name nobody, and turn up everywhere
            if len(lower) >= SHORTEST and len(set(filter(str.isalnum, lower))) > 2 and lower not in _DUMMIES:
                self.found.setdefault(lower, (kind, set()))[1].add(tag)

    def collect(self, dataset: Dataset) -> None:
        """Take the identifying values of one original, at every depth."""
        own = Needles()
        own._level(dataset)
        secrets = [
            (word, {tag for tag in tags if not tag >> 16 & 1})
            for word, (kind, tags) in own.found.items()
            if kind != "private"
        ]
        for word, (kind, tags) in own.found.items():
            for tag in tags:
                self.add(kind, tag, [word])
        for tag, text in own.public:
            if not any(word in text and tags != {tag} for word, tags in secrets):
                self.public |= {(tag, text), (tag, values.scrub(text, ()))}

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
        private = bool(tag >> 16 & 1)
        if vr == "UI":
            bare = {text.strip(values.BLANKS) for text in texts}
            self.add(
                "uid", tag, (u for u in bare if len(u) >= 8 and not is_standard_uid(u) and not CODE_SYSTEM.match(u))
            )
        elif vr == "PN":
            parts = values.identifying(keyword, vr, texts)
            self.add("name", tag, (part for part in parts if not values.is_ordinary(part)))
            self.add("name", tag, (text for text in texts if not values.is_ordinary(text)))
        elif private:
            if vr in values.TEXT_VRS and tag & 0xFFFF >= 0x1000:
                kept = values.identifying("", vr, texts)
                self.add("private", tag, (word for word in kept if len(word) >= SHORTEST_DIGITS))
        elif tag in rows():
            self.public.update((tag, text.strip(values.BLANKS).lower()) for text in texts)
            if vr in ("DA", "DT"):
                self.add("date", tag, values.identifying(keyword, vr, texts))
            elif vr in values.TEXT_VRS or vr in ("AE", "UR"):
                self.add("text", tag, values.identifying(keyword, vr, texts))
        elif vr in values.TEXT_VRS or vr == "CS":
            self.public.update((tag, text.strip(values.BLANKS).lower()) for text in texts)

    def settle(self) -> Needles:
        """Without private text that kept public attributes repeat (devices write their model everywhere)."""
        public = "\n".join(sorted(text for tag, text in self.public if tag not in rows()))
        kept = {w: entry for w, entry in self.found.items() if entry[0] != "private" or w not in public}
        return Needles(kept, self.public)


class Search:
    """Finds any of many values in bytes: a table of their first bytes says where to look closer.

    Args:
        words: values in lower case; each is looked for as UTF-8, Latin-1 and UTF-16.
    """

    def __init__(self, words: Iterable[str]) -> None:
        forms: dict[bytes, str] = {}
        for word in words:
            for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
                try:
                    forms.setdefault(word.encode(encoding).lower(), word)
                except UnicodeEncodeError:
                    continue
        self._forms: dict[int, list[tuple[bytes, str]]] = {}
        for form, word in forms.items():
            if len(form) >= _PREFIX:
                self._forms.setdefault(int.from_bytes(form[:_PREFIX], "little"), []).append((form, word))
        self._prefixes = np.array(sorted(self._forms), np.uint32)
        self._three = np.zeros(1 << 24, bool)
        self._three[self._prefixes & 0xFFFFFF] = True

    def __call__(self, data: bytes) -> Iterator[tuple[int, str]]:
        """Offsets and values of all that stand in some bytes as whole words; letter case of ASCII does not count."""
        if len(data) < _PREFIX or not self._forms:
            return
        lower = data.lower()
        for start in range(0, len(lower), 1 << 22):  # in pieces, so that the index arrays stay small
            part = np.frombuffer(lower, np.uint8)[start : start + (1 << 22) + _PREFIX - 1].astype(np.uint32)
            yield from self._part(lower, start, part)

    def _part(self, lower: bytes, start: int, part: NDArray[np.uint32]) -> Iterator[tuple[int, str]]:
        count = len(part) - _PREFIX + 1
        if count <= 0:
            return
        three = part[:count] | part[1 : count + 1] << 8 | part[2 : count + 2] << 16
        places = np.flatnonzero(self._three[three])
        keys = three[places] | part[places + 3] << 24
        for place, key in zip(places.tolist(), keys.tolist(), strict=True):
            for form, word in self._forms.get(key, ()):
                at = start + place
                if lower.startswith(form, at) and _is_whole(lower, at, at + len(form), form):
                    yield at, word


def _is_whole(data: bytes, start: int, stop: int, form: bytes) -> bool:
    """Whether a hit is not part of a longer word or number; long hits count in any case, unless they are numbers."""
    before, after = data[start - 1 : start], data[stop : stop + 1]
    if form[:1].isdigit() and form[-1:].isdigit():
        if (before.isdigit() or before == b".") or after.isdigit():
            return False
        return not (after == b"." and data[stop + 1 : stop + 2].isdigit())
    if not (before.isalnum() or after.isalnum()):
        return True
    if len(form) < SHORTEST_IN_PIXELS:
        return False
    while start and data[start - 1 : start].isalnum():  # "anonymou" within "anonymous" is no secret
        start -= 1
    while data[stop : stop + 1].isalnum():
        stop += 1
    return not values.is_ordinary(data[start:stop].decode("latin-1"))
