# SPDX-License-Identifier: Apache-2.0
"""The action table of PS3.15 Annex E (Table E.1-1), read once from the file beside this module."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

FILE = "ps3.15_e1-1.csv"

_CODES = {  # PS3.16 CID 7050: code and meaning; the first is the profile itself
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean_pixel_data": ("113101", "Clean Pixel Data Option"),
    "clean_graphics": ("113103", "Clean Graphics Option"),
    "clean_structured_content": ("113104", "Clean Structured Content Option"),
    "clean_descriptors": ("113105", "Clean Descriptors Option"),
    "retain_long_full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "retain_long_modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "retain_patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain_device_identity": ("113109", "Retain Device Identity Option"),
    "retain_uids": ("113110", "Retain UIDs Option"),
    "retain_safe_private": ("113111", "Retain Safe Private Option"),
    "retain_institution_identity": ("113112", "Retain Institution Identity Option"),
}
OPTIONS: Mapping[str, str] = {name: code for name, (code, _) in _CODES.items()}
MEANINGS: Mapping[str, str] = {name: meaning for name, (_, meaning) in _CODES.items()}

# Top-level requirements of these are those of ``type_classic``: CR, DX, CT, US, MR, NM, SC, XA, RF (PS3.3 A).
CLASSIC = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("1", "1.1", "1.1.1", "2", "3.1", "4", "6.1", "7", "12.1", "12.2", "20")
)


@dataclass(frozen=True)
class AttributeRow:
    """One attribute of the table.

    Args:
        tag: ``0xggggeeee``; the repeating groups are asked for by their base, 0x5000 and 0x6000.
        basic: action of the basic profile: ``X``, ``Z``, ``D``, ``U``, or a combined one such as ``X/Z/D``.
        types: strictest type in PS3.3 (``"1"``, ``"2"``, ``"3"`` or ``""``) for classic, other, nested places.
        options: action by option name.
    """

    tag: int
    keyword: str
    basic: str
    types: tuple[str, str, str]
    options: Mapping[str, str]


@cache
def edition() -> str:
    """The line that says which edition of the standard the table is."""
    with resources.files("umed.deid").joinpath(FILE).open(encoding="ascii") as file:
        return file.readline().lstrip("# ").strip()


@cache
def rows() -> Mapping[int, AttributeRow]:
    """All attributes with a tag of their own; private ones, curves and overlays are rules of the engine.

    >>> rows()[0x00100010].basic, rows()[0x00080018].basic
    ('Z', 'U')
    """
    found: dict[int, AttributeRow] = {}
    with resources.files("umed.deid").joinpath(FILE).open(encoding="ascii") as file:
        file.readline()
        for record in csv.DictReader(file, delimiter=";"):
            text = record["tag"].strip("()").replace(",", "")
            if "x" in text or " " in text:
                continue
            tag = int(text, 16)
            types = (record["type_classic"], record["type_other"], record["type_nested"])
            options = {name: record[name] for name in OPTIONS if name != "basic" and record.get(name)}
            found[tag] = AttributeRow(tag, record["keyword"], record["basic"], types, options)
    return found


def resolve(action: str, kind: str) -> str:
    """One letter for a combined action, given how strongly the object needs the attribute (PS3.15 Table E.1-1a).

    Where the table says X or Z of something that PS3.3 requires there (PresentationCreationDate of a presentation
    state), an empty or dummy value says as little and keeps the object valid. ``kind`` is the type ``"1"``, ``"2"``,
    ``"3"``, or ``""`` when it is not known: then the letter is the one that is valid in any case.

    >>> resolve("X/Z/D", "3"), resolve("X/Z/D", "2"), resolve("X/D", "2"), resolve("X/Z", ""), resolve("X/Z/U*", "1")
    ('X', 'Z', 'D', 'Z', 'U')
    >>> resolve("X", ""), resolve("X", "1"), resolve("Z", "1")
    ('X', 'D', 'D')
    """
    letters = action.split("/")
    if action in ("X", "Z"):
        return {"1": "D", "2": "Z"}.get(kind, action)
    if len(letters) == 1:
        return action
    if letters[-1] == "U*":
        return "U"
    if kind == "3":
        return letters[0]
    if kind == "2" and "Z" in letters:
        return "Z"
    return letters[-1]
