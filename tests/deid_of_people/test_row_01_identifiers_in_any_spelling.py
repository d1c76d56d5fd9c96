# SPDX-License-Identifier: Apache-2.0
"""Row 1: an identifier that was removed stands nowhere else, in whatever spelling."""

from __future__ import annotations

import re

import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword

from tests.deid_of_people.own_search import plain, survivors
from tests.deid_of_people.text_release import EVERYTHING, item, loose, picture, proven
from umed.deid.policy import Policy
from umed.deid.profile import load_profile

TEXTS = {"LO", "SH", "LT", "ST", "UC", "UT"}
POLICY = Policy(load_profile(EVERYTHING))
# All that any profile keeps as text; no part of a code, whose meaning comes from tables.
KEPT = [
    tag
    for tag, entry in DicomDictionary.items()
    if tag >> 16 >= 8 and set(entry[0].split(" or ")) <= TEXTS and POLICY[tag].acts[0] in ("text", "C", "K")
    and not 0x00080100 <= tag <= 0x00080124
]  # fmt: skip
IDENTIFIERS = {
    "PatientID": "921-456-783",
    "AccessionNumber": "00921456783",
    "StudyID": "PAT-0092145678",
    "PatientTelephoneNumbers": "A77B9214567",
    "AdmissionID": "92/345678/1",
    "OtherPatientIDs": "4711 2208 15 X",
}


def spellings(text: str) -> dict[str, str]:
    """Usual and unusual ways to write an identifier again."""
    bare = re.sub(r"[^0-9A-Za-z]", "", text)
    digits = re.sub(r"\D", "", text)
    return {
        "as it is": text,
        "without separators": bare,
        "digits alone": digits,
        "without zeros": digits.lstrip("0"),
        "with more zeros": "0000" + digits,
        "in threes": " ".join(digits[at : at + 3] for at in range(0, len(digits), 3)),
        "in twos with dots": ".".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
        "with a prefix": f"MRN{digits}",
        "in a name of a file": f"head_{bare}_t1.nii",
        "lower case": bare.lower(),
        "full width": "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in bare),
        "Arabic digits": "".join(chr(0x0660 + int(one)) if one.isdigit() else one for one in digits),
        "unseen between": "\u200b".join(bare),
        "soft hyphens": "\u00ad".join(digits),
        "within a longer number": f"99{digits.lstrip('0')}77",
        "letters between": f"T1 {bare} 2.5 mm",
        "slashes": "/".join((digits[:3], digits[3:6], digits[6:])),
        "brackets": f"({digits[:3]}) {digits[3:]}",
        "lines": f"{digits[:4]}\r\n{digits[4:]}",
    }


@pytest.mark.parametrize("attribute", IDENTIFIERS)
def test_no_spelling_stays_in_any_text(tmp_path, attribute: str) -> None:
    identifier = IDENTIFIERS[attribute]
    profile = "basic" if attribute in ("AccessionNumber", "AdmissionID") else EVERYTHING
    ds = picture(SpecificCharacterSet="ISO_IR 192", **{attribute: identifier})
    written = list(spellings(identifier).values())
    for place, tag in enumerate(KEPT):
        vr = DicomDictionary[tag][0].split(" or ")[0]
        loose(ds, tag, vr, written[place % len(written)])
    ds.ReferencedSeriesSequence = [item(Manufacturer=one, StackID=one, SeriesDescription=one) for one in written]
    assert len(KEPT) > 500
    digits = re.sub(r"\D", "", identifier)
    path = proven(tmp_path, ds, profile, "--accept-burned-in")  # among them are those of captures
    assert survivors(path, words=[plain(identifier)], numbers=[digits]) == set()


@pytest.mark.parametrize("way", spellings("1"))
def test_each_spelling_in_trusted_text(tmp_path, way: str) -> None:
    ds = picture(SpecificCharacterSet="ISO_IR 192", PatientID="PAT-0092145678")
    places = ("ManufacturerModelName", "SoftwareVersions", "StackID", "ConvolutionKernel")
    for where in places:
        loose(ds, tag_for_keyword(where), "LO", spellings("PAT-0092145678")[way])
    path = proven(tmp_path, ds)
    assert survivors(path, words=["pat0092145678"], numbers=["92145678"]) == set()
    found = pydicom.dcmread(path)
    assert all(found.get(where) for where in places)  # something valid stands there


@pytest.mark.parametrize("where", ["ImageID", "StageName", "ProtocolName", "FrameComments"])
def test_the_row_itself(tmp_path, where: str) -> None:
    path = proven(tmp_path, picture(PatientID="123-456-789", **{where: "123-456-789"}))
    assert not re.search("123|456|789", str(pydicom.dcmread(path).get(where, "")))


@pytest.mark.parametrize("six", ["123456", "345678", "456-789", "MRN345678"])
def test_six_digits_of_an_identifier_are_enough(tmp_path, six: str) -> None:
    path = proven(tmp_path, picture(PatientID="123-456-789", ManufacturerModelName=f"Model {six}"))
    assert "".join(filter(str.isdigit, six)) not in plain(pydicom.dcmread(path).ManufacturerModelName)


def test_other_numbers_stay(tmp_path) -> None:
    kept = {"SoftwareVersions": "4.9.3.1331", "ManufacturerModelName": "Model 4711", "ConvolutionKernel": "B30f"}
    found = pydicom.dcmread(proven(tmp_path, picture(PatientID="123-456-789", **kept)))
    assert {keyword: str(found.get(keyword)) for keyword in kept} == kept
