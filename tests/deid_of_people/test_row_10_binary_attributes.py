# SPDX-License-Identifier: Apache-2.0
"""Row 10: text in binary attributes is not looked for; they are replaced by neutral values, or removed."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import ImageCms
from pydicom._dicom_dict import DicomDictionary

from tests.deid_of_people.text_release import EVERYTHING, anonymized, cleaned, item, picture, stored
from tests.dicom_files import image
from umed.deid.binary_values import NUMBERS, PIXELS, srgb_profile
from umed.deid.engine import Quarantine

SECRET = b"Quagmire Peregrina, tel 044 255 11 11. "
BULK = sorted(
    tag for tag, entry in DicomDictionary.items()
    if any(vr in entry[0] for vr in ("OB", "OW", "OF", "OD", "OL", "OV")) and tag >> 16 > 8 and tag not in PIXELS
)  # fmt: skip
NUMERIC = sorted(
    tag for tag, entry in DicomDictionary.items()
    if entry[0] in ("FD", "FL", "UL", "US", "SS", "SL", "AT") and tag >> 16 > 8 and tag & 0xFFFF
    and tag >> 16 not in (0x0028,)
)  # fmt: skip


@pytest.mark.parametrize("profile", ["basic", EVERYTHING])
def test_text_in_any_bulk_attribute_does_not_stay(tmp_path, profile: str) -> None:
    ds = picture()
    for tag in BULK:
        if tag == 0x00420011:  # an encapsulated document is put aside as a whole
            continue
        stored(ds, tag, DicomDictionary[tag][0].split(" or ")[0], SECRET * 2)
    ds.OpticalPathSequence = [item()]
    stored(ds.OpticalPathSequence[0], 0x00282000, "OB", SECRET)
    code, files = anonymized(tmp_path, ds, profile)
    raw = files[0].read_bytes()
    assert code == 0
    assert b"Quagmire" not in raw and b"Peregrina" not in raw and b"255 11" not in raw
    found = pydicom.dcmread(files[0])
    assert found.OpticalPathSequence[0].ICCProfile == srgb_profile()
    assert (found.pixel_array == np.arange(64).reshape(8, 8)).all()


def test_text_in_numbers_does_not_stay() -> None:
    ds = picture()
    for tag in NUMERIC:
        stored(ds, tag, DicomDictionary[tag][0], SECRET[:24])
    found = cleaned(ds)
    left = [one for one in found if one.tag in NUMERIC and one.value not in (None, "")]
    assert left == []


def test_an_icc_profile_becomes_that_of_srgb(tmp_path) -> None:
    ds = image(np.zeros((8, 8, 3), np.uint8), position=None)
    own = bytearray(srgb_profile())
    own[len(own) - 20 :] = SECRET[:20]
    ds.ICCProfile, ds.ColorSpace = bytes(own), "ADOBERGB"
    _, files = anonymized(tmp_path, ds, "basic", "--accept-burned-in")
    found = pydicom.dcmread(files[0])
    assert found.ICCProfile == srgb_profile() and found.ColorSpace == "SRGB"
    profile = ImageCms.ImageCmsProfile(io.BytesIO(found.ICCProfile))
    assert "sRGB" in profile.profile.profile_description and profile.profile.creation_date.year == 2000


def lut(values: np.ndarray) -> pydicom.Dataset:
    made = item(LUTDescriptor=[len(values), 0, 16], LUTExplanation="normal")
    stored(made, 0x00283006, "OW", values.astype("<u2").tobytes())
    return made


def test_a_curve_stays_and_any_other_lookup_table_becomes_a_line() -> None:
    curve = np.round(4000 / (1 + np.exp(-np.linspace(-5, 5, 256))))
    text = np.frombuffer((SECRET * 14)[:512], "<u2")
    ds = picture(VOILUTSequence=[lut(curve), lut(text), lut(np.frombuffer(SECRET[:8], "<u2"))])
    first, second, third = cleaned(ds).VOILUTSequence
    assert np.array_equal(np.frombuffer(first.LUTData, "<u2"), curve)
    assert np.array_equal(np.frombuffer(second.LUTData, "<u2"), np.round(np.linspace(0, 65535, 256)))
    assert SECRET[:4] not in third.LUTData


def test_a_modality_table_that_may_hold_text_puts_the_file_aside() -> None:
    with pytest.raises(Quarantine, match="modality lookup table is no curve"):
        cleaned(picture(ModalityLUTSequence=[lut(np.frombuffer((SECRET * 14)[:512], "<u2"))]))
    kept = cleaned(picture(ModalityLUTSequence=[lut(np.arange(256) * 16)])).ModalityLUTSequence[0]
    assert np.frombuffer(kept.LUTData, "<u2")[255] == 4080


def test_a_palette_keeps_its_colours_but_no_letters() -> None:
    ds = picture(PhotometricInterpretation="PALETTE COLOR")
    ramp = np.arange(256, dtype="<u2") * 257
    for number, values in enumerate((ramp, ramp[::-1], np.frombuffer((SECRET * 14)[:512], "<u2"))):
        ds.add_new(0x00281101 + number, "US", [256, 0, 16])
        stored(ds, 0x00281201 + number, "OW", values.astype("<u2").tobytes())
    found = cleaned(ds)
    red = np.frombuffer(found.RedPaletteColorLookupTableData, "<u2")
    assert np.abs(red.astype(int) - ramp).max() <= 8 * 257
    blue = found.BluePaletteColorLookupTableData
    assert len(blue) == 512 and len(set(blue)) <= 16 and not any(SECRET[at : at + 3] in blue for at in range(30))


def test_meshes_and_deformation_fields_stay() -> None:
    assert 0x00660016 in NUMBERS
    points = np.linspace(-200, 200, 30, dtype="<f4")
    ds = picture()
    stored(ds, 0x00660016, "OF", points.tobytes())
    stored(ds, 0x00189309, "FD", np.array([38.4], "<f8").tobytes())  # its bytes are printable
    found = cleaned(ds)
    assert np.array_equal(np.frombuffer(found.PointCoordinatesData, "<f4"), points) and found.TableSpeed == 38.4
