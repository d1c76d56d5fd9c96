# SPDX-License-Identifier: Apache-2.0
"""Row 20: words that an output holds anyway are told apart from what was left in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.cli.main import main


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


PATIENTS = {
    "called Test": {"PatientName": "Test^Patient", "PatientID": "TEST"},
    "called Phantom": {"PatientName": "PHANTOM", "PatientID": "Phantom 1"},
    "called like a term": {"PatientName": "Axial^Long", "PatientID": "1"},
    "called like umed's words": {"PatientName": "Release^Checksum", "PatientID": "2"},
    "called like a maker": {"PatientName": "Siemens^Werner", "InstitutionName": "SIEMENS", "Manufacturer": "SIEMENS"},
    "dummy dates": {"PatientBirthDate": "19000101", "StudyDate": "19000101", "ContentDate": "19000101"},
    "dummy values": {"PatientName": "REMOVED", "PatientID": "REMOVED", "PatientAge": "000Y", "AccessionNumber": "0"},
    "code meanings": {
        "RequestedProcedureDescription": "Liver",
        "PatientName": "Liver",
        "AnatomicRegionSequence": [code("10200004", "Liver")],
    },
    "maker as institution": {"InstitutionName": "Lodox Healthcare", "Manufacturer": "Lodox Healthcare"},
    "numbers that repeat": {"PatientID": "4711", "SeriesNumber": "4711", "Rows": 8},
    "model as station": {"StationName": "Brilliance 64", "ManufacturerModelName": "Brilliance 64"},
}


def run(tmp_path: Path, attributes: dict[str, object], profile: str) -> tuple[Path, Path]:
    source, output, key = tmp_path / "in", tmp_path / "out", make_key(tmp_path)
    save(image(np.arange(64, dtype=np.uint16).reshape(8, 8), **attributes), source / "a.dcm")
    other = {"PatientName": "Quastenberg^Ottokar", "PatientID": "KH-0077190425", "instance": 2, "study": 2, "series": 2}
    save(image(np.arange(64, dtype=np.uint16).reshape(8, 8), **other), source / "b.dcm")
    command = ["anonymize", str(source), str(output), "--key-file", str(key), "--profile", profile, "--quiet"]
    assert main(command) == 0
    return source, output


@pytest.mark.parametrize("profile", ["basic", "longitudinal+clean_descriptors+device_identity"])
@pytest.mark.parametrize("who", PATIENTS)
def test_an_own_output_has_no_finding(tmp_path: Path, capsys, who: str, profile: str) -> None:
    source, output = run(tmp_path, PATIENTS[who], profile)
    capsys.readouterr()
    assert main(["anonymize", "--check", str(output), "--original", str(source), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["findings"] == [] and all(one["why"] for one in said["coincidences"])


@pytest.mark.parametrize(
    ("who", "planted", "keyword"),
    [
        ("called like umed's words", "Release, Checksum", "PatientName"),
        ("called like a maker", "for Werner Siemens", "PatientName"),
        ("called like a term", "AXIAL^LONG", "PatientName"),
        ("numbers that repeat", "patient id: 4711", "PatientID"),
        ("maker as institution", "at Lodox Healthcare", "InstitutionName"),
    ],
)
def test_the_same_words_are_found_where_nothing_explains_them(
    tmp_path: Path, capsys, who: str, planted: str, keyword: str
) -> None:
    """Whoever is called so is found all the same, by the whole name or by what stands beside it."""
    source, output = run(tmp_path, PATIENTS[who], "basic")
    (output / "note.txt").write_text(planted)
    capsys.readouterr()
    assert main(["anonymize", "--check", str(output), "--original", str(source), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {one["file"] for one in found} == {"note.txt"} and keyword in {one["source"] for one in found}
    assert all(one["why"] for one in found)


def test_a_maker_in_a_description_is_the_name_of_an_institution(tmp_path: Path, capsys) -> None:
    source, output = run(tmp_path, PATIENTS["maker as institution"], "basic")
    path = next(output.rglob("*.dcm"))
    for path in output.rglob("*.dcm"):
        ds = dcmread(path)
        ds.ImageComments = "seen at Lodox Healthcare"
        ds.save_as(path)
    capsys.readouterr()
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 1
    assert "(0020,4000): text, from InstitutionName" in capsys.readouterr().out
