# SPDX-License-Identifier: Apache-2.0
"""What no output may hold, whatever its originals were, and the attributes of a data set as the check sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.dates_in_text import DateHit, dates_in
from umed.deid.elements import strings
from umed.deid.engine import CODE_SYSTEM, CODING_SCHEME_UID
from umed.deid.keys import is_standard_uid
from umed.deid.private import safe_tags
from umed.deid.table import OPTIONS, rows

DERIVATION_DESCRIPTION = 0x00082111
DATE_OPTIONS = frozenset(("retain_long_full_dates", "retain_long_modified_dates"))
MANY_NUMBERS = 4096
"""Values of one attribute of numbers from which on they are data, such as a lookup table."""
_FIRST_YEAR, _LAST_YEAR = 1880, 2100
_PSEUDONYM = re.compile(r"UM[A-Z2-7]{14}\Z", re.ASCII)
_NAMES = {code: name for name, code in OPTIONS.items()}
_BYTES = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "UN", ""))


_ESCAPES = re.compile(rb"[\x1b%&]|\\[xu']|=[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Finding:
    """Something that should not be there; fit to be printed, since it quotes no more than two characters.

    Args:
        file: path below the output.
        tag: ``"(gggg,eeee)"``, ``"bytes"`` for places outside any attribute, or ``"name"`` for the file's own name.
        kind: what was found.
        hint: first two characters of the value and its length.
        source: keywords of the attributes of the originals that held it; empty where none is needed to know.
        why: why it is no coincidence; of a coincidence, why it is one.
    """

    file: str
    tag: str
    kind: str
    hint: str = ""
    source: str = ""
    why: str = ""


@dataclass(frozen=True)
class CheckedElement:
    """One attribute of an output.

    Args:
        tag: ``0xggggeeee``.
        vr: value representation.
        texts: values, decoded with the character set of the data set.
        raw: bytes as they are stored, where other readings of them may say more; else empty.
        safe: whether it is private and listed as safe.
    """

    tag: int
    vr: str
    texts: list[str]
    raw: bytes = field(default=b"", repr=False)
    safe: bool = False


def walk(dataset: Dataset, listed: Mapping[tuple[str, int, int], str]) -> Iterator[CheckedElement]:
    """All attributes at every depth.

    Args:
        dataset: what was read.
        listed: private attributes that are safe.
    """
    safe = safe_tags(dataset, listed)
    for tag in list(dataset.keys()):
        stored: Any = dataset.get_item(tag)
        raw = bytes(stored.value) if isinstance(stored, RawDataElement) and stored.value else b""
        try:
            element = dataset[tag]
            vr, value = str(element.VR), element.value
            texts = strings(dataset, int(tag)) if vr not in _BYTES and vr != "SQ" else []
        except Exception:  # what pydicom cannot make sense of is searched as bytes
            yield CheckedElement(int(tag), "UN", [], raw, int(tag) in safe)
            continue
        if vr == "SQ":
            for item in value:
                yield from walk(item, listed)
            if not int(tag) >> 16 & 1:
                continue
            raw = b""
        if not raw and isinstance(value, bytes):
            raw = value
        if len(texts) > MANY_NUMBERS and vr not in values.TEXT_VRS:
            texts = []
        is_plain = vr not in _BYTES and raw.isascii() and not _ESCAPES.search(raw)
        yield CheckedElement(int(tag), vr, texts, b"" if is_plain else raw, int(tag) in safe)


def options_of(dataset: Dataset) -> set[str]:
    """The options that a file states."""
    items = dataset.get("DeidentificationMethodCodeSequence", None) or ()
    names = {_NAMES.get(str(item.get("CodeValue", "")), "") for item in items} - {"", "basic"}
    said = str(dataset.get("LongitudinalTemporalInformationModified", ""))
    dates = {"UNMODIFIED": "retain_long_full_dates", "MODIFIED": "retain_long_modified_dates"}
    return names | ({dates[said]} if said in dates else set())


def kept_by(tag: int, options: set[str]) -> bool:
    """Whether an option keeps an attribute."""
    row = rows().get(tag)
    return row is not None and any(option in row.options for option in options)


def rules(name: str, dataset: Dataset, elements: list[CheckedElement], options: set[str]) -> Iterator[Finding]:
    """What no output may hold, whatever its originals were.

    Args:
        name: of the file, fit to be printed.
        dataset: its top level.
        elements: all of its attributes.
        options: that it states.
    """
    if str(dataset.get("PatientIdentityRemoved", "")) != "YES":
        yield Finding(name, "(0012,0062)", "PatientIdentityRemoved is not YES")
    for element in elements:
        tag, vr = element.tag, element.vr
        filled = [text for text in element.texts if text.strip(values.BLANKS)]
        if tag >> 16 & 1:
            if not element.safe:
                yield Finding(name, tag_name(tag), "private attribute")
        elif vr == "UI":
            for uid in filled:
                bare = uid.strip(values.BLANKS)
                known = is_standard_uid(bare) or bare.startswith("2.25.") or "retain_uids" in options
                if not known and not (tag == CODING_SCHEME_UID and CODE_SYSTEM.match(bare)):
                    yield Finding(name, tag_name(tag), "UID that is not keyed", hint(bare))
        elif vr == "PN":
            for text in filled:
                if not _PSEUDONYM.match(text) and text != values.DUMMY_TEXT:
                    yield Finding(name, tag_name(tag), "name", hint(text))
        elif vr in ("DA", "DT"):
            for text in filled:
                if not options & DATE_OPTIONS and text not in (values.DUMMIES["DA"], values.DUMMIES["DT"]):
                    if not kept_by(tag, options):
                        yield Finding(name, tag_name(tag), "date", hint(text))
        elif tag in rows() and vr in values.TEXT_VRS | {"AE", "UR"}:
            for text in filled:
                if text not in (values.DUMMY_TEXT, values.DUMMIES["UR"]) and not _PSEUDONYM.match(text):
                    ours = tag == DERIVATION_DESCRIPTION and text.startswith("umed ")
                    if not ours and not kept_by(tag, options) and not values.is_ordinary(text):
                        yield Finding(name, tag_name(tag), "attribute that is to be removed", hint(text))
        if vr in values.TEXT_VRS and kept_by(tag, options) and "retain_long_modified_dates" in options:
            for text in filled:  # a date beside moved ones tells by how many days they moved
                if not text.strip().isdigit() and any(_is_date(hit) for hit in dates_in(text)):
                    yield Finding(name, tag_name(tag), "date in text", hint(text))


def _is_date(hit: DateHit) -> bool:
    return hit.sure and any(_FIRST_YEAR <= year <= _LAST_YEAR for year, _, _ in hit.days)


def hint(text: str) -> str:
    """Two characters and a length."""
    return f"{text[:2]}… ({len(text)})"


def tag_name(tag: int) -> str:
    """A tag as people write it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
