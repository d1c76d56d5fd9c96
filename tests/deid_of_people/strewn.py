# SPDX-License-Identifier: Apache-2.0
"""Random data sets with a patient strewn in: any attribute, VR, depth, character set and spelling, and what is left.

    python -m tests.deid_of_people.strewn 5000

A data set follows from its number alone. Everybody and everything in it is invented.
"""

from __future__ import annotations

import io
import json
import logging
import random
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from tests.deid_of_people.own_search import dates, survivors
from tests.deid_of_people.strewn_patient import MONTHS, Patient, coded, planted, somebody
from tests.dicom_files import dataset
from umed.deid.engine import Deidentifier, Quarantine
from umed.deid.keys import DeidKey
from umed.deid.policy import Policy
from umed.deid.profile import load_profile, profile_names
from umed.dicom.pixels import writing

EVERYTHING = "longitudinal+clean_descriptors+device_identity+patient_characteristics+safe_private"
PROFILES = ("basic", "clean_descriptors", "longitudinal+clean_descriptors",
            "research" if "research" in profile_names() else EVERYTHING)  # fmt: skip
PLANTED, DEEPEST = 20, 5
TEXT = ("LO", "SH", "UT", "ST", "LT", "UC")
VRS = (*TEXT, "PN", "CS", "AE", "DS", "IS", "UI", "DA", "DT", "TM", "AS", "UR", "OB", "UN")
PACKED = {"UL": "<I", "SL": "<i", "FD": "<d", "UV": "<Q", "SV": "<q"}
BINARY = {*PACKED, "FL", "US", "SS", "AT", "OW", "OF", "OD", "OL", "OV"}
# What says what the file and its pixels are; another value there makes it another kind of file, which is put aside.
FIXED = {0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00280002, 0x00280004, 0x00280010, 0x00280011,
         0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00080060, 0x00083002}  # fmt: skip
TAGS = sorted(tag for tag, entry in DicomDictionary.items()
              if tag >> 16 >= 8 and tag & 0xFFFF and tag >> 16 not in (0x7FE0, 0xFFFE) and tag not in FIXED
              and entry[0] != "SQ")  # fmt: skip
SEQUENCES = sorted(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ" and tag >> 16 >= 8)
UNKNOWN = (0x00107777, 0x00189998, 0x00287FFE, 0x60021234, 0x50040010, 0x300A7776)
FRAMES = ("{}", "{}", "{}", "CT {} T1", "{}/2", "({})", "x7{}7", "for {}, supine", "_{}_", "2.5 mm {}", "\u200b{}")
ASCII_FRAMES = FRAMES[:-1]
KEY = DeidKey(bytes(range(32)))


def put(into: Dataset, tag: int, vr: str, value: bytes) -> None:
    """An element as a sloppy program writes it."""
    own = DicomDictionary[tag][0] if tag in DicomDictionary else vr
    step = 8 if {vr, *own.split(" or ")} & BINARY else 2  # pydicom writes whole numbers only
    value += (b"\0" if vr in ("OB", "UN", "UI") else b" ") * (-len(value) % step)
    into[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def plant(draw: random.Random, into: Dataset, tag: int, patient: Patient) -> None:
    """Something of the patient in an attribute, mostly with a VR that it may have."""
    _, text = planted(draw, patient)
    own = DicomDictionary[tag][0].split(" or ") if tag in DicomDictionary else [draw.choice(VRS)]
    vr = draw.choice(own) if draw.random() < 0.75 else draw.choice(VRS)
    if vr in PACKED:
        number = int(draw.choice([*patient.numbers, *(f"{day:%Y%m%d}" for day in patient.days)]))
        largest = {"UL": 2**32 - 1, "SL": 2**31 - 1}.get(vr, 2**60)
        return put(
            into, tag, vr, struct.pack(PACKED[vr], number if number <= largest else int(f"{patient.days[0]:%Y%m%d}"))
        )
    if vr in ("DS", "IS"):
        return put(
            into,
            tag,
            vr,
            draw.choice(
                [*patient.numbers, f"{patient.days[0]:%Y%m%d}", text.encode("ascii", "ignore").decode()]
            ).encode(),
        )
    if vr in ("DA", "DT"):
        return put(into, tag, vr, draw.choice([f"{draw.choice(patient.days):%Y%m%d}", text]).encode("ascii", "ignore"))
    if vr == "UI":
        return put(
            into,
            tag,
            vr,
            draw.choice([draw.choice(patient.uids), "1.2.840.10008." + patient.numbers[0], text]).encode(
                "ascii", "ignore"
            ),
        )
    framed = draw.choice(FRAMES if patient.sets == "ISO_IR 192" else ASCII_FRAMES).format(text)
    if vr == "CS" and draw.random() < 0.8:
        framed = framed.upper()
    raw = coded(framed, patient.sets)
    if vr in TEXT and draw.random() < 0.1:
        raw += b"\\" + coded(planted(draw, patient)[1], patient.sets)
    return put(into, tag, vr, raw)


def body(draw: random.Random, number: int, patient: Patient, ds: Dataset, moving: list[int]) -> None:
    """Plant everywhere: attributes in turn, so that all of the dictionary has its turn, at depths of 0 to 5."""
    levels: list[tuple[tuple[int, ...], Dataset]] = [((), ds)]
    for _ in range(DEEPEST):
        if draw.random() < 0.75:
            path, at = levels[-1] if draw.random() < 0.8 else draw.choice(levels)
            tag = draw.choice(SEQUENCES)
            if tag in at or len(path) >= DEEPEST:
                continue
            item = Dataset()
            at.add_new(tag, "SQ", [item])
            levels.append(((*path, tag), item))
    for place in range(PLANTED):
        path, into = draw.choice(levels)
        tag = TAGS[(number * PLANTED + place) * 7919 % len(TAGS)]
        if draw.random() < 0.1:
            tag = draw.choice((*UNKNOWN, draw.randrange(4, 0x7FFE) * 2 + 1 << 16 | draw.randrange(0x1000, 0x10FF)))
            if tag >> 16 & 1:
                put(into, tag & 0xFFFF0000 | 0x10, "LO", b"SOMEBODY")
        if tag not in into:
            plant(draw, into, tag, patient)
    for tag in draw.sample(moving, 4):
        path, into = draw.choice(levels)
        if tag not in into:
            day = draw.choice(patient.days)
            put(
                into,
                tag,
                DicomDictionary[tag][0],
                f"{day:%Y%m%d}".encode() + b"101500" * (DicomDictionary[tag][0] == "DT"),
            )
            patient.moves.append((path, tag, f"{day:%Y%m%d}"))


def identified(patient: Patient, draw: random.Random) -> Iterator[tuple[int, str, bytes]]:
    """Where a patient is told by the attributes that are there for it."""
    family = "^".join(patient.names[:2])
    yield 0x00100010, "PN", coded(f"{family}={patient.second}" if patient.second else family, patient.sets)
    yield 0x00080090, "PN", coded("^".join(patient.names[2:]), patient.sets)
    prefixed = draw.choice(("", "00", "PAT", "A-"))
    yield 0x00100020, "LO", f"{prefixed}{patient.numbers[0]}".encode()
    for tag, vr, digits in zip(
        (0x00080050, 0x00102154, 0x00101000), ("SH", "SH", "LO"), patient.numbers[1:4], strict=True
    ):
        yield tag, vr, digits.encode()
    yield (
        0x00104000,
        "LT",
        f"seen before, no {patient.numbers[4]}, {draw.choice(('old', 'new'))} {patient.numbers[5]}".encode(),
    )
    yield 0x00080080, "LO", f"Klinik {patient.places[0]}".encode()
    yield 0x00081040, "LO", f"{patient.places[1]} ward".encode()
    for tag, day in zip((0x00100030, 0x00080020, 0x00080021, 0x00080022), patient.days, strict=True):
        yield tag, "DA", f"{day:%Y%m%d}".encode()


def case(number: int, profile: str) -> tuple[Patient, bytes, bytes]:
    """A patient, a file, and another file of the same patient that has some of the attributes that identify."""
    draw = random.Random(number)
    patient = somebody(draw)
    ds, other = dataset(), dataset(instance=2)
    for made in (ds, other):
        for tag in (0x00080050, 0x00100010, 0x00100020, 0x00100030, 0x00080020, 0x00080090, 0x00200010):
            if tag in made:
                del made[tag]
        if patient.sets:
            made.SpecificCharacterSet = patient.sets
        else:
            del made.SpecificCharacterSet
    if draw.random() < 0.05:  # some programs state another set than they write
        ds.SpecificCharacterSet = other.SpecificCharacterSet = draw.choice(("ISO_IR 100", "ISO_IR 192", "ISO_IR 144"))
    for tag, vr, raw in identified(patient, draw):
        if draw.random() < 0.75 or tag == 0x00100020:
            put(ds, tag, vr, raw)
        put(other, tag, vr, raw)
    body(draw, number, patient, ds, _moving(profile))
    ds.file_meta.SourceApplicationEntityTitle = patient.names[0][:16].upper()
    ds.preamble = patient.names[1].encode().ljust(128)
    return patient, write(ds, draw.random() < 0.3), write(other, False)


_MOVING: dict[str, list[int]] = {}


def _moving(profile: str) -> list[int]:
    """Attributes of days that a profile moves; of those that any moves where it moves none."""
    if profile not in _MOVING:
        policy = Policy(load_profile(profile if "longitudinal" in profile or profile == "research" else EVERYTHING))
        _MOVING[profile] = [
            tag for tag in TAGS if DicomDictionary[tag][0] in ("DA", "DT") and set(policy[tag].acts) == {"C"}
        ]
    return _MOVING[profile]


def write(ds: FileDataset, implicit: bool) -> bytes:
    """A whole file; unlike pydicom this looks at no value."""
    if implicit:
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta = DicomBytesIO()
    write_file_meta_info(meta, ds.file_meta, enforce_standard=True)
    return ds.preamble + b"DICM" + meta.getvalue() + _bytes(ds, implicit)


def _bytes(ds: Dataset, implicit: bool) -> bytes:
    made = []
    for tag in sorted(ds.keys()):
        stored = ds.get_item(tag)
        if isinstance(stored, RawDataElement):
            vr, value = stored.VR, stored.value
        elif stored.VR == "SQ":
            vr, items = "SQ", [_bytes(item, implicit) for item in stored.value]
            value = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        else:
            listed = stored.value if isinstance(stored.value, MultiValue) else [stored.value]
            vr, value = stored.VR, "\\".join(map(str, listed)).encode()
            value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        head = struct.pack("<HH", tag.group, tag.element)
        if implicit:
            head += struct.pack("<I", len(value))
        elif vr in EXPLICIT_VR_LENGTH_32:
            head += struct.pack("<2s2xI", vr.encode(), len(value))
        else:
            head += struct.pack("<2sH", vr.encode(), len(value))
        made.append(head + value)
    return b"".join(made)


@dataclass
class Found:
    """What came of one data set: what was left in it, dates that were moved wrongly, how many rightly."""

    left: set[tuple[str, str]]
    wrong: list[str]
    moved: int = 0
    aside: str = ""


def look(number: int, profile: str) -> Found:
    """De-identify one data set and search it."""
    patient, source, other = case(number, profile)
    engine = Deidentifier(KEY, load_profile(profile))
    for raw in (other, source):  # every header before the first file is written
        engine.remember(pydicom.dcmread(io.BytesIO(raw)), f"p{number}", "1.2.3")
    ds = pydicom.dcmread(io.BytesIO(source))
    try:
        engine(ds, f"p{number}", study="1.2.3")
    except Quarantine as reason:
        return Found(set(), [], aside=str(reason))
    data = b"".join(writing.chunks(ds))
    shift = KEY.shift(f"p{number}") if "longitudinal" in profile or profile == "research" else None
    moved = {day + timedelta(shift) for day in patient.days} if shift is not None else set()
    gone = {form for day in patient.days if day not in moved for form in dates(day) if len(form) == 8}
    gone -= {form for day in moved for form in dates(day)}
    spelled = {
        f"{day.day}{names[day.month - 1]}{day.year}" for day in patient.days if day not in moved for names in MONTHS
    }
    spelled -= {f"{day.day}{names[day.month - 1]}{day.year}" for day in moved for names in MONTHS}
    left = survivors(data, words=[*patient.words, *spelled], numbers=[*patient.numbers, *gone])
    left |= {("bytes", uid) for uid in (*patient.uids, *_uids(source)) if uid.encode() in data}
    if shift is None:
        return Found(left, [])
    return _dates(Found(left, []), patient, pydicom.dcmread(io.BytesIO(data)), shift)


def _uids(source: bytes) -> list[str]:
    ds = pydicom.dcmread(io.BytesIO(source))
    return [str(ds.SOPInstanceUID), str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID)]


def _dates(found: Found, patient: Patient, ds: Dataset, shift: int) -> Found:
    """Whether each date that stayed lies where the shift of the patient puts it."""
    for path, tag, day in patient.moves:
        at: Dataset | None = ds
        for step in path:
            at = at[step].value[0] if at is not None and step in at and len(at[step].value or ()) else None
        value = str(at[tag].value or "") if at is not None and tag in at else ""
        if not value or value.startswith("19000101"):
            continue
        wanted = f"{date(int(day[:4]), int(day[4:6]), int(day[6:])) + timedelta(shift):%Y%m%d}"
        found.moved += value[:8] == wanted
        found.wrong += [] if value[:8] == wanted else [f"({tag:08x}) {day} -> {value}, wanted {wanted}"]
    return found


class Silent:
    """Values here break every rule of their VRs; that pydicom says so each time would only take time."""

    def __enter__(self) -> None:
        self._modes = pydicom.config.settings._reading_validation_mode, pydicom.config.settings._writing_validation_mode
        pydicom.config.settings._reading_validation_mode = pydicom.config.IGNORE
        pydicom.config.settings._writing_validation_mode = pydicom.config.IGNORE
        self._long = pydicom.config.convert_wrong_length_to_UN
        pydicom.config.convert_wrong_length_to_UN = True
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        logging.getLogger("pydicom").disabled = True

    def __exit__(self, *_: object) -> None:
        pydicom.config.settings._reading_validation_mode, pydicom.config.settings._writing_validation_mode = self._modes
        pydicom.config.convert_wrong_length_to_UN = self._long
        self._warnings.__exit__(None, None, None)
        logging.getLogger("pydicom").disabled = False


def run(first: int, count: int, profiles: tuple[str, ...] = PROFILES) -> tuple[Counter[str], list[str]]:
    """Data sets by number, profiles in turn: counts, and a line for each thing that was left."""
    counts: Counter[str] = Counter()
    lines: list[str] = []
    with Silent():
        for number in range(first, first + count):
            profile = profiles[number % len(profiles)]
            found = look(number, profile)
            counts["data sets"] += 1
            counts["put aside"] += bool(found.aside)
            counts["dates moved rightly"] += found.moved
            counts["with survivors"] += bool(found.left)
            counts["dates moved wrongly"] += len(found.wrong)
            lines += [f"{number} {profile}: {where}: {what}" for where, what in sorted(found.left)]
            lines += [f"{number} {profile}: {one}" for one in found.wrong]
    return counts, lines


if __name__ == "__main__":
    start = time.perf_counter()
    total, problems = run(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1]))
    print("\n".join(problems))
    print(json.dumps({**total, "seconds": round(time.perf_counter() - start)}))
