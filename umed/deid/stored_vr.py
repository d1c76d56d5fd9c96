# SPDX-License-Identifier: Apache-2.0
"""Values stored with a VR that the attribute cannot have: read as the right one where they fit it, else removed."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.elements import BINARY_NUMBERS, element, is_number, strings
from umed.deid.policy import BINARY_VRS, NUMBER_VRS, Decision

_TEXTS = values.TEXT_VRS | {"CS", "PN", "AE", "UI", "DA", "DT", "TM", "AS", "UR"} | NUMBER_VRS
_UID = re.compile(r"[0-9][0-9.]{1,63}\Z", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,10}\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,16}(?:\.\d{0,16})?(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_GRAMMAR: Mapping[str, Callable[[str], object]] = {
    "UI": _UID.match,
    "DA": lambda text: values.move_date(text, 0),
    "DT": lambda text: values.move_datetime(text, 0),
    "TM": values.is_time,
    "AS": values.cap_age,
    "DS": lambda text: len(text) <= 16 and _DECIMAL.match(text),
    "IS": _INTEGER.match,
    **dict.fromkeys(values.TEXT_VRS | {"CS", "PN"}, lambda text: True),  # cleaned as text
    **dict.fromkeys(("SL", "SS", "UL", "US"), _INTEGER.match),
    **dict.fromkeys(("FD", "FL"), _DECIMAL.match),
}


def settle_vr(dataset: Dataset, tag: int, stored: DataElement | RawDataElement, decision: Decision) -> bool:
    """Give an attribute the VR that DICOM gives it, if its values are of that VR.

    Returns:
        False when they are not, so that nobody can tell what they are.
    """
    vr = stored.VR
    if vr is None or vr == "UN" or " or " in vr or not decision.vrs or vr in decision.vrs:
        return True
    for alike in (values.TEXT_VRS, BINARY_VRS, NUMBER_VRS):
        if vr in alike and decision.vrs & alike:
            return vr != "IS" and vr != "DS" or is_number(stored, vr)
    wanted = decision.vr or ("US" if decision.vrs == {"US", "SS"} else "")
    grammar = _GRAMMAR.get(wanted)
    if grammar is None or vr == "SQ" or vr.startswith("O") or (vr in BINARY_VRS and wanted not in NUMBER_VRS):
        return False
    if vr in BINARY_VRS:
        dataset[tag]  # pydicom reads the numbers
    elif isinstance(stored, RawDataElement) and (wanted == "PN" or wanted in values.TEXT_VRS):
        dataset[tag] = stored._replace(VR=wanted)  # in the character set of the file, which the VR that it had has not
    found = [one.strip(values.BLANKS) for one in strings(dataset, tag)]
    if vr not in _TEXTS | BINARY_VRS or not all(not one or grammar(one) for one in found):
        return False
    if decision.most and len(found) > decision.most:
        return False
    if wanted in BINARY_VRS and not all(found):
        return False
    number = float if wanted in ("FD", "FL") else int
    new: list[Any] = [number(one) for one in found] if wanted in BINARY_VRS else list(found)
    if wanted in BINARY_VRS and not _fit(new, wanted):
        return False
    dataset[tag] = element(tag, wanted, new if len(new) > 1 else new[0] if new else None)
    return True


def _fit(numbers: list[Any], vr: str) -> bool:
    """Whether a binary VR can hold numbers."""
    try:
        struct.pack(f"={len(numbers)}{BINARY_NUMBERS[vr]}", *numbers)
    except (struct.error, OverflowError):
        return False
    return all(map(math.isfinite, numbers))
