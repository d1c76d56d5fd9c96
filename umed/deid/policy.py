# SPDX-License-Identifier: Apache-2.0
"""One decision for each attribute under a profile: the table first, then rules for whatever the table does not list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydicom._dicom_dict import DicomDictionary

from umed.deid.profile import Profile
from umed.deid.table import CLASSIC, AttributeRow, resolve, rows
from umed.deid.values import TEXT_VRS

Act = Literal["X", "Z", "D", "U", "C", "K", "text", "code", "number", "binary", "sequence"]
"""The letters of PS3.15, and for attributes that it leaves alone: how their values are looked after.

``K`` listed and kept by an option, ``text`` kept but scrubbed, ``code`` likewise for CS, ``number`` DS and IS that must
be numbers, ``binary`` anything that holds no text, ``sequence`` gone through item by item.
"""

BINARY_VRS = frozenset(("AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"))
NUMBER_VRS = frozenset(("DS", "IS"))

# Codes in these say how pixels are to be understood, or where they lie; a patient called Rgb must not change them.
ESSENTIAL_GROUP = 0x0028
ESSENTIAL = frozenset(
    (0x00080005, 0x00080060, 0x00185100, 0x00541000, 0x00541001, 0x00541102, 0x00620001, 0x00620008, 0x00620010,
     0x30060042, 0x300600A4, 0x30040002, 0x30040004, 0x3004000A)
)  # fmt: skip
# Codes of one or two letters, which a patient called Al or Pr must not change: orientation, laterality, view.
SHORT_CODES = frozenset((0x00200020, 0x00200060, 0x00200062, 0x00185100, 0x00185101))
UNITS = frozenset((0x00281054, 0x00283004))
"""RescaleType and ModalityLUTType, text that says HU whatever the patient is called."""
# Where pixels and contours lie: with another number they would lie elsewhere, so such a file is not released at all.
PLACES = frozenset((0x00180050, 0x00180088, 0x00200032, 0x00200037, 0x30060050))
PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020
WHO = frozenset((PATIENT_NAME, PATIENT_ID))


@dataclass(frozen=True)
class Decision:
    """What happens to one attribute.

    Args:
        acts: at the top of a classic single-frame image, at the top of anything else, in an item of a sequence.
        vrs: VRs that the standard gives it; empty when it does not know the tag.
        keyword: its keyword, or empty.
        listed: whether Table E.1-1 lists it.
        essential: whether it says how pixels are to be understood.
        most: how many values it may have; 0 for any number.
        required: whether some object must have a value in it, so that cleaning must leave one.
    """

    acts: tuple[Act, Act, Act]
    vrs: frozenset[str]
    keyword: str
    listed: bool
    essential: bool
    most: int = 0
    required: bool = False

    @cached_property
    def vr(self) -> str:
        """Its VR where the standard gives it just one, else empty."""
        return min(self.vrs) if len(self.vrs) == 1 else ""

    @cached_property
    def bulk(self) -> bool:
        """Whether it may hold plain bytes or words, as pixels and lookup tables do."""
        return any(vr.startswith("O") for vr in self.vrs)


class Policy(dict[int, Decision]):
    """Decisions of a profile by tag, each made when it is first asked for."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __missing__(self, tag: int) -> Decision:
        self[tag] = decision = _decide(tag, self.profile)
        return decision


def place(sop_class: str) -> Literal[0, 1]:
    """Which of the two top-level columns of :attr:`Decision.acts` a SOP class uses."""
    return 0 if sop_class in CLASSIC else 1


def _decide(tag: int, profile: Profile) -> Decision:
    entry = DicomDictionary.get(tag)
    vrs = frozenset(entry[0].split(" or ")) if entry else frozenset()
    keyword = entry[4] if entry else ""
    last = entry[1].rpartition("-")[2] if entry else ""
    most = int(last) if last.isdigit() else 0
    row = rows().get(tag)
    group = tag >> 16
    essential = group == ESSENTIAL_GROUP or tag in ESSENTIAL
    # Group lengths are wrong afterwards; 0000 and 0004 belong to the network and to DICOMDIR, 0400 to signatures over
    # originals (and encrypted originals); curves and overlays may hold drawn text (Table E.1-1, 50xx and 60xx).
    barred = tag & 0xFFFF == 0 or group <= 0x0004 or group == 0x0400 or group & 0xFF00 in (0x5000, 0x6000)
    if row is not None and not barred and tag not in profile.remove:
        required = "D" in row.basic or "1" in row.types
        return Decision(_listed(row, profile), vrs, keyword, True, essential, most, required)
    act = "X" if barred or tag in profile.remove else _unlisted(tag, vrs, profile)
    return Decision((act, act, act), vrs, keyword, row is not None, essential, most)


def _listed(row: AttributeRow, profile: Profile) -> tuple[Act, Act, Act]:
    # Of several options the more careful one decides: cleaned rather than kept.
    asked = {row.options[name] for name in profile.options if name in row.options}
    for letter in ("C", "K"):
        if letter in asked:
            act: Act = "C" if letter == "C" else ("U" if row.basic == "U" else "K")
            return act, act, act
    classic, other, nested = (resolve(row.basic, kind) for kind in row.types)
    return classic, other, nested  # type: ignore[return-value]  # the table holds only these letters


def _unlisted(tag: int, vrs: frozenset[str], profile: Profile) -> Act:
    if not vrs or "UN" in vrs:
        return "X"  # nobody knows what it holds
    if "SQ" in vrs:
        return "sequence"
    if "UI" in vrs:
        return "U"
    if vrs <= BINARY_VRS:
        return "binary"
    if vrs <= NUMBER_VRS:
        return "number"
    if vrs == {"CS"}:
        return "code"
    if vrs & TEXT_VRS:
        return "text" if tag in profile.technique else "C"
    return "X"  # names, dates, times, ages, addresses that the table forgot
