# SPDX-License-Identifier: Apache-2.0
"""A folder is DICOM where a file is, or a member of a zip in it; zips of other things change nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from umed.data.dicom_input import is_dicom

PREFIX = bytes(128) + b"DICM"


@pytest.mark.parametrize(
    ("members", "dicom"),
    [
        ({"a.png": b"\x89PNG"}, False),
        ({"notes/": b"", "notes/a.txt": b"text"}, False),
        ({"a.png": b"\x89PNG", "series/1.DCM": b"x"}, True),
        ({"series/0001": PREFIX}, True),
        ({}, False),
    ],
)
def test_a_zip_in_a_folder_counts_by_what_it_holds(tmp_path: Path, members: dict[str, bytes], dicom: bool) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "all.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert is_dicom(tmp_path / "in") is dicom
    assert is_dicom(tmp_path / "in" / "all.zip")  # given itself, it can be nothing else


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"PK\5\6" + bytes(18)])
def test_a_damaged_zip_is_no_dicom(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    assert not is_dicom(tmp_path)


def test_a_locked_zip_is_told_by_its_names(tmp_path: Path) -> None:
    for name, dicom in (("0001", False), ("0001.dcm", True)):
        path = tmp_path / name / "a.zip"
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, PREFIX)
        data = bytearray(path.read_bytes())
        data[6] |= 1  # encrypted, by its local header
        data[data.index(b"PK\1\2") + 8] |= 1
        path.write_bytes(data)
        assert is_dicom(path.parent) is dicom
