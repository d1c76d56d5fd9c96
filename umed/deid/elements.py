# SPDX-License-Identifier: Apache-2.0
"""Reading and making data elements without converting more than is needed: most of a header is never looked at."""

from __future__ import annotations

import re
import struct
from typing import Any

from pydicom import charset
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from umed.deid import values
from umed.deid.policy import BINARY_VRS, NUMBER_VRS
from umed.dicom.held import has, held

CHARACTER_SET = 0x00080005
charset.python_encoding.setdefault("ISO_IR 203", "iso8859_15")  # Latin-9 (PS3.3 C.12.1.1.2), which pydicom 3.0 lacks
charset.python_encoding.setdefault("ISO 2022 IR 203", "iso8859_15")
# A number as DS and IS write it, and nothing that only looks like one, such as a UID (PS3.5 6.2).
NUMBER = re.compile(rb" {0,16}(?:[-+]?(?:\d{1,32}(?:\.\d{0,32})?|\.\d{1,32})(?:[eE][-+]?\d{1,8})?)?[ \0]{0,16}\Z")
_ESCAPE = re.compile(r"\x1b[$(),\-./]{1,2}[0-~]")  # of ISO 2022; pydicom leaves some of them in the text
_AS_THEY_ARE = frozenset(("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM"))
INTEGERS = {"SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
BINARY_NUMBERS = {**INTEGERS, "FD": "d", "FL": "f"}
"""VRs of binary numbers, and how :mod:`struct` calls them."""


def element(tag: int, vr: str, value: Any) -> DataElement:
    """A data element as it is, without pydicom's warnings."""
    # what pydicom would take as it is need not go through its conversions
    plain = type(value) is str and vr in _AS_THEY_ARE and "\\" not in value
    return DataElement(tag, vr, value, validation_mode=IGNORE, already_converted=plain)


def dummy_code() -> Dataset:
    """Item of a code sequence that says nothing."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "REMOVED", "99UMED", "Removed"
    return code


def strings(dataset: Dataset, tag: int) -> list[str]:
    """Values of an attribute as text, decoded; a value that was left in the file counts as none."""
    stored: Any = held(dataset, tag)
    if isinstance(stored, RawDataElement):
        raw = stored.value
        if not raw:
            return []
        if raw.isascii() and b"\x1b" not in raw:
            text = raw.decode("ascii")
            whole = stored.VR in ("LT", "ST", "UR", "UT")
            return [one.rstrip("\0 ") for one in ([text] if whole else text.split("\\"))]
    found = dataset[tag]
    value: Any = found.value
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    if value is None or isinstance(value, Sequence):
        return []
    single = isinstance(value, str) or not hasattr(value, "__iter__") or hasattr(value, "family_name")
    texts = [str(value)] if single else [str(one) for one in value]
    in_sets = found.VR == "PN" or found.VR in values.TEXT_VRS  # an escape in a code string is no part of a code
    return [_ESCAPE.sub("", one) for one in texts] if in_sets else texts


def text_of(dataset: Dataset, tag: int) -> str:
    """Value of an attribute as one text, empty when it is absent or cannot be decoded."""
    try:
        return "\\".join(strings(dataset, tag)).strip(values.BLANKS) if has(dataset, tag) else ""
    except Exception:  # undecodable: as good as absent
        return ""


def is_number(stored: DataElement | RawDataElement, vr: str) -> bool:
    """Whether a kept number is stored as one, so that no text hides in it."""
    if vr in NUMBER_VRS:
        value = stored.value
        return not isinstance(value, bytes | str) or are_numbers(value)
    return vr in BINARY_VRS and not is_text_in_disguise(stored, vr)


def are_numbers(value: bytes | str) -> bool:
    r"""Whether a value is numbers as DS and IS write them, none included.

    >>> are_numbers(b"1.5\\-2e3 "), are_numbers("1.2.840"), are_numbers("7 Doe")
    (True, False, False)
    """
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
    return all(NUMBER.match(one) is not None for one in raw.split(b"\\"))


def binary_numbers(dataset: Dataset, tag: int, vr: str) -> list[int | float]:
    """Values of an attribute of a binary VR; empty where they are no whole numbers of bytes."""
    stored: Any = held(dataset, tag)
    value: Any = stored.value
    if isinstance(value, bytes):
        kind = BINARY_NUMBERS[vr]
        size = struct.calcsize(f"={kind}")
        order = "<" if getattr(stored, "is_little_endian", True) else ">"
        return list(struct.unpack(f"{order}{len(value) // size}{kind}", value[: len(value) // size * size]))
    if value is None or isinstance(value, str):
        return []
    return list(value) if hasattr(value, "__iter__") else [value]


def is_text_in_disguise(stored: DataElement | RawDataElement, vr: str | None) -> bool:
    """Whether an attribute that should hold binary numbers is stored as plain bytes, and these are text."""
    value = stored.value
    if not isinstance(value, bytes) or not (vr is None or vr == "UN" or vr.startswith("O")):
        return False
    bare = value.strip(b"\0 ")
    return len(bare) > 4 and bare.isascii() and bare.decode("ascii").isprintable()


def check_character_set(dataset: Dataset) -> None:
    """Drop names of character sets that no reader knows, so that what stays can be decoded (PS3.3 C.12.1.1.2)."""
    try:
        names = strings(dataset, CHARACTER_SET)
        if all(not name.strip() or name.strip() in charset.python_encoding for name in names):
            return
    except Exception:  # not even text
        names = []
    dataset[CHARACTER_SET] = element(CHARACTER_SET, "CS", "ISO_IR 192" if names else "")
