# SPDX-License-Identifier: Apache-2.0
"""Looks into data sets that leave the bytes alone: only where pydicom would write the same ones."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from umed.dicom.held import has, held, tag_of, texts_at_rest, value_at_rest, value_of

_LONG = ("UN", "OB", "SQ")


def read(*elements: tuple[str, str, bytes]) -> FileDataset:
    """A data set as pydicom reads it, from keywords, VRs and raw values."""
    body = b""
    for keyword, vr, value in elements:
        tag = int(tag_of(keyword))
        body += struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, FileDataset("", {}, file_meta=meta, preamble=bytes(128)), enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue() + body))


def written(dataset: Dataset, keyword: str) -> bytes:
    """What pydicom writes for an attribute that was looked at."""
    alone = Dataset()
    alone.add(dataset[tag_of(keyword)])
    buffer = io.BytesIO()
    alone.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()[8:]


@given(st.sampled_from(("LO", "SH", "CS")), st.text("A1 ~\\\0\x1b\n", min_size=0, max_size=12))
def test_texts_stay_at_rest_only_where_pydicom_writes_the_same_bytes(vr: str, text: str) -> None:
    raw = text.encode("ascii")
    raw += b" " * (len(raw) % 2)
    dataset = read(("Manufacturer", vr, raw))
    found = texts_at_rest(dataset, "Manufacturer")
    if found is None:
        return
    value = dataset.Manufacturer
    assert found == ([value] if isinstance(value, str) else list(value))
    assert written(dataset, "Manufacturer") == raw


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("LO", b"Maker ", ["Maker"]),
        ("CS", b"DERIVED\\PRIMARY ", ["DERIVED", "PRIMARY"]),
        ("UI", b"1.2.3\0", ["1.2.3"]),
        ("LO", b"Maker\0", None),
        ("LO", b"Maker   ", None),
        ("LO", b" Maker", None),
        ("LO", b"A \\B", None),
        ("LO", b"M\xfcller", None),
        ("LO", b"", None),
        ("UI", b"1.2.3 ", None),
        ("PN", b"A^B ", None),
    ],
)
def test_which_texts_are_at_rest(vr: str, raw: bytes, expected: list[str] | None) -> None:
    assert texts_at_rest(read(("Manufacturer", vr, raw)), "Manufacturer") == expected


def test_long_rows_of_words_take_no_time() -> None:
    assert texts_at_rest(read(("Manufacturer", "LO", b"a \\" * 20_000 + b"\0\0")), "Manufacturer") is None
    assert texts_at_rest(read(("Manufacturer", "LO", b"a" * 1022 + b"\0\0")), "Manufacturer") is None


def test_what_is_held_is_not_converted() -> None:
    dataset = read(("Rows", "US", b"\x07\x01"), ("Columns", "US", b""), ("PatientID", "LO", b"4711"))
    assert value_at_rest(dataset, "Rows") == 263
    stored = held(dataset, 0x00280010)
    assert isinstance(stored, pydicom.dataelem.RawDataElement) and stored.value == b"\x07\x01"
    assert has(dataset, 0x00100020) and not has(dataset, 0x00100010)
    assert held(dataset, 0x00100010) is None
    assert value_of(dataset, "PatientID") == "4711" and value_of(dataset, "PatientName", "-") == "-"
    empty = held(dataset, 0x00280011)
    assert empty is not None and not isinstance(empty, pydicom.dataelem.RawDataElement)  # as pydicom's get_item
    assert value_at_rest(dataset, "Columns") is None
