# SPDX-License-Identifier: Apache-2.0
"""Row 12: what one file of a patient takes away stands in no other file of the same patient, whichever comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset

from tests.deid_of_people.own_search import plain, survivors
from tests.deid_of_people.text_release import EVERYTHING, item
from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.cli.main import main

SECRETS = {
    "OperatorsName": ("Quastenberg^Ottokar", "Quastenberg"),
    "ReferringPhysicianName": ("Grünmüßler^Zoë", "Gruenmuessler"),
    "InstitutionName": ("Klinik am Sonnenhangtal", "Sonnenhangtal"),
    "AccessionNumber": ("ACC-881-234-5", "8812345"),
    "PatientTelephoneNumbers": ("044 255 19 23", "044-2551923"),
    "OtherPatientIDs": ("QX-99-81-77-2", "QX9981772"),
    "PatientAddress": ("Wiesenhügelgasse 7", "Wiesenhuegelgasse"),
}


def slice_of(number: int, series: int = 1, **attributes: Any) -> FileDataset:
    return image(np.full((8, 8), number, np.int16), position=(0.0, 0.0, float(number)), series=series,
                 instance=number, **attributes)  # fmt: skip


def run(folder: Path, files: dict[str, FileDataset], profile: str = "basic") -> list[Path]:
    """Files that came out, after the check found nothing."""
    for name, ds in files.items():
        save(ds, folder / "in" / name)
    arguments = [str(folder / "in"), str(folder / "out"), "--key-file", str(make_key(folder)), "--profile", profile]
    assert main(["anonymize", *arguments, "--quiet"]) == 0
    assert main(["anonymize", "--check", str(folder / "out"), "--original", str(folder / "in")]) == 0
    return sorted((folder / "out").rglob("*.dcm"))


@pytest.mark.parametrize("first", ["a", "z"])
@pytest.mark.parametrize("attribute", SECRETS)
def test_it_goes_from_the_other_files_too(tmp_path, attribute: str, first: str) -> None:
    value, again = SECRETS[attribute]
    files = {first: slice_of(1, **{attribute: value})}
    files |= {f"m{n}": slice_of(n, series=n, ManufacturerModelName=f"Model {again}", SoftwareVersions=[again, "V1"])
              for n in (2, 3)}  # fmt: skip
    written = run(tmp_path, files)
    assert len(written) == 3
    for path in written:
        digits = [plain(value)] if plain(value).isdigit() else []
        assert survivors(path, words=[again], numbers=digits) == set()
        assert pydicom.dcmread(path).get("SoftwareVersions", ["", "V1"])[1] == "V1"


def test_at_any_depth_and_in_another_study(tmp_path) -> None:
    deep = slice_of(1, study=1, OperatorsName="")
    deep.RequestAttributesSequence = [
        item(RequestedProcedureID="PROC-5512-8", RequestingPhysician="Quastenberg^Ottokar")
    ]
    other = slice_of(2, series=2, study=2, ManufacturerModelName="Model 1 quastenberg", StackID="proc 55128")
    for path in run(tmp_path, {"b": deep, "a": other}, EVERYTHING):
        assert survivors(path, words=["Quastenberg", "Ottokar", "proc55128"]) == set()


def test_two_spellings_of_a_patient_in_one_study_know_of_one_another(tmp_path) -> None:
    files = {
        "a": slice_of(1, series=1, PatientID="4711-X", OperatorsName="Quastenberg^Ottokar"),
        "b": slice_of(2, series=2, PatientID="4711-x ", ManufacturerModelName="Quastenberg 7"),
    }
    for path in run(tmp_path, files):
        assert survivors(path, words=["Quastenberg"]) == set()


def test_names_of_another_patient_change_nothing(tmp_path) -> None:
    files = {
        "a": slice_of(1, study=1, series=1, PatientID="A1", PatientName="Muster^Eva",
                      OperatorsName="Brilliant^Ottokar"),
        "b": slice_of(2, study=2, series=2, PatientID="B2", PatientName="Beispiel^Ida", SoftwareVersions="4.9.3.1331",
                      ManufacturerModelName="Sensory 64"),
    }  # fmt: skip
    found = {str(pydicom.dcmread(path).ManufacturerModelName) for path in run(tmp_path, files)}
    assert found == {"Model 1", "Sensory 64"}
