# SPDX-License-Identifier: Apache-2.0
"""Odd files that have a mask are protected, not put aside with the name of an exception."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.tag import Tag

import umed
from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.release.anonymize import anonymize


def deep_colours(dtype: type[np.unsignedinteger]) -> FileDataset:
    ds = image(np.zeros((32, 32), np.uint16), "MR", PatientName="Muster^Erika")
    values = np.random.default_rng(0).integers(0, 50_000, (32, 32, 3)).astype(dtype)
    ds.SamplesPerPixel, ds.PlanarConfiguration, ds.PhotometricInterpretation = 3, 0, "RGB"
    ds.BitsAllocated = ds.BitsStored = 8 * values.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = values.tobytes()
    return ds


def grey(_: object = None) -> FileDataset:
    pixels = np.random.default_rng(0).integers(0, 3_000, (32, 32)).astype(np.uint16)
    return image(pixels, "MR", PatientName="Muster^Erika")


def masked(folder: Path) -> Path:
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    (folder / "series_0001").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "series_0001" / "frame_1.png")
    return folder


@pytest.mark.parametrize(("make", "given"), [(deep_colours, np.uint16), (deep_colours, np.uint32), (grey, None)])
@pytest.mark.parametrize("identified", [False, True])
def test_it_is_protected(tmp_path, make, given, identified: bool) -> None:
    source = tmp_path / "in"
    before = make(given)
    path = save(before, source / "a.dcm")
    if given is None:  # an item outside of any sequence, as some old archives leave them behind
        path.write_bytes(path.read_bytes() + b"\xfe\xff\x00\xe0\x08\0\0\0Muster^E")
    options = {"masks": masked(tmp_path / "masks"), "method": "checkerboard"}
    if identified:
        done = umed.protect(source, tmp_path / "out", **options)
    else:
        key = make_key(tmp_path)
        done = anonymize(source, tmp_path / "out", key_file=key, protect=True, accept_burned_in=True, **options)
        assert json.loads((tmp_path / "out-private" / "quarantine.json").read_text())["files"] == []
    assert [(one.status, one.reason) for one in done.outcomes] == [("protected", "")]
    [written] = (tmp_path / "out").rglob("*.dcm")
    after = pydicom.dcmread(written)
    assert after.PixelData != before.PixelData and len(after.PixelData) == len(before.PixelData)
    assert Tag(0xFFFEE000) not in after
