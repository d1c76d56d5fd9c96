# SPDX-License-Identifier: Apache-2.0
"""What somebody plants into an output: the check finds it, or says that it did not look there."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset

from tests.deid_of_people.text_release import anonymized, loose, picture
from umed.deid.check import Examined, examine

ORIGINAL = {
    "PatientID": "9173-4428", "PatientName": "Krawczyk^Zdzislaw", "PatientBirthDate": "19410503",
    "AccessionNumber": "A5520913", "PatientTelephoneNumbers": "044 255 91 37", "InstitutionName": "Zauberberg",
}  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an input and its output."""
    folder = tmp_path_factory.mktemp("red")
    code, files = anonymized(folder, picture(**ORIGINAL))
    assert code == 0 and len(files) == 1
    return folder


def planted(release: Path, name: str, data: bytes) -> Examined:
    """What a check says of the output with one more file."""
    path = release / "out" / name
    path.write_bytes(data)
    try:
        return examine(release / "out", release / "in")
    finally:
        path.unlink()


def changed(release: Path, change: Callable[[FileDataset], None]) -> Examined:
    """What a check says of the output after a change of its file."""
    path = next((release / "out").rglob("*.dcm"))
    before = path.read_bytes()
    ds = pydicom.dcmread(io.BytesIO(before))
    change(ds)
    ds.save_as(path)
    try:
        return examine(release / "out", release / "in")
    finally:
        path.write_bytes(before)


def packed(data: bytes) -> bytes:
    """A zip of one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", data)
    return file.getvalue()


def test_nothing_is_found_in_what_was_written(release: Path) -> None:
    assert examine(release / "out", release / "in").ok


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(gzip.compress(b"for Krawczyk")),
        packed(gzip.compress(gzip.compress(b"for Krawczyk"))),
        bz2.compress(b"for Krawczyk"),
        packed(b"<w:t>Krawc</w:t></w:r><w:r><w:t>zyk</w:t>"),
        rb"{\rtf1 Kra\'77czyk}",
        b"Subject: hello\n\n=4Brawczyk",
        b"Subject: hello\n\nKraw=\nczyk",
        b"x = '\\x4brawczyk'",
        b"+41 44 2559137",
        b"+41442559137",
        b"0041442559137",
        b"T1 9173 44 28",
    ],
)
def test_a_planted_file_is_found(release: Path, data: bytes) -> None:
    assert not planted(release, "a.bin", data).ok


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00181020, "LO", "+41 44 2559137"),
        (0x00180050, "DS", "9.1734428e7"),
        (0x00181020, "LO", "T1 9173 44 28"),
        (0x00181020, "LO", "%4Brawczyk"),
    ],
)
def test_a_planted_value_is_found(release: Path, tag: int, vr: str, value: str) -> None:
    found = changed(release, lambda ds: loose(ds, tag, vr, value)).findings
    assert [one for one in found if one.kind in ("name", "text")]


def test_numbers_in_rows_are_no_findings(release: Path) -> None:
    for text in (b"12 91 73 44 28 5", b"191734428", b"917344281", b"1.917.344.28", b"99 041 442 559"):
        assert planted(release, "a.txt", text).ok


@pytest.mark.parametrize("data", [b"7z\xbc\xaf\x27\x1c" + bytes(40), b"Rar!\x1a\x07\x01\0" + bytes(40)])
def test_what_cannot_be_unpacked_is_listed(release: Path, data: bytes) -> None:
    examined = planted(release, "a.bin", data)
    assert any("cannot be unpacked" in str(one) for one in examined.unsearched)
    assert any("other encodings" in str(one) for one in examined.unsearched)
