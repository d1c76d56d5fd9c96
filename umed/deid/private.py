# SPDX-License-Identifier: Apache-2.0
"""Private attributes: all go, but for those that a profile lists as safe and that hold what the list says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from umed.deid.elements import are_numbers
from umed.dicom.held import held

_CREATOR_LIMIT = 64
_CODE = re.compile(rb"[A-Z0-9_ \\\0]{0,128}\Z")
_SIZES = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2}


def safe_tags(dataset: Dataset, listed: Mapping[tuple[str, int, int], str]) -> dict[int, str]:
    """Private tags of one data set (not of its items) that may stay, with their VRs; creators of those are included.

    A value stays only when its bytes are what the VR promises: the tag alone proves nothing. Nothing is decoded.
    ``listed`` gives the VR by ``(creator, group, low byte of the element)``.
    """
    if not listed:
        return {}
    kept: dict[int, str] = {}
    for tag in list(dataset.keys()):
        group, element = tag >> 16, tag & 0xFFFF
        if not group & 1 or element < 0x1000:
            continue
        block = (group << 16) | (element >> 8)
        creator = _creator(dataset, block)
        vr = listed.get((creator, group, element & 0xFF)) if creator else None
        if vr is not None and _fits(dataset, tag, vr):
            kept[int(tag)] = vr
            kept[block] = "LO"
    return kept


def _creator(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    value: Any = getattr(held(dataset, tag), "value", None)
    if isinstance(value, bytes):
        value = value[: _CREATOR_LIMIT + 1].decode("latin-1")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _fits(dataset: Dataset, tag: int, vr: str) -> bool:
    element: Any = held(dataset, tag)
    if element.VR not in (None, "UN", vr):
        return False
    value = element.value
    if not isinstance(value, bytes):
        # already converted (or made by a program): pydicom holds numbers as numbers
        values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
        if vr in ("CS", "SH"):
            return all(isinstance(one, str) and _CODE.match(one.encode("utf-8")) is not None for one in values)
        return all(isinstance(one, int | float) or are_numbers(str(one)) for one in values)
    if vr in _SIZES:
        return len(value) <= 16 * _SIZES[vr] and len(value) % _SIZES[vr] == 0
    return len(value) <= 256 and (are_numbers(value) if vr in ("DS", "IS") else _CODE.match(value) is not None)
