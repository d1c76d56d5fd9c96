# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from tests.dicom_files import image, save
from umed.core.errors import InputError
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile
from umed.dicom.pixels import pixel_data, writing
from umed.dicom.read import reader

PIXELS = np.arange(64, dtype=np.int16).reshape(8, 8)


def with_pydicom(dataset):
    buffer = io.BytesIO()
    dataset.preamble = b"\0" * 128
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def both(path, change=lambda dataset: None):
    """The same file written in both ways."""
    written = []
    for write in (lambda dataset: b"".join(writing.chunks(dataset)), with_pydicom):
        dataset = reader.read(path, pixels=True)
        change(dataset)
        written.append(write(dataset))
    return written


def nested(dataset):
    dataset.ReferencedImageSequence = [image(PIXELS[:4])]
    dataset.PatientName = "Möller^Jürgen"
    dataset.add_new(0x00091001, "UN", b"ab" * 40000)
    dataset.add_new(0x00090010, "LO", "Maker")


@pytest.mark.parametrize("change", [lambda dataset: None, nested, lambda ds: setattr(ds, "SOPInstanceUID", "1.2.3")])
@pytest.mark.parametrize("syntax", [None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99"])
def test_the_bytes_are_those_of_pydicom(tmp_path, change, syntax):
    ds = image(PIXELS, ImageComments="x" * 300)
    if syntax == "1.2.840.10008.1.2.5":
        ds.compress(syntax, generate_instance_uid=False)
    elif syntax:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    ours, theirs = both(save(ds, tmp_path / "a.dcm"), change)
    assert ours == theirs and len(ours) > 500


def test_another_character_set_is_left_to_pydicom(tmp_path):
    path = save(image(PIXELS, PatientName="Möller^Jürgen"), tmp_path / "a.dcm")
    ours, theirs = both(path, lambda ds: setattr(ds, "SpecificCharacterSet", "ISO_IR 192"))
    assert ours == theirs and "Möller".encode() in ours


def test_the_preamble_is_empty(tmp_path):
    path = save(image(PIXELS), tmp_path / "a.dcm")
    path.write_bytes(b"II*\0 Erika Muster".ljust(128, b"\0") + path.read_bytes()[128:])
    assert b"".join(writing.chunks(reader.read(path, pixels=True)))[:132] == b"\0" * 128 + b"DICM"


def test_the_bytes_are_those_of_pydicom_for_real_files(dicom_zoo):
    """As they are read, de-identified, and with decoded pixels."""
    key, profile = DeidKey(bytes(range(32))), load_profile("basic")
    compared = 0
    for path in sorted(dicom_zoo.iterdir()):
        for change in (lambda ds: None, lambda ds: Deidentifier(key, profile)(ds, "x"), packed):
            try:
                theirs = both(path, change)
            except (InputError, ValueError, AttributeError, NotImplementedError, TypeError):
                continue  # pydicom cannot write it
            assert theirs[0] == theirs[1], path.name
            compared += 1
    assert compared > 200


def packed(dataset):
    pixel_data.encode(dataset, pixel_data.decode(dataset), "explicit-le")
