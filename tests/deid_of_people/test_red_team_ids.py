# SPDX-License-Identifier: Apache-2.0
"""Identifiers in parts, encoded, filled up with zeros, as short as a word; and numbers that only look like them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deid_of_people.text_release import cleaned, item, loose, picture

UUID = "7b3f9c2e-11d4-4a80-9f00-cafe12345678"


def left(patient_id: str, planted: str, profile: str = "clean_descriptors") -> list[str]:
    """What stays of a text in a trusted attribute, a code string, and a cleaned one."""
    ds = picture(PatientID=patient_id, SpecificCharacterSet="ISO_IR 192")
    loose(ds, 0x00181020, "LO", planted)
    loose(ds, 0x00180022, "CS", planted.upper())
    loose(ds, 0x0008103E, "LO", planted)
    ds = cleaned(ds, profile)
    return [str(ds.get(word, "")) for word in ("SoftwareVersions", "ScanOptions", "SeriesDescription")]


@pytest.mark.parametrize(
    ("patient_id", "planted", "trace"),
    [
        ("ID:77/2019-3", "77-2019-3", "77"),
        (UUID, UUID.replace("-", "").upper(), "7B3F"),
        (UUID, "7b3f9c2e", "7b3f"),
        (UUID, "{7b3f9c2e-11d4-4a80}", "7b3f"),
        ("9173-4428", base64.b64encode(b"9173-4428").decode(), "OTE3"),
        ("9173-4428", b"9173-4428".hex(), "3931"),
        ("9173-4428", f"0x{91734428:X}", "577"),
        ("PAT 7", "pat-007", "7"),
        ("AB12", "AB0012", "AB"),
        ("QX", "qx kernel", "qx"),
        ("K7", "K7", "K7"),
        ("712", "PatientID 712", "712"),
        ("712", "pat. 712", "712"),
        ("712", "id=712", "712"),
        ("712", "712", "712"),
        ("cafe-babe-dead", "cafe babe", "cafe"),
        ("KOWALSKA_ANNA", "Kowalska", "owalska"),
    ],
)  # fmt: skip
def test_an_identifier_in_another_form_goes(patient_id: str, planted: str, trace: str) -> None:
    for text in left(patient_id, planted):
        assert trace.lower() not in text.lower()


@pytest.mark.parametrize("patient_id", ["1", "12", "T1", "712"])
def test_short_identifiers_take_no_technique_away(patient_id: str) -> None:
    ds = picture(PatientID=patient_id, SeriesDescription="T1 TSE 12 slices", ConvolutionKernel="B712f", SeriesNumber=12)
    ds.StackID, ds.SoftwareVersions = "1", "VB17A 12.5"
    ds = cleaned(ds, "clean_descriptors")
    assert (ds.SeriesDescription, ds.ConvolutionKernel, int(ds.SeriesNumber)) == ("T1 TSE 12 slices", "B712f", 12)
    assert (ds.StackID, ds.SoftwareVersions) == ("1", "VB17A 12.5")


@pytest.mark.parametrize(
    ("value", "scheme", "text"),
    [("T-D1100", "SRT", "R1100"), ("24725-4", "LN", "v24725"), ("399348003", "SCT", "399348")],
)
def test_public_codes_are_nobodys_identifiers(value: str, scheme: str, text: str) -> None:
    ds = picture(SoftwareVersions=text)
    ds.AnatomicRegionSequence = [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="Anything")]
    assert cleaned(ds).SoftwareVersions == text


def test_an_identifier_that_pretends_to_be_a_public_code_goes() -> None:
    ds = picture(SoftwareVersions="881234", ConvolutionKernel="B30f 77123411")
    ds.AnatomicRegionSequence = [item(CodeValue="881234-5", CodingSchemeDesignator="LN", CodeMeaning="x")]
    ds.ProcedureCodeSequence = [item(CodeValue="77-12-34-11", CodingSchemeDesignator="99US", CodeMeaning="y")]
    ds = cleaned(ds)
    assert (ds.SoftwareVersions, ds.ConvolutionKernel) == ("REMOVED", "B30f")


@settings(max_examples=100, deadline=None)
@given(
    st.from_regex(r"[A-Z]{1,3}[0-9]{2,4}-[0-9]{4}/(19|20)[0-9]{2}-[0-9]{1,2}", fullmatch=True), st.sampled_from(" -./_")
)
def test_nothing_is_left_of_identifiers_that_hold_a_year(patient_id: str, separator: str) -> None:
    planted = "".join(one if one.isalnum() else separator for one in patient_id)
    for text in left(patient_id, f"B30f {planted}")[:1]:
        assert text == "B30f"
