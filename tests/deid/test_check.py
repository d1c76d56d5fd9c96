# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tests.dicom_files import dataset, image
from umed.core.errors import InputError
from umed.deid.byte_search import Search
from umed.deid.check import check
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
SECRETS = {"InstitutionName": "Sanatorium Zauberberg", "OtherPatientIDs": "9988776", "PatientName": "Muster^Erika"}


def release(tmp_path, profile: str = "basic"):
    """An original and its de-identified copy, with nothing left in it."""
    original, output = tmp_path / "in", tmp_path / "out"
    original.mkdir()
    output.mkdir()
    ds = image(np.arange(16, dtype=np.uint16).reshape(4, 4), SoftwareVersions="VB17A", **SECRETS)
    ds.save_as(original / "a.dcm", enforce_file_format=True)
    Deidentifier(KEY, load_profile(profile))(ds, "x")
    return original, output, ds


@pytest.mark.parametrize("profile", ["basic", "longitudinal", "device_identity+clean_descriptors"])
def test_a_clean_output_has_no_findings(tmp_path, profile: str) -> None:
    original, output, ds = release(tmp_path, profile)
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    (output / "report.json").write_text('{"files": 1}')
    assert check(output, original) == [] == check(output)


@pytest.mark.parametrize(
    ("keyword", "value", "kind"),
    [
        ("SoftwareVersions", "made for ERIKA", "name"),
        ("SegmentLabel", "liver_muster", "name"),
        ("StationName", "sanatorium zauberberg", "text"),
        ("ImageComments", "seen on 29.02.2024", "date"),
        ("SeriesNumber", "9988776", "text"),
        ("DerivationDescription", "no 9988776", "text"),
    ],
)
def test_what_was_left_is_found_with_its_tag_and_not_quoted(tmp_path, keyword: str, value: str, kind: str) -> None:
    original, output, ds = release(tmp_path)
    setattr(ds, keyword, value)
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    found = [finding for finding in check(output, original) if finding.kind == kind]
    assert {finding.tag for finding in found} == {str(ds[keyword].tag).replace(" ", "").upper()}
    assert all(
        secret.lower() not in str(found).lower() for secret in ("erika", "muster", "zauberberg", "9988776", "29.02")
    )


def test_a_uid_of_the_original_is_found_nested_and_in_the_meta_header(tmp_path) -> None:
    original, output, ds = release(tmp_path)
    old = dataset().SOPInstanceUID
    ds.ReferencedImageSequence = [dataset()]
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = old
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    assert "(0008,1155)" in {finding.tag for finding in check(output, original) if finding.kind == "uid"}
    assert "(0008,1155)" in {finding.tag for finding in check(output)}


def test_a_smooth_edge_in_pixels_spells_no_number(tmp_path) -> None:
    original, output, ds = release(tmp_path)
    named = image(np.zeros((4, 4), np.uint16), PatientID="12345678", instance=2, OtherPatientIDs="12345687")
    named.save_as(original / "b.dcm", enforce_file_format=True)
    for text, found in (("..12345678..", 0), ("..12345687..", 1)):
        ds.Rows, ds.Columns, ds.PixelData = 1, 12, text.encode("utf-16-le")
        ds.save_as(output / "1.dcm", enforce_file_format=True)
        assert len(check(output, original)) == found


def test_a_report_may_name_attributes_and_hold_pictures_but_no_patient(tmp_path) -> None:
    original, output, ds = release(tmp_path)
    named = image(np.zeros((4, 4), np.uint16), PatientName="Physician^Stroke", instance=2, OtherPatientIDs="iVBO")
    named.save_as(original / "b.dcm", enforce_file_format=True)
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    picture = '<img src="data:image/png;base64,iVBO iVBO">'.replace(" ", "+")
    (output / "report.html").write_text(f'<td>ReferringPhysicianName</td><path stroke="red">{picture}')
    assert check(output, original) == []
    for text in ("Referring Physician", "MrPhysicianName", "data: iVBO", '<td title="Stroke">', "<td>Stroke</td>"):
        (output / "report.html").write_text(text)
        assert [finding.file for finding in check(output, original)] == ["report.html"], text


@pytest.mark.parametrize("place", ["preamble", "after", "name", "folder", "text file", "hidden", "pixels"])
def test_places_outside_attributes_are_searched(tmp_path, place: str) -> None:
    original, output, ds = release(tmp_path)
    target = output / {"name": "zauberberg Sanatorium Zauberberg.dcm", "folder": "muster/1.dcm"}.get(place, "1.dcm")
    target.parent.mkdir(exist_ok=True)
    if place == "preamble":
        ds.preamble = b"Sanatorium Zauberberg".ljust(128, b"\0")
    if place == "pixels":
        ds.Rows, ds.Columns, ds.PixelData = 1, 12, b"..sanatorium zauberberg."
    ds.save_as(target, enforce_file_format=True)
    if place == "after":
        with open(target, "ab") as file:
            file.write(b"\xfc\xff\xfc\xff" + b"OB\0\0" + (22).to_bytes(4, "little") + b"Sanatorium Zauberberg.")
    if place == "text file":
        (output / "log.txt").write_text("read /data/Sanatorium Zauberberg/a.dcm")
    if place == "hidden":
        (output / ".cache").write_bytes("Erika Muster".encode("utf-16-le"))
    found = check(output, original)
    assert found and {finding.tag for finding in found} <= {"bytes", "name", "(FFFC,FFFC)"}
    assert all("uster" not in f"{finding}" and "auberberg" not in f"{finding}" for finding in found)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"SeriesInstanceUID": "1.3.999.1"}, "UID that is not keyed"),
        ({"OperatorsName": "Castorp^Hans"}, "name"),
        ({"StudyDate": "20240229"}, "date"),
        ({"AccessionNumber": "ACC-77"}, "attribute that is to be removed"),
        ({"PatientIdentityRemoved": "NO"}, "PatientIdentityRemoved is not YES"),
    ],
)
def test_without_originals_what_must_not_be_there_is_found(tmp_path, attributes, kind: str) -> None:
    _, output, ds = release(tmp_path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    assert {finding.kind for finding in check(output)} == {kind}


def test_private_attributes_are_found_unless_they_are_safe(tmp_path) -> None:
    _, output, ds = release(tmp_path)
    ds.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "x")
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    assert {finding.kind for finding in check(output)} == {"private attribute"}
    option = Deidentifier(KEY, load_profile("safe_private"))
    clean = dataset()
    clean.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "50")
    option(clean, "x")
    clean.save_as(output / "1.dcm", enforce_file_format=True)
    assert check(output) == []
    clean.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "x")
    clean.save_as(output / "1.dcm", enforce_file_format=True)
    assert {finding.kind for finding in check(output)} == {"private attribute"}


def test_an_absent_output_is_an_error(tmp_path) -> None:
    with pytest.raises(InputError, match="expected a folder"):
        check(tmp_path / "absent")


def test_the_search_finds_all_and_only_whole_words() -> None:
    search = Search(["muster", "9988", "1.2.3.4", "zauberbergklinik", "jörg"])
    text = "MUSTER mustering 9988 99881 x9988y 1.2.3.4 1.2.3.45 21.2.3.4 1.2.3.4.5 MyZauberbergKlinik jörg".encode()
    assert [word for _, word in search(text)] == ["muster", "9988", "9988", "1.2.3.4", "zauberbergklinik", "jörg"]
    far = b"." * (1 << 22) + b" muster"
    assert [at for at, _ in search(far[: (1 << 22) - 3] + b" muster " + far)] == [(1 << 22) - 2, 2 * (1 << 22) + 6]
    assert list(Search([])(b"anything")) == [] == list(search(b"abc"))
