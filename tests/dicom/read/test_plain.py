# SPDX-License-Identifier: Apache-2.0
"""The short way to split a plain file gives what pydicom gives, or nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset

from tests.dicom_files import image
from umed.core.errors import InputError
from umed.dicom.objects import LIMITS
from umed.dicom.read import plain, stream

OWN = Path(pydicom.data.__file__).parent / "test_files"


def split(data: bytes) -> FileDataset | None:
    """As the reader does it: after the survey, of explicit VR little-endian only."""
    try:
        layout = stream.survey(io.BytesIO(data), len(data), LIMITS)
    except InputError:
        return None
    if layout.syntax != stream.EXPLICIT or layout.bare or layout.guessed:
        return None
    return plain.split(data, layout.start, len(data))


def same(ours: FileDataset, data: bytes) -> None:
    """Whether pydicom reads the same elements, bytes and character sets."""
    theirs = pydicom.dcmread(io.BytesIO(data), force=True)
    assert list(ours.items()) == list(theirs.items())
    assert [type(one) for one in ours.values()] == [type(one) for one in theirs.values()]
    assert ours.preamble == theirs.preamble and ours.file_meta == theirs.file_meta
    for one, other in ((ours, theirs), (ours.file_meta, theirs.file_meta)):
        assert one.original_encoding == other.original_encoding
        assert one.original_character_set == other.original_character_set
    assert ours == theirs


@pytest.mark.filterwarnings("ignore")
def test_pydicoms_own_files_are_split_alike() -> None:
    seen = 0
    for path in sorted(one for one in OWN.rglob("*") if one.is_file()):
        data = path.read_bytes()
        ours = split(data)
        if ours is not None:
            same(ours, data)
            seen += 1
    assert seen >= 20


def plain_file() -> bytes:
    """A small one with a character set, an empty value, a sequence and private elements."""
    ds = image(np.array([[1, 2], [3, 4]], np.int16), SpecificCharacterSet="ISO_IR 100", PatientName="Ente^Däisy")
    ds.PatientWeight = None
    ds.ReferencedImageSequence = [pydicom.Dataset()]
    ds.private_block(0x0009, "MAKER", create=True).add_new(1, "UN", b"abcd")
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


PLAIN = plain_file()


@pytest.mark.filterwarnings("ignore")
def test_a_plain_file_takes_the_short_way() -> None:
    ours = split(PLAIN)
    assert ours is not None
    same(ours, PLAIN)
    assert str(ours.PatientName) == "Ente^Däisy" and len(ours.ReferencedImageSequence) == 1


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(132, len(PLAIN) - 1), st.integers(0, 255)), max_size=3), st.integers(0, 9))
def test_broken_bytes_are_split_alike_or_left_to_pydicom(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(PLAIN[: len(PLAIN) - cut])
    for place, value in changes:
        if place < len(data):
            data[place] = value
    try:
        ours = split(bytes(data))
    except Exception as error:  # a character set that is none: pydicom must say the same
        with pytest.raises(type(error)):
            pydicom.dcmread(io.BytesIO(bytes(data)), force=True)
        return
    if ours is not None:
        theirs = pydicom.dcmread(io.BytesIO(bytes(data)), force=True)
        assert list(ours.items()) == list(theirs.items())
        assert ours.original_character_set == theirs.original_character_set


def test_what_is_not_plain_is_left_to_pydicom() -> None:
    layout = stream.survey(io.BytesIO(PLAIN), len(PLAIN), LIMITS)
    assert plain.split(PLAIN[:-1], layout.start, len(PLAIN) - 1) is None
    assert plain.split(PLAIN, layout.start, len(PLAIN) + 1) is None
    assert plain.split(PLAIN[:128] + b"NONE" + PLAIN[132:], layout.start, len(PLAIN)) is None
    assert plain.split(PLAIN, layout.start - 1, len(PLAIN)) is None
    ds = pydicom.dcmread(io.BytesIO(PLAIN))
    ds["ReferencedImageSequence"].is_undefined_length = True
    buffer = io.BytesIO()
    ds.save_as(buffer)
    assert split(buffer.getvalue()) is None
