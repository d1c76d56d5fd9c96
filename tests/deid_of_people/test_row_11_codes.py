# SPDX-License-Identifier: Apache-2.0
"""Row 11: a CS that is no CS is text; what a code means is told by DICOM's tables, not by the file."""

from __future__ import annotations

import pydicom
import pytest

from tests.deid_of_people.text_release import anonymized, cleaned, item, loose, picture
from umed.deid.codes import is_code, meanings_of

PROSE = "CT chest of Quagmire, 97 y, tel 044 255 11 11, seen by Dr Peregrina"
SCAN_OPTIONS = 0x00180022


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (PROSE, "CT CHEST OF BY"),
        ("HELICAL MODE", "HELICAL MODE"),
        (["FAST_GEMS", "NPW"], ["FAST_GEMS", "NPW"]),
        ("Head-Neck", "HEAD NECK"),
        ("0442551111", "REMOVED"),
        ("TEL 044 255", "REMOVED"),
        (["044", "255", "11", "11"], ["REMOVED"] * 4),
        ("15JUN23", "REMOVED"),
        ("97Y", "REMOVED"),
        ("45Y", "REMOVED"),
        ("DIS2D", "DIS2D"),
    ],
)
def test_code_strings(tmp_path, value: str | list[str], kept: str | list[str]) -> None:
    ds = picture()
    loose(ds, SCAN_OPTIONS, "CS", value)
    code, files = anonymized(tmp_path, ds)
    found = pydicom.dcmread(files[0])
    assert code == 0 and b"Quagmire" not in files[0].read_bytes()
    options = found.ScanOptions if isinstance(found.ScanOptions, str) else list(found.ScanOptions)
    assert options == kept


def test_more_values_than_dicom_allows_are_text() -> None:
    ds = picture()
    loose(ds, 0x00185100, "CS", ["HFS", "QUAGMIRE", "PEREGRINA"])
    assert "QUAGMIRE" not in str(cleaned(ds)[0x00185100].value)


def code(value: str, scheme: str, meaning: str, keyword: str = "CodeValue") -> pydicom.Dataset:
    made = item(CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (("10200004", "SCT", "Leber von Quagmire"), ("10200004", "SCT", "Liver")),
        (("T-62000", "SRT", "044 255 11 11"), ("T-62000", "SRT", "Liver")),
        (("113100", "DCM", "Quagmire"), ("113100", "DCM", "Basic Application Confidentiality Profile")),
        (("73211009", "SCT", "liver of Quagmire 4711"), ("73211009", "SCT", "liver of")),
        (("0442551111", "SCT", "Quagmire"), ("REMOVED", "SCT", "REMOVED")),
        (("0442551111", "DCM", "Liver"), ("REMOVED", "DCM", "Liver")),
        (("0442551111", "99ZAUBERBERG", "Liver"), ("REMOVED", "99REMOVED", "Liver")),
        (("Quagmire", "USB.PROCEDURES", "CT chest"), ("REMOVED", "99REMOVED", "CT chest")),
        (("mm", "UCUM", "Quagmire"), ("mm", "UCUM", "mm")),
        (("{Quagmire}", "UCUM", "Quagmire"), ("REMOVED", "UCUM", "REMOVED")),
    ],
)  # fmt: skip
def test_codes(tmp_path, given: tuple[str, str, str], left: tuple[str, str, str]) -> None:
    _, files = anonymized(tmp_path, picture(AnatomicRegionSequence=[code(*given)]))
    found = pydicom.dcmread(files[0]).AnatomicRegionSequence[0]
    meaning = found.CodeMeaning
    if left[2] == "mm":
        meaning = "mm" if meaning in meanings_of("UCUM", "mm") else meaning
    assert (found.CodeValue, found.CodingSchemeDesignator, meaning) == left
    assert b"Quagmire" not in files[0].read_bytes() and b"255 11" not in files[0].read_bytes()


def test_long_and_urn_codes_are_looked_at_like_short_ones() -> None:
    long = [code(value, scheme, "x", "LongCodeValue") for value, scheme in (("10200004", "SCT"), ("0442551111", "99X"))]
    ds = picture(AnatomicRegionSequence=[*long, item(URNCodeValue="urn:tel:0442551111", CodeMeaning="liver")])
    one, other, urn = cleaned(ds).AnatomicRegionSequence
    assert (one.LongCodeValue, one.CodeMeaning) == ("10200004", "Liver")
    assert other.LongCodeValue == "REMOVED" and "URNCodeValue" not in urn and urn.CodeMeaning == "liver"


@pytest.mark.parametrize("tag", [0x00080100, 0x00080102, 0x00080104, 0x00080119])
def test_a_code_that_is_no_text_hides_nothing(tag: int) -> None:
    ds = picture(AnatomicRegionSequence=[item(CodingSchemeDesignator="SCT")])
    loose(ds.AnatomicRegionSequence[0], tag, "SQ", [item(StudyDescription="Quagmire", Manufacturer="Peregrina")])
    assert "Peregrina" not in str(cleaned(ds).AnatomicRegionSequence)


def test_codes_of_the_tables_and_by_check_digit() -> None:
    assert is_code("SCT", "73211009") and not is_code("SCT", "73211008")
    assert is_code("LN", "24627-2") and not is_code("LN", "24627-3")
    assert is_code("RADLEX", "RID58") and not is_code("RADLEX", "RID0442551111")
    assert not is_code("99PMP", "4711") and not is_code("FMA", "0442551111")
