# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import hashlib

import nibabel
import numpy as np
import pytest

from umed.core.errors import InputError
from umed.data import formats

RNG = np.random.default_rng(0)


def save(path, array, kind=nibabel.Nifti1Image, endian="<", **fields):
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(array.dtype)
    image = kind(array, np.diag([-1.0, 2.0, 3.0, 1.0]), header)
    if array.dtype.kind in "iuf":
        image.header.set_slope_inter(1.0, 0.0)
    nibabel.save(image, path)
    raw = bytearray(unpack(path))
    header = kind.header_class(bytes(raw[: 540 if kind is nibabel.Nifti2Image else 348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[: len(header.binaryblock)] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(raw)) if path.name.endswith(".gz") else bytes(raw))
    return path


def unpack(path):
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_header_bytes_and_values_survive(tmp_path, name, kind, endian, dtype):
    array = RNG.integers(0, 100, (5, 4, 3)).astype(np.dtype(dtype).newbyteorder(endian))
    path = save(tmp_path / name, array, kind, endian, scl_slope=0.25, scl_inter=-7, descrip=b"kept")
    volume = formats.read(path)
    assert np.array_equal(volume.stored, array)
    assert (volume.encoding.slope, volume.encoding.inter) == (0.25, -7.0)
    assert volume.spacing == (1.0, 2.0, 3.0)
    new = volume.stored.copy(order="K")
    new[1, 2, 1] += 1
    (tmp_path / "out").mkdir()
    formats.write(volume, new, tmp_path / "out" / name)
    before, after = unpack(path), unpack(tmp_path / "out" / name)
    offset = int(nibabel.load(path).header.get_data_offset())
    assert before[:offset] == after[:offset]
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= np.dtype(dtype).itemsize
    again = nibabel.load(tmp_path / "out" / name)
    assert np.array_equal(again.dataobj.get_unscaled(), new)
    assert formats.header_difference(volume, formats.read(tmp_path / "out" / name)) == ""


def test_unchanged_plain_file_is_the_same_file(tmp_path):
    image = nibabel.Nifti1Image(RNG.integers(0, 9, (4, 4, 4)).astype(np.int16), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"some words"))
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    path.write_bytes(path.read_bytes() + b"trailing")
    volume = formats.read(path)
    formats.write(volume, volume.stored, tmp_path / "b.nii")
    assert path.read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_golden_header_bytes(tmp_path):
    """The header of a written file, byte for byte, as this version has always written it."""
    path = save(tmp_path / "a.nii.gz", np.arange(24, dtype=np.int16).reshape(2, 3, 4), scl_slope=0.5, scl_inter=-1024)
    volume = formats.read(path)
    formats.write(volume, volume.stored, tmp_path / "b.nii.gz")
    written = (tmp_path / "b.nii.gz").read_bytes()
    assert written[:3] == b"\x1f\x8b\x08" and written[3:8] == b"\0" * 5  # no name, no time stamp
    raw = gzip.decompress(written)
    assert hashlib.sha256(raw[:352]).hexdigest() == hashlib.sha256(unpack(path)[:352]).hexdigest()
    assert raw[:4] == (348).to_bytes(4, "little") and raw[344:352] == b"n+1\0\0\0\0\0"
    assert raw[40:56] == np.array([3, 2, 3, 4, 1, 1, 1, 1], "<i2").tobytes()
    assert raw[70:74] == np.array([4, 16], "<i2").tobytes()
    assert raw[112:120] == np.array([0.5, -1024], "<f4").tobytes()
    assert raw[352:] == np.arange(24, dtype="<i2").reshape(2, 3, 4).tobytes(order="F")


def test_same_bytes_twice(tmp_path):
    volume = formats.read(save(tmp_path / "a.nii.gz", np.ones((3, 3, 3), np.float32)))
    for name in ("b.nii.gz", "c.nii.gz"):
        formats.write(volume, np.array(volume.stored), tmp_path / name)
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_slope_means_one(tmp_path, slope):
    volume = formats.read(save(tmp_path / "a.nii", np.ones((3, 3, 3), np.int16), scl_slope=slope, scl_inter=5))
    assert (volume.encoding.slope, volume.encoding.inter) == (1.0, 0.0)


def test_four_axes(tmp_path):
    series = formats.read(save(tmp_path / "a.nii.gz", RNG.integers(0, 9, (4, 5, 6, 2)).astype(np.int16)))
    assert series.channels_last and series.spatial_shape == (4, 5, 6) and series.channels.shape == (2, 4, 5, 6)
    single = formats.read(save(tmp_path / "b.nii.gz", RNG.integers(0, 9, (4, 5, 6, 1)).astype(np.int16)))
    assert not single.channels_last and single.stored.shape == (4, 5, 6)
    formats.write(single, single.stored, tmp_path / "c.nii.gz")
    assert nibabel.load(tmp_path / "c.nii.gz").shape == (4, 5, 6, 1)


@pytest.mark.parametrize("fields", ["RGB", "RGBA"])
def test_colour_voxels(tmp_path, fields):
    dtype = np.dtype([(name, "u1") for name in fields])
    raw = RNG.integers(0, 255, (3, 4, 5, len(fields))).astype(np.uint8)
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(raw.view(dtype)[..., 0], np.eye(4)), path)
    volume = formats.read(path)
    assert np.array_equal(volume.stored, raw) and volume.alpha == (fields == "RGBA")
    assert volume.channels.shape == (3, 3, 4, 5)
    formats.write(volume, volume.stored.copy(), tmp_path / "b.nii.gz")
    assert unpack(path) == unpack(tmp_path / "b.nii.gz")


def test_notes_on_disagreeing_forms(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4))
    image.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    image.set_sform(np.eye(4), 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert "qform and sform differ" in formats.notes(formats.read(tmp_path / "a.nii"))[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: save(p, np.ones((2, 2, 2), np.complex64)), ["complex64", "magnitude"]),
        (lambda p: save(p, np.ones((2, 2, 2, 2, 2), np.int16)), ["one axis beyond the third", "(2, 2, 2, 2, 2)"]),
        (lambda p: p.write_bytes(b"nothing like it"), ["single-file NIfTI-1", "something else"]),
        (lambda p: p.write_bytes(b""), ["single-file NIfTI-1"]),
        (lambda p: p.write_bytes(save(p, np.ones((9, 9, 9), np.int16)).read_bytes()[:-5]), ["1810 bytes", "cut short"]),
        (lambda p: p.write_bytes(gzip.compress(b"x")), ["plain file", "gzipped", "Rename"]),
        (lambda p: nibabel.save(nibabel.Nifti1Pair(np.ones((2, 2, 2), np.int16), np.eye(4)), p.with_suffix(".hdr"))
            or p.write_bytes(p.with_suffix(".hdr").read_bytes()), ["header/image pair", "nibabel.save"]),
        (lambda p: save(p, np.ones((2, 2, 2), np.int16), scl_slope=2, scl_inter=np.nan), ["scl_inter", "nan"]),
    ],
)  # fmt: skip
def test_refusals_name_file_and_next_step(tmp_path, make, words):
    path = tmp_path / "odd.nii"
    make(path)
    with pytest.raises(InputError) as caught:
        formats.read(path)
    for word in ["odd.nii", "expected", "got", *words]:
        assert word in str(caught.value)


def test_cut_gzip_is_refused(tmp_path):
    path = save(tmp_path / "a.nii.gz", RNG.integers(0, 999, (9, 9, 9)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short"):
        formats.read(path)


def test_bytes_that_are_not_gzipped_are_named_for_what_they_are(tmp_path):
    path = tmp_path / "a.nii.gz"
    for content, words in ((b"<html>not found", "got other bytes. Fetch it again"), (b"", "got an empty file")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"expected gzipped data, {words}"):
            formats.read(path)
    for endian in "<>":
        save(tmp_path / "b.nii", np.ones((3, 3, 3), np.int16), endian=endian).replace(path)
        with pytest.raises(InputError, match=r"got plain bytes. Rename it so that it ends in \.nii\."):
            formats.read(path)


def test_several_gzip_members(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.arange(27, dtype=np.int16).reshape(3, 3, 3))
    raw = unpack(path)
    path.write_bytes(gzip.compress(raw[:300]) + gzip.compress(raw[300:]))
    assert formats.read(path).stored[2, 2, 2] == 26


def test_write_checks_shape_and_stored_is_read_only(tmp_path):
    volume = formats.read(save(tmp_path / "a.nii", np.ones((3, 3, 3), np.int16)))
    with pytest.raises(InputError, match="<f8"):
        formats.write(volume, np.ones((3, 3, 3)), tmp_path / "b.nii")
    with pytest.raises(ValueError, match="read-only"):
        volume.stored[0] = 1


def test_unknown_endings(tmp_path):
    with pytest.raises(InputError, match="mri_convert"):
        formats.read(tmp_path / "a.mgz")
    with pytest.raises(InputError, match="nothing there"):
        formats.read(tmp_path / "a.nii.gz")
