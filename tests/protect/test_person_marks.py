# SPDX-License-Identifier: Apache-2.0
"""Names of files and free text that look like a person are warnings of the release check, never problems."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.release_folder import make_volumes
from umed.core.keyfile import Key
from umed.deid.keys import DeidKey
from umed.protect.check_release import check_release
from umed.protect.person_marks import index_marks, name_mark, text_marks


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("images/roe.jane@clinic.example.org_1.png", "an e-mail address"),
        ("Roe^Jane/1.png", "a caret, as in names of DICOM"),
        ("imagesTr/case_19731224_0000.nii.gz", "a date"),
        ("scan20010203/1.dcm", "a date"),
        ("imagesTr/20011399.nii.gz", "a number of 8 digits"),
        ("masks/MRN471104.png", "a number of 6 digits"),
        ("482913/1.dcm", "a number of 6 digits"),
        ("images/hippocampus_001.nii.gz", ""),
        ("images/ISIC_0012345_segmentation.png", ""),
        ("images/12345.png", ""),
        ("images/v1.2.3@2x.png", ""),
        ("1.2.826.0.1.3680043.8.498.123456/2.25.329800735698586629295641978511506172918.dcm", ""),
        ("a/3f2504e04f8911d39a0c0305e82c3301.dcm", ""),
    ],
)
def test_names_of_files(name: str, mark: str) -> None:
    assert name_mark(name) == mark


def test_names_that_umed_makes_are_none() -> None:
    key = DeidKey(Key(bytes(range(32))).secret)
    names = [f"{key.pseudonym(str(number))}/{key.uid(str(number))}.dcm" for number in range(2000)]
    assert sum(bool(name_mark(name)) for name in names) == 0


@pytest.mark.parametrize("text", ["10^3 cells", "mm^2, x^y, e^x", "a@b", "@home.org", "https://a.org/@x", "2^ab"])
def test_powers_and_handles_are_nobody(text: str) -> None:
    assert text_marks(text) == []


def test_what_is_no_index_has_no_fields(tmp_path: Path) -> None:
    for content in (b"{", b"[1]", b'"a@b.org"', b"\xff", b"[" * 100_000):
        (tmp_path / "dataset.json").write_bytes(content)
        assert list(index_marks(tmp_path / "dataset.json")) == []


def test_they_are_warnings_with_place_and_what_to_do(tmp_path: Path) -> None:
    made = make_volumes(tmp_path)
    assert check_release(made.output, original=made.source).warnings == ()
    index = json.loads((made.output / "dataset.json").read_text())
    index |= {
        "reference": "Roe^Jane",
        "licence": {"contact": ["ask x.y@clinic.example.org"]},
        "description": "10^2 of MR",
    }
    (made.output / "dataset.json").write_text(json.dumps(index))
    shutil.copy(made.output / "labelsTr/empty.nii.gz", made.output / "labelsTr/P4711042.nii.gz")
    made.write()
    (made.output / "README.md").write_text("Ask Doe^John^^Dr about case 7.\n")
    check = check_release(made.output, added=["README.md"])
    assert check.ok and [(one.kind, one.where, one.what) for one in check.warnings] == [
        ("person-name", "labelsTr/P4711042.nii.gz", "a number of 7 digits"),
        ("person-text", "README.md", "Doe^John"),
        ("person-text", "dataset.json (licence.contact)", "x.y@clinic.example.org"),
        ("person-text", "dataset.json (reference)", "Roe^Jane"),
    ]
    assert "name(s) of files or folders that may tell of a person" in check.summary()
