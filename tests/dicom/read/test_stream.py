# SPDX-License-Identifier: Apache-2.0
"""The walk over lengths counts what pydicom would build, and stops what must not be built."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.dicom_files import dataset, image
from umed.core.errors import InputError
from umed.dicom.objects import Limits
from umed.dicom.read import stream


def raw(ds, *, preamble=True):
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue() if preamble else buffer.getvalue()[132:]


def survey(content, limits=None):
    return stream.survey(io.BytesIO(content), len(content), limits or Limits())


def test_finds_syntax_start_and_pixels():
    ds = image(np.arange(12, dtype=np.int16).reshape(3, 4))
    content = raw(ds)
    layout = survey(content)
    assert layout.syntax == stream.EXPLICIT and not layout.guessed and not layout.bare
    assert layout.pixels is not None and content[layout.pixels : layout.pixels + 4] == b"\xe0\x7f\x10\x00"
    assert content[layout.start : layout.start + 4] == b"\x08\x00\x05\x00"


def test_counts_nested_elements_and_items():
    ds = dataset()
    plain = survey(raw(ds)).elements
    inner = Dataset()
    inner.CodeValue = "1"
    outer = Dataset()
    outer.ConceptNameCodeSequence = [inner, inner]
    ds.ProcedureCodeSequence = [outer]
    assert survey(raw(ds)).elements == plain + 1 + 1 + 1 + 2 + 2  # sequence, item, sequence, two items, two values


@pytest.mark.parametrize(
    ("implicit", "little", "syntax"), [(True, True, stream.IMPLICIT), (False, True, stream.EXPLICIT)]
)
def test_without_preamble_and_meta_the_syntax_is_guessed(implicit, little, syntax):
    ds = dataset()
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, ds)
    layout = survey(buffer.getvalue())
    assert (layout.syntax, layout.guessed, layout.bare, layout.start) == (syntax, True, True, 0)


def test_chance_dicm_at_128_of_a_bare_set_is_no_preamble():
    ds = dataset()
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, ds)
    content = buffer.getvalue()
    filler = struct.pack("<HHI", 8, 0x0001, 112) + b" " * 112 + struct.pack("<HHI", 8, 0x0005, 4) + b"DICM"
    assert filler[128:132] == b"DICM"
    assert survey(filler + content).bare


def sequences(depth, *, undefined):
    body = b""
    for _ in range(depth):
        length = 0xFFFFFFFF if undefined else len(body)
        end = b"\xfe\xff\x0d\xe0\0\0\0\0" if undefined else b""
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", length) + body + end
        size = 0xFFFFFFFF if undefined else len(item)
        close = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b""
        body = b"\x40\x00\x75\x02SQ\0\0" + struct.pack("<I", size) + item + close
    return b"\x08\x00\x05\x00CS\0\0" + body


@pytest.mark.parametrize("undefined", [True, False])
def test_depth_is_limited(undefined):
    assert survey(sequences(32, undefined=undefined)).elements == 1 + 64
    with pytest.raises(InputError, match="nested at most 32 deep"):
        survey(sequences(33, undefined=undefined))
    with pytest.raises(InputError, match="nested at most 32 deep"):
        survey(sequences(5000, undefined=undefined))


def test_number_of_elements_is_limited():
    content = b"\x08\x00\x05\x00CS\0\0" + b"\x10\x00\x10\x00LO\0\0" * 50
    assert survey(content, Limits(elements=51)).elements == 51
    with pytest.raises(InputError, match="at most 50 data elements"):
        survey(content, Limits(elements=50))


def test_header_is_limited_and_pixels_do_not_count():
    ds = image(np.zeros((100, 100), np.int16))
    assert survey(raw(ds), Limits(header_bytes=2000)).pixels
    ds.ImageComments = "x" * 3000
    with pytest.raises(InputError, match="header of at most 2000 bytes"):
        survey(raw(ds), Limits(header_bytes=2000))


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"\x10\x00\x10\x00UT\0\0" + struct.pack("<I", 0x7FFFFFFF), "past the end of the file"),
        (b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff", "without an end"),
        (b"\x40\x00\x75\x02SQ\0\0" + struct.pack("<I", 8) + b"\x10\0\x10\0LO\0\0", "expected an item"),
        (b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\0\0\0", "cut off"),
        (b"\x40\x00\x75\x02SQ\0\0" + struct.pack("<I", 8) + b"\xfe\xff\x00\xe0\x08\0\0\0" + b"\0" * 8, "longer than"),
        (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\x10\x00\x10\x00LO\0\0", "after the end"),
    ],
)
def test_broken_structure_is_named(tail, words):
    with pytest.raises(InputError, match=words):
        survey(b"\x08\x00\x05\x00CS\0\0" + tail)


def test_private_value_that_only_looks_like_a_sequence_is_left_alone():
    value = b"\xfe\xff\x00\xe0" + b"\xff" * 12
    tail = b"\x09\x00\x10\x10UN\0\0" + struct.pack("<I", len(value)) + value
    assert survey(b"\x08\x00\x05\x00CS\0\0" + tail).elements >= 2


@pytest.mark.parametrize("content", [b"", b"hello world, this is text", b"\0" * 400, b"\x1f\x8b\x08\x00" * 50])
def test_other_files_are_not_dicom(content):
    with pytest.raises(InputError, match="not a DICOM file"):
        survey(content)


def test_network_messages_are_refused():
    content = raw(dataset())
    layout = survey(content)
    command = b"\0\0\0\0\x04\0\0\0\0\0\0\0"
    with pytest.raises(InputError, match="network message"):
        survey(content[: layout.start] + command + content[layout.start :])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_layout_or_an_input_error(tail):
    try:
        layout = survey(b"\x08\x00\x05\x00CS\0\0" + tail)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert 1 <= layout.elements <= 1 + len(tail) // 4
