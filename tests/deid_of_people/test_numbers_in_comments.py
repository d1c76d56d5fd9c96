# SPDX-License-Identifier: Apache-2.0
"""A number of six digits and more that stood in removed prose only identifies, too."""

from __future__ import annotations

import json

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword

from tests.deid_of_people.own_search import survivors
from tests.deid_of_people.text_release import EVERYTHING, anonymized, item, loose, picture, proven
from umed.cli.main import main
from umed.deid.removed import Removed

PROSE = ["PatientComments", "ImageComments", "StudyDescription", "AdditionalPatientHistory", "ReasonForStudy",
         "InterpretationText", "AcquisitionComments", "ProtocolName"]  # fmt: skip
WRITTEN = ["{}", "MRN {}, chest pain", "see case#{}.", "{}/seen twice", "x" * 1500 + " {}", "old no. {} (Bern)"]


@pytest.mark.parametrize("where", PROSE)
@pytest.mark.parametrize("digits", ["00483726", "483-72-61-9", "044 837 26 15", "４８３７２６"])
def test_a_number_of_a_comment_stays_nowhere(tmp_path, where: str, digits: str) -> None:
    text = WRITTEN[(len(where) + len(digits)) % len(WRITTEN)].format(digits)
    bare = "".join(str(int(one)) for one in digits if one.isdigit())
    number = int(bare)
    ds = picture(SpecificCharacterSet="ISO_IR 192", SeriesNumber=number % 2**31, SoftwareVersions=f"V{number}")
    loose(ds, tag_for_keyword(where), "LT", text)
    ds.ManufacturerModelName = f"Model {bare}"
    ds.ReferencedSeriesSequence = [item(StackID=bare, Manufacturer=f"M{bare[-6:]}")]
    loose(ds, 0x00180015, "CS", bare)
    path = proven(tmp_path, ds, EVERYTHING)
    assert survivors(path, numbers=[bare]) == set()
    assert bare[-6:] not in str(pydicom.dcmread(path))


def test_it_goes_from_what_says_what_the_pixels_are(tmp_path) -> None:
    ds = picture(PatientComments="MRN 4837261", Modality="CT")
    loose(ds, 0x00080060, "CS", "CT 4837261")
    code, files = anonymized(tmp_path, ds, "basic", "--accept-burned-in")
    assert code == 0 and b"4837261" not in files[0].read_bytes()


@pytest.mark.parametrize(
    "comment",
    ["512 x 512, 120 kV, TE 90, b 1000", "FOV 350.0000", "5.1234567", "seen 2 3 4 5", "dose 1000000", "111111"],
)
def test_numbers_of_the_technique_change_nothing(tmp_path, comment: str) -> None:
    kept = {"SeriesNumber": "1000000", "SoftwareVersions": "4.9.3.1331", "ManufacturerModelName": "Sensory 64",
            "ReconstructionDiameter": "350", "ConvolutionKernel": "B30f 512"}  # fmt: skip
    found = pydicom.dcmread(proven(tmp_path, picture(PatientComments=comment, **kept)))
    assert {keyword: str(found[keyword].value).removesuffix(".0") for keyword in kept} == kept


def test_of_a_hostile_comment_few_numbers_are_remembered() -> None:
    store = Removed()
    store.add("PatientComments", "LT", [" ".join(str(number * 7919 + 1_000_003) + "," for number in range(9_000))])
    assert 10 <= len(store.words) <= 64 and not store.full
    store.add("PatientComments", "LT", (f"no {number * 7919 + 1_000_003}" for number in range(9_000)))
    assert store.full and len(store.words) <= 2_100  # then only imaging terms stay


def test_the_check_finds_it(tmp_path, capsys) -> None:
    path = proven(tmp_path, picture(PatientComments="MRN 0048-3726 and more"))
    ds = pydicom.dcmread(path)
    ds.ManufacturerModelName = "Model 483726"
    ds.save_as(path)
    capsys.readouterr()
    words = ["anonymize", "--check", str(tmp_path / "out"), "--original", str(tmp_path / "in"), "--json"]
    assert main(words) == 1
    assert "PatientComments" in json.dumps(json.loads(capsys.readouterr().out))
