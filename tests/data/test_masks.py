# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from umed.core.errors import GeometryError, InputError
from umed.data import formats, png
from umed.data.masks import check_channels, read_label


def nifti(path, array, affine=None):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def image(tmp_path):
    return formats.read(nifti(tmp_path / "image.nii.gz", np.zeros((4, 5, 6), np.int16)))


@pytest.fixture
def picture(tmp_path):
    (tmp_path / "image.png").write_bytes(png.encode(np.zeros((6, 7, 3), np.uint8)))
    return formats.read(tmp_path / "image.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_nifti_labels(tmp_path, image, dtype):
    labels = np.arange(120).reshape(4, 5, 6) % 3
    read = read_label(nifti(tmp_path / "label.nii.gz", labels.astype(dtype)), image)
    assert read.dtype.kind in "iu" and np.array_equal(read, labels)


def test_shape_mismatch_names_both(tmp_path, image):
    with pytest.raises(GeometryError) as caught:
        read_label(nifti(tmp_path / "label.nii.gz", np.zeros((4, 5, 7), np.uint8)), image)
    for word in ("label.nii.gz", "image.nii.gz", "(4, 5, 6)", "(4, 5, 7)", "Resample"):
        assert word in str(caught.value)


def test_affine_mismatch_names_both_and_small_ones_pass(tmp_path, image):
    moved = np.eye(4)
    moved[0, 3] = 0.01
    labels = np.zeros((4, 5, 6), np.uint8)
    assert read_label(nifti(tmp_path / "near.nii.gz", labels, moved), image).shape == (4, 5, 6)
    moved[0, 3] = 3
    with pytest.raises(GeometryError, match=r"affine .*\[1.0,0.0,0.0,3.0\].*3 mm apart"):
        read_label(nifti(tmp_path / "far.nii.gz", labels, moved), image)


def test_channels_on_other_grids(tmp_path, image):
    with pytest.raises(GeometryError, match="other.nii.gz"):
        check_channels([image, formats.read(nifti(tmp_path / "other.nii.gz", np.zeros((4, 5, 9), np.int16)))])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 5, 6), 0.5, np.float32), "whole class numbers, got 0.5"),
        (np.full((4, 5, 6), np.nan, np.float32), "whole class numbers, got nan"),
        (np.arange(120).reshape(4, 5, 6).astype(np.uint8) + 1, "as in an image"),
        (np.zeros((4, 5, 6, 3), np.uint8), "Merge the classes"),
    ],
)
def test_bad_nifti_labels(tmp_path, image, array, words):
    with pytest.raises(InputError, match=words):
        read_label(nifti(tmp_path / "label.nii.gz", array), image)


def test_picture_masks(tmp_path, picture):
    mask = np.zeros((6, 7), np.uint8)
    mask[2:4, 2:5] = 1
    path = tmp_path / "mask.png"
    for value in (1, 255):
        Image.fromarray(mask * value).save(path)
        assert np.array_equal(read_label(path, picture), mask * value)
    path.write_bytes(png.encode(mask.astype(np.uint16) * 65535))
    assert np.array_equal(read_label(path, picture), mask.astype(np.uint16) * 65535)
    Image.fromarray(mask.astype(bool)).save(path)
    assert np.array_equal(read_label(path, picture), mask)
    Image.fromarray(np.repeat(mask[..., None] * 255, 3, axis=2)).save(path)
    assert np.array_equal(read_label(path, picture), mask * 255)
    palette = Image.fromarray(mask * 3, "L").convert("P")
    palette = Image.frombytes("P", (7, 6), (mask * 3).tobytes())
    palette.putpalette([0, 0, 0, 9, 9, 9, 9, 0, 0, 200, 0, 0])
    palette.save(path)
    assert np.array_equal(read_label(path, picture), mask * 3)
    Image.fromarray(mask * 2 + mask).save(path)
    assert set(np.unique(read_label(path, picture))) == {0, 3}


def test_bad_picture_masks(tmp_path, picture):
    rng = np.random.default_rng(0)
    path = tmp_path / "mask.png"
    Image.fromarray(rng.integers(0, 255, (6, 7, 3)).astype(np.uint8)).save(path)
    with pytest.raises(InputError, match="colours"):
        read_label(path, picture)
    big = formats.Volume(np.zeros((20, 20), np.uint8), picture.encoding, (1.0, 1.0), "px", False, picture.source)
    Image.fromarray(np.arange(400).reshape(20, 20).astype(np.uint8)).save(path)
    with pytest.raises(InputError, match="threshold it first"):
        read_label(path, big)
    Image.fromarray(np.zeros((6, 7), np.uint8)).save(tmp_path / "mask.jpg")
    with pytest.raises(InputError, match="got JPEG"):
        read_label(tmp_path / "mask.jpg", picture)
