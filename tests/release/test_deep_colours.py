# SPDX-License-Identifier: Apache-2.0
"""Colours of more than 8 bits are protected like others: one range for all channels of a series."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.release.anonymize import anonymize


@pytest.mark.parametrize("bits", [16, 32])
def test_deep_colours_are_protected(tmp_path, bits: int) -> None:
    dtype = np.dtype(f"u{bits // 8}")
    pixels = np.random.default_rng(0).integers(0, 1 << (bits - 2), (24, 30, 3)).astype(dtype)
    ds = image(pixels[..., 0].astype(np.uint16), "OT", position=None)
    ds.SamplesPerPixel, ds.PlanarConfiguration, ds.PhotometricInterpretation = 3, 0, "RGB"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelData = bits - 1, pixels.tobytes()
    save(ds, tmp_path / "in" / "a.dcm")
    mask = np.zeros((24, 30), np.uint8)
    mask[8:18, 8:20] = 255
    (tmp_path / "masks" / "series_0001").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks" / "series_0001" / f"{ds.SOPInstanceUID}.png")
    done = anonymize(
        tmp_path / "in",
        tmp_path / "out",
        key_file=make_key(tmp_path),
        protect=True,
        masks=tmp_path / "masks",
        method="checkerboard",
        accept_burned_in=True,
        report=False,
    )
    assert [one.status for one in done.outcomes if one.measures] == ["protected"]
    [path] = (tmp_path / "out").rglob("*.dcm")
    changed = pydicom.dcmread(path).pixel_array != pixels
    assert changed[10, 10].any() and not changed[0].any()
