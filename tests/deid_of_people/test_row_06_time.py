# SPDX-License-Identifier: Apache-2.0
"""Row 6, its time: a file that would stall a run is put aside with the reason, and the rest goes on."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from tests.dicom_files import image, save
from tests.files_of_people.every_command import call
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.read import reader
from umed.release.anonymize import anonymize

SHAPE = (12, 10)


def picture(number: int, **more: Any) -> FileDataset:
    pixels = np.full(SHAPE, 40 + number, np.int16)
    return image(pixels, series=number, instance=number, position=None, **more)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    DeidKey.create(tmp_path / "key")
    return tmp_path / "key"


def run(folder: Path, key: Path) -> tuple[int, str, int, float]:
    """Exit code, stderr, files written, seconds of computing."""
    began = time.process_time()
    said = call(["anonymize", str(folder / "in"), str(folder / "out"), "--key-file", str(key), "--quiet"])
    return said.code, said.err, len(list((folder / "out").rglob("*.dcm"))), time.process_time() - began


def test_one_file_that_never_ends_is_put_aside_and_the_rest_goes_on(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        save(picture(number, StationName="stall" if number == 2 else "fine"), tmp_path / "in" / f"{number}.dcm")
    clean = Deidentifier.__call__

    def stalling(self: Deidentifier, dataset: FileDataset, *words: Any, **more: Any) -> Any:
        if dataset.get("StationName") == "stall":
            re.match(r"(?:[-a ]+)+$", "-" * 62 + "!")
        return clean(self, dataset, *words, **more)

    monkeypatch.setattr(Deidentifier, "__call__", stalling)
    result = anonymize(tmp_path / "in", tmp_path / "out", key_file=key, report=False, limits=Limits(seconds=0.5))
    assert result.written == 3
    [aside] = [one for one in result.quarantine if one.name == "2.dcm"]
    assert aside.category == "profile"
    assert aside.reason.startswith("expected a file that is read and cleaned within 0.5 s of computing time")


def test_a_header_that_takes_too_long_is_put_aside_already_when_it_is_read(tmp_path: Path, key: Path) -> None:
    save(picture(1), tmp_path / "in" / "1.dcm")
    path = save(picture(2), tmp_path / "in" / "2.dcm")
    raw = path.read_bytes()
    place = raw.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(raw[:place] + _element(0x0041, 0x10, b"LO", b"MAKER ") * 300_000 + raw[place:])
    result = anonymize(tmp_path / "in", tmp_path / "out", key_file=key, report=False, limits=Limits(seconds=0.2))
    assert [one.name for one in result.quarantine] == ["2.dcm"] and result.written == 1
    assert "within 0.2 s" in result.quarantine[0].reason and result.quarantine[0].category == "file"


@pytest.mark.parametrize("kind", ["private", "items", "nested"])
@pytest.mark.parametrize("count", [4000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_files_of_very_many_elements_end_in_seconds(count: int, kind: str, tmp_path: Path, key: Path) -> None:
    save(picture(1), tmp_path / "in" / "1.dcm")
    path = save(picture(2, PatientName="Qxzvwy^Jkplmn"), tmp_path / "in" / "2.dcm")
    raw, name, added = path.read_bytes(), _element(0x0040, 0xA730, b"LO", b"Qxzvwy"), b""
    if kind == "private":
        for group in range(count // 250):
            added += _element(0x0041 + 2 * group, 0x10, b"LO", b"MAKER ")
            added += b"".join(_element(0x0041 + 2 * group, 0x1000 + n, b"LO", b"Qxzvwy") for n in range(250))
    elif kind == "items":
        added = _sequence(0x0040, 0x0275, [name] * count)
    else:
        inner = name
        for _ in range(25):
            inner = name + _sequence(0x0040, 0xA731, [inner])
        added = _sequence(0x0040, 0x0275, [inner] * (count // 50))
    place = raw.index(b"\xe0\x7f\x10\x00")  # before the pixels
    path.write_bytes(raw[:place] + added + raw[place:])
    code, said, written, seconds = run(tmp_path, key)
    assert (code, written) == (0, 2), said
    assert seconds < LIMITS.seconds
    assert not any(b"Qxzvwy" in path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm"))


def _element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def _sequence(group: int, number: int, items: list[bytes]) -> bytes:
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in items)
    return struct.pack("<HH2sHI", group, number, b"SQ", 0, len(body)) + body


def test_text_without_measure_is_put_aside_by_its_length(tmp_path: Path, key: Path) -> None:
    save(picture(1), tmp_path / "in" / "1.dcm")
    save(picture(2, PixelDataProviderURL="x" * (LIMITS.text_bytes + 2)), tmp_path / "in" / "2.dcm")
    implicit = picture(3, ImageComments="- " * LIMITS.text_bytes)
    implicit.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    implicit.save_as(tmp_path / "in" / "3.dcm", implicit_vr=True, little_endian=True, enforce_file_format=True)
    code, said, written, _ = run(tmp_path, key)
    assert (code, written) == (3, 1), said
    assert reader.read(tmp_path / "in" / "1.dcm", pixels=True).PixelData
    listed = (tmp_path / "out-private" / "quarantine.json").read_text()
    assert "expected at most 262144 bytes of text in (0028,7FE0), got 262146" in listed
    assert "expected at most 262144 bytes of text in (0020,4000), got 524288" in listed


@pytest.mark.parametrize("text", ["- " * 31 + "Qx9", "-" * 60_000, "Wort" * 2000, "a.b-c/" * 10_000, "1 2 " * 15_000])
def test_pathological_text_ends_within_the_limit(text: str, tmp_path: Path, key: Path) -> None:
    save(picture(1), tmp_path / "in" / "1.dcm")
    odd = picture(2, InstitutionName=text[:64], StudyDescription=text[:64], ImageComments=text[:10_000])
    odd.AdditionalPatientHistory = text
    save(odd, tmp_path / "in" / "2.dcm")
    result = anonymize(tmp_path / "in", tmp_path / "out", key_file=key, report=False, limits=Limits(seconds=2))
    assert result.written + len(result.quarantine) == 2 and result.written >= 1
