# SPDX-License-Identifier: Apache-2.0
"""A search for what must be gone that shares no code with umed: small, slow, and in a normal form of its own."""

from __future__ import annotations

import io
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

CODECS = ("utf-8", "latin-1", *(f"iso8859_{part}" for part in range(2, 10)), "iso8859_11", "shift_jis", "euc_jp",
          "euc_kr", "gb18030", "utf-16-le", "utf-16-be")  # fmt: skip
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "oe", "å": "aa", "ł": "l", "đ": "d", "ð": "d"})
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue"}
_NUMBERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"))
_FEW = 6  # letters of a word that counts within other words


def plain(text: str, umlauts: bool = False) -> str:
    """Letters and digits without case, width, accents and separators; ``umlauts`` as two letters, else as one."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_LETTERS)
    if umlauts:
        folded = "".join(_UMLAUTS.get(one, one) for one in folded)
    kept = []
    for one in unicodedata.normalize("NFKD", folded):
        kind = unicodedata.category(one)
        kept.append(str(unicodedata.decimal(one)) if kind == "Nd" else one if kind[0] == "L" else "")
    return "".join(kept)


def dates(day: date) -> set[str]:
    """Digits of the orders that a day is written in, eight and six of them."""
    return {day.strftime(form) for form in ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%y%m%d", "%d%m%y", "%m%d%y")}


def texts(dataset: Dataset, sets: Iterable[str] = ("ISO_IR 6",)) -> Iterator[tuple[str, str]]:
    """Tag and text of every value at every depth but pixels and UIDs, decoded; numbers as they are written."""
    own = dataset.get("SpecificCharacterSet") or ()
    sets = [own] if isinstance(own, str) and own else list(own) or list(sets)
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        name, vr = f"({int(tag) >> 16:04X},{int(tag) & 0xFFFF:04X})", raw.VR
        if int(tag) == 0x7FE00010:
            continue
        if vr == "SQ" or (vr is None and dataset[tag].VR == "SQ"):
            for item in dataset[tag].value or ():
                yield from texts(item, sets)
            continue
        value = raw.value
        if not isinstance(raw, RawDataElement):
            value = dataset[tag].value
        if vr == "UI" or value is None:
            continue
        if vr in _NUMBERS:
            shown = dataset[tag].value
            yield from ((name, f"{one:.0f}" if isinstance(one, float) else str(one)) for one in _listed(shown))
        elif isinstance(value, bytes):
            yield from ((name, one) for one in {*_readings(value), decode_bytes(value, _known(sets), set("\\^="))})
        else:
            yield from ((name, str(one)) for one in _listed(value))


def _known(sets: list[str]) -> list[str]:
    return convert_encodings(sets or ["ISO_IR 6"])


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value]


def _readings(value: bytes) -> Iterator[str]:
    for codec in CODECS if not value.isascii() or 0 in value[:-1] else ("ascii",):
        yield value.decode(codec, "ignore")


def survivors(file: Path | bytes, *, words: Iterable[str] = (), numbers: Iterable[str] = ()) -> set[tuple[str, str]]:
    """What is left in a written file, as (where, what).

    Args:
        file: a DICOM file, or its bytes.
        words: names and the like; of six letters and more within anything, shorter ones as a whole word.
        numbers: digits without leading zeros; of six and more within any run of digits and separators.
    """
    data = file if isinstance(file, bytes) else file.read_bytes()
    found = set()
    forms = {(plain(word, two), word) for word in words for two in (False, True)}
    digits = {number.lstrip("0") for number in numbers}
    for name, text in texts(pydicom.dcmread(io.BytesIO(data))):
        parts = {plain(part, two) for two in (False, True) for part in _words(text)}
        whole = {plain(text, two) for two in (False, True)}
        joined = "".join(one if one.isdigit() else "" if not one.isalpha() else " " for one in plain_digits(text))
        for form, word in forms:
            within = len(form) >= _FEW or not form.isascii()
            if (within and any(form in one for one in whole)) or form in parts:
                found.add((name, word))
        found |= {(name, one) for one in digits if one in joined}
    lower = data.lower()
    for word in words:
        for codec in CODECS:
            for one in (word, word.upper()):
                raw = one.encode(codec, "ignore").lower()
                if len(raw) >= 8 and raw in lower:
                    found.add((f"bytes as {codec}", word))
    found |= {("bytes", one) for one in digits if len(one) >= 8 and _alone(lower, one.encode())}
    for one in digits:  # a number as a binary one, wherever such are stored
        if len(one) in (8, 9) and any(struct.pack(kind, int(one)) in lower for kind in ("<d",)):
            found.add(("bytes as double", one))
    return found


def plain_digits(text: str) -> str:
    """The text with digits of every script as ASCII."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(one)) if unicodedata.category(one) == "Nd" else one for one in folded)


def _words(text: str) -> list[str]:
    return "".join(one if unicodedata.category(one)[0] in "LM" else " " for one in text).split()


def _alone(data: bytes, digits: bytes) -> bool:
    """Whether digits stand in bytes, and not within those of a UID."""
    at = data.find(digits)
    while at >= 0:
        if not data[max(0, at - 1) : at].isdigit() and not data[at + len(digits) : at + len(digits) + 1].isdigit():
            return True
        at = data.find(digits, at + 1)
    return False
