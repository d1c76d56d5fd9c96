# SPDX-License-Identifier: Apache-2.0
"""Row 17: what is stored with a VR that it cannot have is read as the right one, or removed."""

from __future__ import annotations

import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary

from tests.deid_of_people.text_release import EVERYTHING, anonymized, cleaned, picture, stored
from umed.deid.policy import BINARY_VRS

PROSE = b"Quagmire Peregrina seen 15 June 23"
SEQUENCES = sorted(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ" and tag >> 16 > 8)
TEXTS = ("LO", "SH", "ST", "LT", "UC", "UT")


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "LO", "UI"])
def test_a_sequence_stored_as_something_else_goes(tmp_path, vr: str) -> None:
    ds = picture()
    stored(
        ds,
        0x00081140,
        vr,
        b"\xfe\xff\x00\xe0\x1a\x00\x00\x00" + b"1.3.999.4711 Quagmire     " if vr[0] == "O" else PROSE,
    )
    code, files = anonymized(tmp_path, ds)
    found = pydicom.dcmread(files[0])
    assert code == 0 and b"Quagmire" not in files[0].read_bytes() and b"1.3.999" not in files[0].read_bytes()
    assert 0x00081140 not in found or found[0x00081140].VR == "SQ"


@pytest.mark.parametrize("profile", ["basic", EVERYTHING])
def test_every_sequence_stored_as_bytes_is_a_sequence_or_gone(profile: str) -> None:
    ds = picture()
    for tag in SEQUENCES:
        stored(ds, tag, "OB", PROSE)
    assert [one for one in cleaned(ds, profile) if int(one.tag) in SEQUENCES and one.VR != "SQ"] == []


@pytest.mark.parametrize("profile", ["basic", EVERYTHING])
@pytest.mark.parametrize("vr", ["AS", "DS", "IS", "TM", "UR", "AE", "DA", "DT", "UI", "CS"])
def test_prose_in_a_value_with_a_grammar_goes(vr: str, profile: str) -> None:
    tags = [tag for tag, entry in DicomDictionary.items() if entry[0] == vr and tag >> 16 >= 8 and tag >> 16 != 0x0028]
    ds = picture()
    for tag in tags:
        if tag not in (0x00080016, 0x00080018, 0x00080060, 0x00080008, 0x0020000D, 0x0020000E, 0x00080005):
            stored(ds, tag, vr, PROSE)
    found = cleaned(ds, profile)
    values = [str(one.value) for one in found if one.VR != "SQ" and int(one.tag) in tags]
    assert not [
        one for one in values if "uagmire" in one.lower() or "peregr" in one.lower() or "June" in one or "JUN" in one
    ]


@pytest.mark.parametrize(
    ("tag", "vr", "value", "want"),
    [
        (0x00280010, "IS", b"8 ", ("US", 8)),
        (0x00200013, "LO", b"12", ("IS", 12)),
        (0x00180050, "LO", b"2.5 ", ("DS", 2.5)),
        (0x00180015, "LO", b"CHEST ", ("CS", "CHEST")),
        (0x00200011, "US", b"\x07\x00", ("IS", 7)),
    ],
)
def test_what_reads_cleanly_as_the_right_vr_gets_it(tag: int, vr: str, value: bytes, want: tuple[str, object]) -> None:
    ds = picture()
    stored(ds, tag, vr, value)
    found = cleaned(ds)[tag]
    assert (found.VR, found.value) == want


@pytest.mark.parametrize("vr", TEXTS)
def test_text_in_an_attribute_of_numbers_goes(vr: str) -> None:
    ds = picture()
    tags = [
        tag
        for tag, entry in DicomDictionary.items()
        if entry[0] in BINARY_VRS and tag >> 16 > 8 and tag >> 16 not in (0x28, 0x7FE0)
    ]
    for tag in tags:
        stored(ds, tag, vr, PROSE)
    assert [one for one in cleaned(ds) if int(one.tag) in tags and "Quagmire" in str(one.value)] == []


def test_more_numbers_than_dicom_allows_go() -> None:
    ds = picture()
    stored(ds, 0x00180050, "DS", rb"44\255\11\11")
    stored(ds, 0x00280030, "DS", rb"0.8\0.7")
    found = cleaned(ds)
    assert "SliceThickness" not in found and list(found.PixelSpacing) == [0.8, 0.7]
