# SPDX-License-Identifier: Apache-2.0
"""Stored values survive decoding and every syntax bit for bit; what cannot be exact is refused."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from tests.dicom_files import image
from umed.core.errors import InputError
from umed.dicom.pixels import pixel_data

RNG = np.random.default_rng(1)


def values_for(dtype, bits, shape=(1, 33, 35)):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if np.dtype(dtype).kind == "i" else (0, (1 << bits) - 1)
    found = RNG.integers(low, high, shape, endpoint=True).astype(dtype)
    found.flat[:2] = low, high
    return found


def written(ds):
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("syntax", pixel_data.SYNTAXES)
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("uint8", 8),
        ("int8", 8),
        ("uint16", 16),
        ("int16", 16),
        ("uint16", 12),
        ("int16", 12),
        ("int16", 13),
        ("uint16", 9),
    ],
)
def test_every_syntax_keeps_every_bit(syntax, dtype, bits):
    expected = values_for(dtype, bits)
    ds = image(np.zeros_like(expected[0]), bits=bits, LossyImageCompression="01", LossyImageCompressionRatio=7)
    uid = ds.SOPInstanceUID
    pixel_data.encode(ds, expected, syntax)
    again = written(ds)
    assert again.file_meta.TransferSyntaxUID == pixel_data.SYNTAXES[syntax]
    assert (again.SOPInstanceUID, again.BitsStored, again.LossyImageCompression) == (uid, bits, "01")
    decoded = pixel_data.decode(again)
    assert decoded.dtype == np.dtype(dtype) and np.array_equal(decoded, expected)
    assert np.array_equal(again.pixel_array.astype("i8"), expected[0].astype("i8"))  # pydicom agrees


@pytest.mark.parametrize("syntax", pixel_data.SYNTAXES)
def test_colours_and_frames(syntax):
    expected = RNG.integers(0, 256, (3, 33, 35, 3)).astype(np.uint8)
    ds = image(np.zeros_like(expected), "US", position=None)
    pixel_data.encode(ds, expected, syntax)
    again = written(ds)
    assert np.array_equal(pixel_data.decode(again), expected) and again.PhotometricInterpretation == "RGB"
    assert np.array_equal(pixel_data.decode(again)[1:2], expected[1:2])


def test_32_bits_go_uncompressed_or_deflated_only():
    expected = values_for("uint32", 32)
    for syntax in ("explicit-le", "deflated"):
        ds = image(np.zeros_like(expected[0]))
        pixel_data.encode(ds, expected, syntax)
        assert np.array_equal(pixel_data.decode(written(ds)), expected)
    for syntax in ("rle", "jpeg2000-lossless", "jpegls"):
        with pytest.raises(InputError, match=f"{syntax} cannot hold"):
            pixel_data.encode(image(np.zeros_like(expected[0])), expected, syntax)


def test_planar_colours_become_interleaved():
    expected = RNG.integers(0, 256, (1, 4, 6, 3)).astype(np.uint8)
    ds = image(expected[0], "OT", position=None)
    ds.PlanarConfiguration = 1
    ds.PixelData = np.moveaxis(expected[0], -1, 0).tobytes()
    assert np.array_equal(pixel_data.decode(ds), expected)
    pixel_data.encode(ds, expected)
    assert ds.PlanarConfiguration == 0 and np.array_equal(pixel_data.decode(ds), expected)


def test_odd_lengths_are_padded():
    expected = values_for("uint8", 8, (1, 3, 3))
    ds = image(expected[0])
    pixel_data.encode(ds, expected)
    assert len(ds.PixelData) == 10 and np.array_equal(pixel_data.decode(written(ds)), expected)


def test_big_endian_comes_out_little_endian_with_its_lookup_tables():
    expected = values_for("int16", 16)
    ds = image(expected[0])
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.2")
    ds.PixelData = expected.astype(">i2").tobytes()
    lut = pydicom.Dataset()
    lut.LUTDescriptor, lut.LUTData = [3, 0, 16], np.array([1, 2, 300], ">u2").tobytes()
    lut["LUTData"].VR = "OW"
    ds.VOILUTSequence = [lut]
    ds.set_original_encoding(False, False)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    big = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    assert np.array_equal(pixel_data.decode(big), expected)
    pixel_data.encode(big, expected)
    little = written(big)
    assert np.array_equal(pixel_data.decode(little), expected) and little.Rows == 33
    assert np.frombuffer(little.VOILUTSequence[0].LUTData, "<u2").tolist() == [1, 2, 300]


def high_bits(value, **attributes):
    ds = image(np.zeros((2, 2), np.uint16), bits=12, **attributes)
    ds.PixelData = np.full((2, 2), value, "<u2").tobytes()
    return ds


def test_bits_above_bits_stored_need_an_explanation():
    with pytest.raises(InputError, match="bits above the 12 of BitsStored"):
        pixel_data.decode(high_bits(0x1234))
    overlaid = high_bits(0x1234)
    overlaid.add_new((0x6000, 0x0102), "US", 12)
    assert (pixel_data.decode(overlaid) == 0x234).all()
    overlaid.add_new((0x6000, 0x3000), "OW", b"\0\0")  # the overlay lies elsewhere, so it explains nothing
    with pytest.raises(InputError, match="bits above"):
        pixel_data.decode(overlaid)


@pytest.mark.parametrize(("raw", "value"), [(0x0FFF, -1), (0xFFFF, -1), (0x0800, -2048), (0x07FF, 2047)])
def test_signed_values_are_extended_by_their_own_sign(raw, value):
    ds = high_bits(raw)
    ds.PixelRepresentation = 1
    assert (pixel_data.decode(ds) == value).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"HighBit": 15}, "high bit 11, got 15"),
        ({"BitsAllocated": 12}, "12 of 12 bits"),
        ({"Rows": 0}, "expected rows"),
        ({"Rows": 3}, "pixel data are broken"),
        ({"SamplesPerPixel": 4}, "4 samples"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "without loss"),
    ],
)
def test_headers_that_contradict_themselves_are_refused(change, words):
    ds = high_bits(1)
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    with pytest.raises(InputError, match=words):
        pixel_data.decode(ds)


def test_no_or_floating_pixels_are_refused():
    ds = high_bits(1)
    del ds.PixelData
    with pytest.raises(InputError, match="no pixel data"):
        pixel_data.decode(ds)
    ds.FloatPixelData = b"\0" * 16
    with pytest.raises(InputError, match="floating point"):
        pixel_data.decode(ds)


def test_decoded_size_is_checked_first():
    ds = high_bits(1)
    ds.Rows = ds.Columns = 65535
    ds.NumberOfFrames = 1 << 30
    with pytest.raises(InputError, match="at most 4294967296 bytes"):
        pixel_data.decode(ds)


def test_encode_refuses_what_does_not_fit():
    ds = high_bits(1)
    with pytest.raises(InputError, match="values from 0 to 4095, got 0 to 4096"):
        pixel_data.encode(ds, np.array([[[0, 1], [2, 4096]]], np.uint16))
    with pytest.raises(InputError, match=r"expected values \(1, 2, 2\) uint16"):
        pixel_data.encode(ds, np.zeros((1, 2, 3), np.uint16))
    with pytest.raises(InputError, match="jpeg2000-lossless cannot hold images of 2 x 2"):
        pixel_data.encode(ds, np.zeros((1, 2, 2), np.uint16), "jpeg2000-lossless")
    with pytest.raises(InputError, match="got 'jpeg'"):
        pixel_data.encode(ds, np.zeros((1, 2, 2), np.uint16), "jpeg")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.booleans(), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["deflated", "rle"]))
def test_any_small_image_round_trips(bits, signed, rows, columns, syntax):
    dtype = f"{'int' if signed else 'uint'}{8 if bits <= 8 else 16}"
    expected = values_for(dtype, bits, (1, rows, max(columns, 2)))
    ds = image(np.zeros_like(expected[0]), bits=bits)
    pixel_data.encode(ds, expected, syntax)
    assert np.array_equal(pixel_data.decode(written(ds)), expected)


@pytest.mark.parametrize(
    ("value", "limit", "dtype", "padded"),
    [
        (-2000, None, "int16", [-2000]),
        (63536, None, "int16", [-2000]),  # written as US though the pixels are signed
        (0, 10, "uint16", [0, 5, 10]),
        (10, 0, "uint16", [0, 5, 10]),
    ],
)
def test_padding_is_untouchable(value, limit, dtype, padded):
    ds = image(np.zeros((2, 2), dtype))
    ds.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", "US", limit)
    values = np.array([*padded, 11, 3000], dtype)
    assert pixel_data.untouchable(ds, values).tolist() == [True] * len(padded) + [False] * 2


def test_without_padding_all_may_change():
    assert pixel_data.untouchable(image(np.zeros((2, 2), np.int16)), np.zeros((1, 2, 2), np.int16)) is None


def test_pixel_data_of_the_wrong_syntax_is_refused():
    ds = image(np.ones((33, 33), np.int16))
    pixel_data.encode(ds, np.ones((1, 33, 33), np.int16), "jpegls")
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    with pytest.raises(InputError, match="says they are not"):
        pixel_data.decode(ds)


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 8), ("uint16", 12), ("int16", 12), ("int16", 16), ("uint8", 5)])
def test_sound_pixels_are_what_encode_writes(dtype, bits):
    ds = written(image(values_for(dtype, bits)[0, :32], bits=bits))
    assert pixel_data.is_sound(ds)
    before = ds.get_item("PixelData").value
    pixel_data.encode(ds, pixel_data.decode(ds))
    assert ds.PixelData == before and ds["PixelData"].VR == ("OB" if bits <= 8 else "OW")


def test_what_is_not_sound_is_decoded():
    def changed(change, values=None):
        values = values_for("int16", 12)[0, :32] if values is None else values
        ds = image(values, bits=12)
        change(ds)
        return written(ds)

    assert pixel_data.is_sound(changed(lambda ds: None))
    high = values_for("int16", 12)[0, :32] & 0x0FFF  # negative values whose sign was not extended
    assert not pixel_data.is_sound(changed(lambda ds: None, high))
    for keyword, value in {
        "PixelData": bytes(2 * 32 * 35 + 2),
        "PhotometricInterpretation": "PALETTE COLOR",
        "HighBit": 15,
        "ExtendedOffsetTable": bytes(8),
        "Rows": 31,
    }.items():
        assert not pixel_data.is_sound(changed(lambda ds, k=keyword, v=value: setattr(ds, k, v))), keyword
    assert not pixel_data.is_sound(changed(lambda ds: delattr(ds, "PixelData")))
    assert not pixel_data.is_sound(changed(lambda ds: None), pixel_data.Limits(pixels_bytes=100))
    touched = changed(lambda ds: None)
    assert touched.PixelData and not pixel_data.is_sound(touched)
