# SPDX-License-Identifier: Apache-2.0
"""Row 19: what --check did not find: names of folders, archives, base64, extended attributes, dates in words."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.cli.main import main

PATIENT = {
    "PatientName": "Quastenberg^Ottokar",
    "PatientID": "KH-0077190425",
    "PatientBirthDate": "19410503",
    "InstitutionName": "Klinik am Sonnenhang",
}


def packed(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    source, output = tmp_path / "in", tmp_path / "out"
    save(image(np.arange(64, dtype=np.uint16).reshape(8, 8), **PATIENT), source / "a")
    key = str(make_key(tmp_path))
    assert main(["anonymize", str(source), str(output), "--key-file", key, "--quiet"]) == 0
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 0
    capsys.readouterr()
    return source, output


@pytest.mark.parametrize(
    ("place", "content", "keyword"),
    [
        ("Ottokar Quastenberg/x", b"x", "PatientName"),
        ("a/KH_77190425", b"x", "PatientID"),
        ("a.zip", packed("a", b"seen: Quastenberg"), "PatientName"),
        ("a.zip", packed("ottokar/a", b"x"), "PatientName"),
        ("a.gz", gzip.compress(b"Klinik am Sonnenhang"), "InstitutionName"),
        ("a", packed("b", gzip.compress(packed("c", b"Quastenberg"))), "PatientName"),
        ("a.json", b'{"from": "' + base64.b64encode(b"/in/Quastenberg/1.dcm") + b'"}', "PatientName"),
        ("a.txt", b"born 3 May 1941", "PatientBirthDate"),
        ("a.txt", "né le 3 mai 1941".encode("latin-1"), "PatientBirthDate"),
        ("a.txt", b"03.05.41", "PatientBirthDate"),
        ("a.txt", "р. 3 мая 1941".encode("iso8859_5"), "PatientBirthDate"),
        ("a.txt", "OTTOKAR".encode("utf-16"), "PatientName"),
    ],
    ids="folder file zip name_in_zip gzip nested base64 spelled french short cyrillic utf16".split(),
)
def test_what_was_planted_is_found_and_not_quoted(released, capsys, place: str, content: bytes, keyword: str) -> None:
    source, output = released
    (output / place).parent.mkdir(exist_ok=True)
    (output / place).write_bytes(content)
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 1
    said = capsys.readouterr().out
    assert f"from {keyword}" in said and "not searched:" in said
    assert not any(secret in said.lower() for secret in ("quasten", "ottokar", "77190", "sonnenhang"))


def test_extended_attributes_are_searched(released, capsys) -> None:
    source, output = released
    try:
        os.setxattr(next(output.rglob("*.dcm")), "user.origin", b"file:///in/Quastenberg/1")
    except OSError:
        pytest.skip("a file system without extended attributes")
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 1
    assert "xattr: name, from PatientName" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(64), "cannot be unpacked"),
        (b"Salted__" + bytes(range(64)), "encrypted content"),
        (b"%PDF-1.4\n" + bytes(range(64)), "PDF"),
    ],
    ids=["7z", "openssl", "pdf"],
)
def test_what_cannot_be_searched_is_said(released, capsys, content: bytes, what: str) -> None:
    source, output = released
    (output / "x").write_bytes(content)
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 0
    assert what in capsys.readouterr().out.split("not searched:")[1]
    assert main(["anonymize", "--check", str(output), "--original", str(source), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["not_searched"]
    assert any(what in one["what"] and one["places"] == ["x"] for one in listed)
