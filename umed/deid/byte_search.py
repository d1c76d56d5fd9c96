# SPDX-License-Identifier: Apache-2.0
"""Finds any of many values in any bytes, in every character set that DICOM allows, in time linear in the bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from umed.deid import values

SHORTEST_IN_PIXELS = 8  # four given bytes turn up by chance in any large picture
ENCODINGS = (
    *("utf-8", "utf-16-le", "utf-16-be", "latin-1"),
    *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 11, 15)),
    *("shift_jis", "euc_jp", "iso2022_jp_2", "iso2022_jp_ext", "euc_kr", "gb18030"),
)
"""Python's names for the character sets of PS3.3 C.12.1.1.2, and UTF-16; GB 18030 has GBK and GB 2312 in it."""
_SHORT = 4
_LONG = 8
_CONTEXT = 256
_STEP = 1 << 22
_MULTIPLIER = np.uint32(2654435761)  # Knuth's: the upper bits of the product depend on all bits
_WIDE = np.uint64(11400714819323198485)


@lru_cache(maxsize=1 << 14)
def byte_forms(word: str) -> dict[bytes, bool]:
    r"""How a value may be stored: in every character set, in lower, upper and title case where that is no ASCII.

    Args:
        word: in any case.

    Returns:
        Forms with the letters of ASCII in lower case, and whether each is one to look for among pixels.

    >>> sorted(byte_forms("jörg"))[:3]
    [b'\x00j\x00\xd6\x00r\x00g', b'\x00j\x00\xf6\x00r\x00g', b'j\x00\xd6\x00r\x00g\x00']
    """
    found: dict[bytes, bool] = {}
    cases = dict.fromkeys((word, word.lower(), word.upper(), word.title())) if not word.isascii() else {word: None}
    for case in cases:
        for encoding in ENCODINGS if not word.isascii() else ENCODINGS[:3]:
            try:
                form = case.encode(encoding).lower()
            except UnicodeEncodeError:
                continue
            if encoding.startswith("iso2022"):
                form = form.removesuffix(b"\x1b(b")
            letters = len(word) if encoding.startswith("utf-16") and word.isascii() else len(form)
            if len(form) >= _SHORT:
                found.setdefault(form, letters >= SHORTEST_IN_PIXELS)
    return found


class Search:
    """Finds any of many values in bytes: tables of hashed blocks say where to look closer.

    Forms of eight bytes and more are found by the block of four that lies in them on a multiple of four, so that only
    every fourth place of the bytes is looked at; shorter ones by their first bytes, at every place.

    Args:
        words: values; letter case does not count.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._long: dict[int, list[tuple[bytes, str, bool]]] = {}
        self._short: dict[int, list[tuple[bytes, str]]] = {}
        self._longest = 0
        seen: set[bytes] = set()
        for word in words:
            for form, in_pixels in byte_forms(word.lower()).items():
                if form in seen:
                    continue
                seen.add(form)
                self._longest = max(self._longest, len(form))
                if len(form) >= _LONG:
                    self._long.setdefault(int.from_bytes(form[:_LONG], "little"), []).append((form, word, in_pixels))
                else:
                    self._short.setdefault(int.from_bytes(form[:_SHORT], "little"), []).append((form, word))
        blocks = {key >> 8 * at & 0xFFFFFFFF for key in self._long for at in range(4)}
        self._bits = min(24, max(16, (64 * len(blocks)).bit_length()))
        self._blocks = _table(np.fromiter(blocks, np.uint32, len(blocks)), _MULTIPLIER, self._bits)
        heads = np.fromiter(self._long, np.uint64, len(self._long))
        self._heads = _table(heads, _WIDE, 24)
        self._three = np.zeros(1 << 24, bool)
        self._keys = np.zeros(1 << 24, bool)
        if self._short:
            keys = np.fromiter(self._short, np.uint32, len(self._short))
            self._three[keys & 0xFFFFFF] = True
            self._keys[keys * _MULTIPLIER >> np.uint32(8)] = True

    def __call__(self, data: bytes, *, pixels: bool = False) -> Iterator[tuple[int, str]]:
        """Offsets and values of all that stand in some bytes as whole words; letter case of ASCII does not count.

        Args:
            data: any bytes.
            pixels: whether they are those of a picture, where only values count that no picture spells by chance.
        """
        margin = self._longest + _CONTEXT
        for start in range(0, len(data), _STEP):  # in pieces, so that copies and index arrays stay small
            before = min(start, _CONTEXT) & ~3
            lower = data[start - before : start + _STEP + margin].lower()
            for at, form, word in sorted(self._part(lower, pixels)):
                inside = before <= at < before + _STEP
                if inside and is_whole(lower, at, at + len(form), form):
                    yield start - before + at, word

    def _part(self, lower: bytes, pixels: bool) -> Iterator[tuple[int, bytes, str]]:
        if self._long and len(lower) >= _LONG:
            for at in self._places(lower):
                for form, word, in_pixels in self._long[int.from_bytes(lower[at : at + _LONG], "little")]:
                    if (in_pixels or not pixels) and lower.startswith(form, at):
                        yield at, form, word
        if self._short and not pixels and len(lower) >= _SHORT:
            yield from self._of_short(lower)

    def _places(self, lower: bytes) -> list[int]:
        """Where the first eight bytes of a long form stand."""
        whole = len(lower) & ~3
        blocks = np.frombuffer(lower, "<u4", whole // 4)
        hit = np.flatnonzero(self._blocks[blocks * _MULTIPLIER >> np.uint32(32 - self._bits)]) * 4
        if not len(hit):
            return []
        wide = np.ndarray((len(lower) - _LONG + 1,), "<u8", lower, strides=(1,))
        starts = np.concatenate([hit - back for back in range(4)])
        starts = starts[(starts >= 0) & (starts < len(wide))]
        heads = wide[starts]
        starts = starts[self._heads[heads * _WIDE >> np.uint64(40)]]
        return sorted({at for at in starts.tolist() if int.from_bytes(lower[at : at + _LONG], "little") in self._long})

    def _of_short(self, lower: bytes) -> Iterator[tuple[int, bytes, str]]:
        part = np.frombuffer(lower, np.uint8).astype(np.uint32)
        count = len(part) - _SHORT + 1
        three = part[:count] | part[1 : count + 1] << 8 | part[2 : count + 2] << 16
        places = np.flatnonzero(self._three[three])
        keys = three[places] | part[places + 3] << 24
        near = self._keys[keys * _MULTIPLIER >> np.uint32(8)]
        for at, key in zip(places[near].tolist(), keys[near].tolist(), strict=True):
            for form, word in self._short.get(key, ()):
                if lower.startswith(form, at):
                    yield at, form, word


def _table(
    keys: NDArray[np.uint32] | NDArray[np.uint64], factor: np.uint32 | np.uint64, bits: int
) -> NDArray[np.bool_]:
    """Which upper bits of the product with a factor there are."""
    table = np.zeros(1 << bits, bool)
    table[keys * factor >> type(factor)(8 * keys.itemsize - bits)] = True
    return table


def is_whole(data: bytes, start: int, stop: int, form: bytes) -> bool:
    """Whether a hit is not part of a longer word or number; long hits count in any case, unless they are numbers."""
    before, after = data[start - 1 : start] if start else b"", data[stop : stop + 1]
    if form[:1].isdigit() and form[-1:].isdigit():
        if (before.isdigit() or before == b".") or after.isdigit():
            return False
        return not (after == b"." and data[stop + 1 : stop + 2].isdigit())
    if not (before.isalnum() or after.isalnum()):
        return True
    if len(form) < SHORTEST_IN_PIXELS:
        return False
    most = _CONTEXT
    while start and most and data[start - 1 : start].isalnum():  # "anonymou" within "anonymous" is no secret
        start, most = start - 1, most - 1
    while most and data[stop : stop + 1].isalnum():
        stop, most = stop + 1, most - 1
    return not values.is_ordinary(data[start:stop].decode("latin-1"))
