# SPDX-License-Identifier: Apache-2.0
"""Row 8: a number that is an identifier without its zeros or prefix, or a date, is gone from attributes of numbers."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary

from tests.deid_of_people.own_search import dates, survivors
from tests.deid_of_people.text_release import EVERYTHING, anonymized, item, loose, picture, proven, stored
from umed.deid.policy import PLACES, Policy
from umed.deid.profile import load_profile

POLICY = Policy(load_profile(EVERYTHING))
GROUPS = {0x0028, 0x7FE0, 0x0002, 0x6000, 0x5000}
NUMBERS = [tag for tag, entry in DicomDictionary.items() if tag >> 16 not in GROUPS and entry[0] in ("IS", "DS")
           and POLICY[tag].acts[0] in ("number", "K", "C")
           and not POLICY[tag].essential and tag not in PLACES]  # fmt: skip
BINARIES = {vr: [tag for tag, entry in DicomDictionary.items() if tag >> 16 not in GROUPS and entry[0] == vr
                 and POLICY[tag].acts[0] in ("binary", "K") and not POLICY[tag].essential]
            for vr in ("UL", "SL", "FD", "FL")}  # fmt: skip
TYPES = {"UL": "<u4", "SL": "<i4", "FD": "<f8", "FL": "<f4"}


def numeric(number: int) -> list[str]:
    """A number as IS and DS may write it."""
    return [
        f"{number}",
        f"+{number}",
        f"-{number}",
        f"00{number}",
        f"{number}.0",
        f"{number}.",
        f"{number}E0",
        f" {number} ",
    ]


def _is(value: object, number: int) -> bool:
    """Whether a number is among values, exactly or as 32 bits hold it."""
    listed = np.ravel(np.asarray(value if value not in (None, "") else [], np.float64))
    return bool(np.isin(np.abs(listed), [number, float(np.float32(number))]).any())


@pytest.mark.parametrize(
    ("attribute", "value", "number"),
    [
        ("PatientID", "PAT-00483726", 483726),
        ("PatientID", "0048372", 48372),
        ("AccessionNumber", "ACC 4837261", 4837261),
        ("PatientTelephoneNumbers", "044 837 26 15", 448372615),
        ("PatientBirthDate", "19410503", 5031941),
        ("PatientBirthDate", "19410503", 19410503),
        ("StudyDate", "20230615", 150623),
        ("PatientName", "ZZ4837261^X", 4837261),
    ],
)
def test_no_number_stays(tmp_path, attribute: str, value: str, number: int) -> None:
    profile = "basic" if number % 2 else EVERYTHING
    ds = picture(**{attribute: value})
    for place, tag in enumerate(NUMBERS):
        forms = numeric(number)
        stored(ds, tag, DicomDictionary[tag][0], forms[place % len(forms)].encode())
    for vr, tags in BINARIES.items():
        for place, tag in enumerate(tags):
            raw = np.array([number, -number][place % 2 if vr != "UL" else 0], TYPES[vr]).tobytes()
            stored(ds, tag, vr, raw)
    ds.ReferencedSeriesSequence = [item(SeriesNumber=number, AcquisitionNumber=f"{number:010d}")]
    assert len(NUMBERS) > 300 and all(map(len, BINARIES.values()))
    path = proven(tmp_path, ds, profile, "--accept-burned-in")
    found, kept = pydicom.dcmread(path), {*NUMBERS, *(tag for tags in BINARIES.values() for tag in tags)}
    left = {str(one.tag) for one in found if int(one.tag) in kept and _is(one.value, number)}
    assert left == set()
    assert survivors(path, numbers=[str(number)]) == set()


@pytest.mark.parametrize("where", ["SeriesNumber", "AcquisitionNumber", "InstanceNumber", "EchoNumbers"])
@pytest.mark.parametrize("written", sorted(dates(date(1941, 5, 3))))
def test_a_birth_date_as_a_number(tmp_path, where: str, written: str) -> None:
    ds = picture(PatientBirthDate="19410503")
    setattr(ds, where, int(written))
    assert pydicom.dcmread(proven(tmp_path, ds))[where].value == 0


@pytest.mark.parametrize("where", ["ImagePositionPatient", "SliceThickness"])
def test_a_coordinate_that_is_an_identifier_puts_the_file_aside(tmp_path, where: str) -> None:
    ds = picture(PatientID="PAT-00483726")
    loose(ds, pydicom.datadict.tag_for_keyword(where), "DS", ["483726", "0", "0"] if where[0] == "I" else "483726")
    code, files = anonymized(tmp_path, ds)
    [entry] = json.loads((tmp_path / "out-private" / "quarantine.json").read_text())["files"]
    assert code == 1 and files == []
    assert entry["category"] == "profile" and "coordinate repeats an identifier" in entry["reason"]
    assert "483726" not in entry["reason"]


def test_other_numbers_stay(tmp_path) -> None:
    kept = {
        "SeriesNumber": 4837,
        "AcquisitionNumber": 48372,
        "SliceThickness": 2.5,
        "KVP": 120,
        "RepetitionTime": 483.7,
    }
    found = pydicom.dcmread(proven(tmp_path, picture(PatientID="PAT-00483726", **kept)))
    assert {keyword: float(found[keyword].value) for keyword in kept} == {k: float(v) for k, v in kept.items()}


@pytest.mark.parametrize("written", ["99483726011", "4837.2601", "48372601.0", "19410503101500", "194105031015"])
def test_within_a_longer_number_and_with_a_point(tmp_path, written: str) -> None:
    ds = picture(PatientID="48372601", PatientBirthDate="19410503")
    for tag, vr in ((0x00180060, "DS"), (0x00200013, "IS"), (0x00280031, "DS"), (0x00189096, "FD")):
        stored(ds, tag, vr, np.float64(written).tobytes() if vr == "FD" else written.encode())
    found = pydicom.dcmread(proven(tmp_path, ds, "basic"))
    kept = {0x00280031, 0x00189096} if written == "4837.2601" else set()  # a fraction says where a pixel lies
    for tag in (0x00180060, 0x00200013, 0x00280031, 0x00189096):
        assert (float(np.ravel(found[tag].value)[0]) == 0) != (tag in kept)


@pytest.mark.parametrize(
    ("tag", "vr", "raw"),
    [
        (0x00189442, "SS", b"x7\xc1\xf5\xbb\xc67 "),
        (0x300A02E6, "FL", b"_\x1b$)A\xc1\xf5\xbb\xc6_      "),
        (0x300A02E6, "FL", b"\x1b$BNS2+\x1b(B      "),
        (0x300A02E6, "FL", b"Quastenberg "),
        (0x00189442, "SS", b"Quastenberg "),
        (0x00189442, "SS", b"A 48372601  "),
        (0x00189442, "SS", "Quastenberg ".encode("utf-16-le")),
    ],
)
def test_bytes_of_numbers_that_say_something(tmp_path, tag: int, vr: str, raw: bytes) -> None:
    ds = picture(SpecificCharacterSet="ISO_IR 192", PatientName="Quastenberg^O=刘黄=林黄", PatientID="48372601")
    ds.ReferencedSeriesSequence = [item(SeriesNumber=1)]
    stored(ds.ReferencedSeriesSequence[0], tag, vr, raw)
    assert tag not in pydicom.dcmread(proven(tmp_path, ds)).ReferencedSeriesSequence[0]


def test_bytes_of_other_numbers_stay(tmp_path) -> None:
    ds = picture(PatientName="Quastenberg^O", PatientID="48372601")
    numbers = np.random.default_rng(0).normal(0, 100, 300).astype("<f4").tobytes()
    stored(ds, 0x300A02E6, "FL", numbers)
    assert np.asarray(pydicom.dcmread(proven(tmp_path, ds))[0x300A02E6].value, "<f4").tobytes() == numbers
