# SPDX-License-Identifier: Apache-2.0
"""Row 15: a series with files of two patients is put aside, with the attributes that differ and no values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.dicom_files import write_series
from tests.release_files import labels, make_key, released, volume, write_seg
from umed.cli.main import main

ID, NAME, BIRTH = "PatientID (0010,0020)", "PatientName (0010,0010)", "PatientBirthDate (0010,0030)"
SMALL = (4, 12, 14)


def run(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, dict[str, dict[str, str]]]:
    """Exit code, what was said, and what was put aside."""
    key = folder / "project.key"
    if not key.is_file():
        make_key(folder)
    code = main(["anonymize", str(folder / "in"), str(folder / "out"), "--key-file", str(key), "--quiet", *options])
    said = capsys.readouterr()
    listed = json.loads((folder / "out-private" / "quarantine.json").read_text())["files"]
    return code, said.out + said.err, {one["name"]: one for one in listed}


def change(path: Path, **attributes: Any) -> None:
    """Write a file once more with other attributes."""
    ds = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


@pytest.mark.parametrize(
    ("attributes", "tags"),
    [
        ({"PatientID": "8820-Q"}, [ID]),
        ({"PatientID": "04711-X"}, [ID]),
        ({"PatientID": ""}, [ID]),
        ({"IssuerOfPatientID": "West Wing"}, ["IssuerOfPatientID (0010,0021)"]),
        ({"PatientName": "Beispiel^Hans"}, [NAME]),
        ({"PatientBirthDate": "19330102"}, [BIRTH]),
        ({"PatientID": "8820-Q", "PatientName": "Beispiel^Hans", "PatientBirthDate": "19330102"}, [ID, BIRTH, NAME]),
    ],
)
def test_a_series_of_two_patients_is_put_aside(attributes: dict[str, str], tags: list[str], tmp_path, capsys) -> None:
    paths = write_series(tmp_path / "in" / "mixed", volume(shape=SMALL), series=1)
    write_series(tmp_path / "in" / "other", volume(1, SMALL), series=2, study=2)
    change(paths[2], **attributes)
    code, said, listed = run(tmp_path, capsys)
    assert code == 3 and len(released(tmp_path / "out")) == SMALL[0]
    assert len(listed) == SMALL[0] and all(name.startswith("mixed/") for name in listed)
    [reason] = {one["reason"] for one in listed.values()}
    assert {one["category"] for one in listed.values()} == {"patients"}
    assert f"differ in {' and '.join(tags)}:" in reason and "run it again" in reason
    for value in (*filter(None, attributes.values()), "4711", "Muster"):
        assert value not in said and value not in json.dumps(listed)
    assert "what to do about patients: correct" in said


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientName": "MUSTER^ERIKA^^^"},
        {"PatientName": "M\u00fcster^Erika"},
        {"PatientName": "Muster-Beispiel^Erika"},
        {"PatientName": ""},
        {"PatientBirthDate": ""},
        {"PatientID": "4711-X "},
    ],
)
def test_other_spellings_of_one_person_are_no_second_patient(attributes: dict[str, str], tmp_path, capsys) -> None:
    paths = write_series(tmp_path / "in", volume(shape=SMALL))
    change(paths[2], **attributes)
    code, said, listed = run(tmp_path, capsys)
    assert (code, listed) == (0, {}) and "WARNING" not in said
    assert len({str(one.PatientID) for one in released(tmp_path / "out").values()}) == 1


def test_a_second_patient_in_a_scout_of_the_series_or_without_any_id_is_found(tmp_path, capsys) -> None:
    write_series(tmp_path / "in" / "a", volume(shape=SMALL), series=1)
    write_series(tmp_path / "in" / "b", volume(1, (1, 30, 30)), series=1, PatientID="8820-Q", SOPInstanceUID="1.2.3.9")
    blank = {"PatientID": "", "PatientBirthDate": "", "series": 2, "study": 2}
    paths = write_series(tmp_path / "in" / "c", volume(2, SMALL), **blank)
    change(paths[0], PatientName="MUSTER^ERIKA")  # nothing but the name makes the pseudonym
    code, _, listed = run(tmp_path, capsys)
    assert code == 1 and not released(tmp_path / "out") and {one["category"] for one in listed.values()} == {"patients"}
    assert len(listed) == 2 * SMALL[0] + 1


def test_two_patients_in_one_study_are_released_with_a_warning(tmp_path, capsys) -> None:
    write_series(tmp_path / "in" / "a", volume(shape=SMALL), series=1)
    write_series(tmp_path / "in" / "b", volume(1, SMALL), series=2, PatientID="8820-Q", PatientName="Beispiel^Hans")
    code, said, listed = run(tmp_path, capsys)
    assert (code, listed) == (0, {}) and len({one.PatientID for one in released(tmp_path / "out").values()}) == 2
    assert f"WARNING: files of one study (series_0001, series_0002) differ in {ID} and {NAME}" in said
    assert "8820" not in said and "Beispiel" not in said


def test_files_that_name_nobody_are_released_and_several_studies_warned_about(tmp_path, capsys) -> None:
    nobody = {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}
    paths = write_series(tmp_path / "in", volume(shape=SMALL), **nobody)
    for number, path in enumerate(paths):
        change(path, StudyInstanceUID=f"1.2.826.0.1.77.{number}")  # as some converters write them
    code, said, listed = run(tmp_path, capsys)
    assert (code, listed) == (0, {}) and len(released(tmp_path / "out")) == SMALL[0]
    assert "WARNING: series_0001: its files differ in StudyInstanceUID (0020,000D)" in said and "none is named" in said


def test_with_protect_the_mixed_series_is_put_aside_and_the_other_protected(tmp_path, capsys) -> None:
    shape = (6, 40, 44)
    for number in (1, 2):
        paths = write_series(tmp_path / "in" / f"{number}", volume(number, shape), series=number, study=number)
        write_seg(paths, labels(shape), tmp_path / "in" / f"{number}.dcm", 70 + number)
    change(paths[3], PatientID="8820-Q")
    code, said, listed = run(tmp_path, capsys, "--protect", "--method", "checkerboard")
    assert code == 3 and ": protected" in said
    assert sorted(one for one in listed) == sorted(f"2/{path.name}" for path in paths)
    pixels = [one for one in released(tmp_path / "out").values() if "Rows" in one and one.Modality == "CT"]
    assert len(pixels) == shape[0] and np.all([one.StudyInstanceUID == pixels[0].StudyInstanceUID for one in pixels])
