# SPDX-License-Identifier: Apache-2.0
"""Row 18: compressed pixels that claim far more than they can hold are refused from the header."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.deid_of_people.bounded_child import run
from tests.dicom_files import image, save
from umed.core.errors import InputError
from umed.deid.keys import DeidKey
from umed.dicom.pixels import codestream, pixel_data

SIDE = 30_000
RLE = "1.2.840.10008.1.2.5"
J2K, JPEG_LS = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"


def compressed(syntax: str, frames: list[bytes], side: int, count: int | None = None) -> FileDataset:
    ds = image(np.zeros((4, 4), np.uint8), "MR", position=None, instance=2, series=2)
    ds.Rows = ds.Columns = side
    if count is not None:
        ds.NumberOfFrames = count
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    return ds


def runs(size: int) -> bytes:
    """One RLE segment of runs of 128 zeros."""
    return struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0" * (size // 2)


def j2k(side: int) -> bytes:
    """The main header of a JPEG 2000 codestream of one component."""
    size = struct.pack(">HHIIIIIIIIHBBB", 41, 0, side, side, 0, 0, side, side, 0, 0, 1, 7, 1, 1)
    return b"\xff\x4f\xff\x51" + size + b"\0" * 200


def jpeg_ls(side: int) -> bytes:
    return b"\xff\xd8\xff\xf7" + struct.pack(">HBHHBBBB", 11, 8, side, side, 1, 1, 0x11, 0) + b"\0" * 200


@pytest.mark.parametrize(
    "syntax, frame",
    [(RLE, runs(2048)), (J2K, j2k(SIDE)), (JPEG_LS, jpeg_ls(SIDE))],
    ids=["rle", "jpeg2000", "jpegls"],
)
def test_a_frame_that_cannot_hold_its_pixels_is_put_aside_without_memory(
    syntax: str, frame: bytes, tmp_path: Path
) -> None:
    save(image(np.full((12, 10), 7, np.int16), position=None), tmp_path / "in" / "good.dcm")
    save(compressed(syntax, [frame], SIDE), tmp_path / "in" / "huge.dcm")
    assert (tmp_path / "in" / "huge.dcm").stat().st_size < 5000
    DeidKey.create(tmp_path / "key")
    ended = run("anonymize", tmp_path / "in", tmp_path / "out", "--key-file", tmp_path / "key", "--quiet")
    assert ended.code == 3 and len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    assert ended.peak < 300
    [aside] = json.loads((tmp_path / "out-private" / "quarantine.json").read_text())["files"]
    assert aside["name"] == "huge.dcm" and aside["category"] == "pixels"
    assert f"expected frames of {SIDE} x {SIDE} x 1 as the header says, 900000000 bytes, got" in aside["reason"]


def test_the_bound_of_run_lengths_is_exact() -> None:
    fits = runs(2 * 50)  # 50 runs of 128 bytes: 80 x 80
    codestream.check_frame(RLE, fits, (80, 80, 1), 8)
    with pytest.raises(InputError, match="cannot hold as many"):
        codestream.check_frame(RLE, fits, (80, 81, 1), 8)
    assert np.array_equal(pixel_data.decode(compressed(RLE, [fits], 80)), np.zeros((1, 80, 80), np.uint8))


def test_absurd_numbers_of_frames_are_refused_before_anything_is_allocated() -> None:
    for count in (10**6, 2**31 - 1):
        with pytest.raises(InputError):
            pixel_data.decode(compressed(RLE, [runs(100)], 80, count))
    native = image(np.zeros((64, 64), np.int16), position=None)
    native.NumberOfFrames = 100_000
    with pytest.raises(InputError, match="the pixel data are broken"):
        pixel_data.decode(native)


def test_a_frame_without_a_header_never_reaches_a_decoder() -> None:
    with pytest.raises(InputError, match="begins like no compressed picture"):
        pixel_data.decode(compressed(J2K, [b"\0" * 500], 80))
