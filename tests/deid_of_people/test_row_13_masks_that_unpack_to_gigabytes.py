# SPDX-License-Identifier: Apache-2.0
"""Row 13: a mask of two megabytes that unpacks to gigabytes is refused by its header, or where it goes on beyond it."""

from __future__ import annotations

import bz2
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header
from PIL import Image

from tests.deid_of_people.bounded_child import run
from tests.dicom_files import write_series
from tests.files_of_people.every_command import call
from umed.core.errors import GeometryError, InputError
from umed.core.types import Encoding, Volume
from umed.data import formats
from umed.data.masks import read_label
from umed.data.nifti import head_bytes
from umed.deid.keys import DeidKey

BLOCK = 16 << 20


def zeros(megabytes: int, window: int = 31) -> tuple[bytes, bytes]:
    """The start of a packed stream, and packed zeros that can follow it any number of times."""
    packer = zlib.compressobj(1, zlib.DEFLATED, window)
    start = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start, block * (megabytes * (1 << 20) // BLOCK)


def bomb(path: Path, shape: tuple[int, ...], megabytes: int = 4000) -> Path:
    """A gzipped NIfTI mask of zeros that declares a shape and goes on for gigabytes."""
    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), 1)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    start = packer.compress(head_bytes(header)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(start + zeros(megabytes)[1])
    return path


@pytest.mark.parametrize(
    "shape, said",
    [
        ((1500, 1500, 1500), "expected a mask of about the size of series_0001, 768 voxels, got shape (1500, 1500, 15"),
        (
            (16, 16, 3),
            "expected 1120 bytes by its header and at most 16777216 behind them, got more in the gzip stream",
        ),
    ],
)
def test_a_mask_of_a_series_takes_no_more_memory_than_without_it(
    shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    write_series(tmp_path / "in", np.arange(768, dtype=np.int16).reshape(3, 16, 16))
    (tmp_path / "masks").mkdir()
    path = bomb(tmp_path / "masks" / "series_0001.nii.gz", shape)
    assert path.stat().st_size < 5 << 20
    ended = run("inspect", tmp_path / "in", "--masks", tmp_path / "masks")
    assert said in ended.out + ended.err and "Traceback" not in ended.err
    assert ended.peak < 300
    DeidKey.create(tmp_path / "key")
    words = ["anonymize", tmp_path / "in", tmp_path / "out", "--key-file", tmp_path / "key", "--protect"]
    said_by = call([str(word) for word in (*words, "--masks", tmp_path / "masks", "--method", "checkerboard")])
    assert said_by.code == 1 and said in said_by.err and not list((tmp_path / "out").rglob("*.dcm"))


def test_a_mask_of_a_file_is_compared_with_its_image_before_it_is_unpacked(tmp_path: Path) -> None:
    image = Volume(np.zeros((8, 8, 4), np.int16), Encoding("<i2"), (1.0,) * 3, "mm", False, tmp_path / "image.nii.gz")
    with pytest.raises(GeometryError, match=r"of about the size of image.nii.gz, 256 voxels, got shape \(2000, 2000"):
        read_label(bomb(tmp_path / "a.nii.gz", (2000, 2000, 1000)), image)
    for name, packed in (("gzip", zeros(500)[0]), ("bzip2", bz2.compress(b"\0" * 5000))):
        head = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2000 2000 1000\nencoding: {name}\n\n"
        (tmp_path / "a.nrrd").write_bytes(head.encode() + packed)
        with pytest.raises(GeometryError, match=r"not unpacked"):
            read_label(tmp_path / "a.nrrd", image)


def test_an_image_whose_bytes_cannot_hold_what_it_declares_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which cannot hold as many"):
        formats.read(bomb(tmp_path / "a.nii.gz", (30000, 30000, 30), 32))
    with pytest.raises(InputError, match="expected at most 68719476736 bytes of values"):
        formats.read(bomb(tmp_path / "b.nii.gz", (30000, 30000, 30000), 32))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("colour", [0, 2])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("size, said", [(30000, "expected"), (12000, "which cannot hold as many")])
def test_a_picture_that_declares_more_than_it_holds(
    size: int, said: str, depth: int, colour: int, tmp_path: Path
) -> None:
    head = struct.pack(">IIBBBBB", size, size, depth, colour, 0, 0, 0)
    path = tmp_path / "a.png"
    body = zlib.compress(bytes(1 << 20))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    image = Volume(np.zeros((8, 8), np.uint8), Encoding("|u1"), (1.0, 1.0), "px", False, tmp_path / "image.png")
    for read in (formats.read, lambda path: read_label(path, image)):
        with pytest.raises(InputError, match=said) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: expected") and "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["tiff_deflate", "packbits", "tiff_lzw"])
def test_a_tiff_whose_header_was_changed_to_a_large_one(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(path, compression=scheme)
    raw = bytearray(path.read_bytes())
    order = "<" if raw[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", raw, 4)
    (count,) = struct.unpack_from(order + "H", raw, start)
    for entry in range(count):
        at = start + 2 + 12 * entry
        code, kind = struct.unpack_from(order + "HH", raw, at)
        if code in (256, 257, 278):  # width, height, rows of a strip
            struct.pack_into(order + ("H" if kind == 3 else "I"), raw, at + 8, 40000)
    path.write_bytes(raw)
    image = Volume(np.zeros((8, 8), np.uint8), Encoding("|u1"), (1.0, 1.0), "px", False, tmp_path / "image.png")
    for read in (formats.read, lambda path: read_label(path, image)):
        with pytest.raises(InputError, match="40000 x 40000 pixels by its header"):
            read(path)
