# SPDX-License-Identifier: Apache-2.0
"""Odd real files: each is protected exactly, or refused with file, expected, got and next step."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from umed.cases.file_check import check_file
from umed.core.errors import GeometryError, InputError
from umed.data import formats
from umed.data.masks import read_label
from umed.plan.budget import apply, insert, make_budget
from umed.plan.regions import make_regions

READ = {
    "antspy_surf_uint32_labels.nii.gz": ((266, 266, 190), False),
    "nibabel_example4d.nii.gz": ((128, 96, 24), True),
    "nibabel_functional.nii": ((17, 21, 3), True),
    "nibabel_resampled_anat_moved.nii": ((17, 21, 3), False),
    "nibabel_standard.nii.gz": ((4, 5, 7), False),
    "niivue_CT_AVM.nii.gz": ((256, 242, 154), False),
    "niivue_chris_MRA.nii.gz": ((200, 256, 120), False),
    "niivue_spmMotor.nii.gz": ((79, 95, 79), False),
    "totalseg_heart_SHAPE_MISMATCH_image.nii.gz": ((122, 102, 112), False),
}
REFUSED = {"nibabel_analyze.hdr": "header/image pair", "nibabel_nifti2.hdr": "header/image pair"}


def unpack(path):
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


@pytest.mark.parametrize("name", READ)
def test_protected_exactly(shared_data, tmp_path, name):
    path = shared_data / "nifti_zoo" / name
    volume = formats.read(path)
    assert (volume.spatial_shape, volume.channels_last) == READ[name]
    labels = np.zeros(volume.spatial_shape, np.uint8)
    labels[tuple(slice(size // 3, size - size // 3) for size in labels.shape)] = 1
    regions = make_regions(labels, radius=2)
    budget = make_budget(volume, epsilon=0.5, range="percentile", percentiles=(0.0, 100.0))
    crop = volume.channels[(slice(None),) + regions.box]
    noise = np.random.default_rng(0).uniform(-1, 1, crop.shape).astype(np.float32)
    stored = insert(volume, regions.box, apply(crop, noise, regions.support, budget, volume.encoding))
    out = tmp_path / name
    formats.write(volume, stored, out)
    assert check_file(volume, out, regions, budget)[0] == []
    theirs, ours = nibabel.load(path), nibabel.load(out)
    assert ours.shape == theirs.shape and ours.dataobj.offset == theirs.dataobj.offset
    offset = theirs.dataobj.offset
    assert unpack(path)[:offset] == unpack(out)[:offset]
    moved = ours.dataobj.get_unscaled().astype(np.float64) - theirs.dataobj.get_unscaled().astype(np.float64)
    assert 0 < np.nanmax(np.abs(moved)) <= budget.bound_stored


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_reason(shared_data, tmp_path, name):
    copy = tmp_path / f"{name}.nii"
    copy.write_bytes((shared_data / "nifti_zoo" / name).read_bytes())
    for path in (shared_data / "nifti_zoo" / name, copy):
        with pytest.raises(InputError) as caught:
            formats.read(path)
        assert name in str(caught.value) and "expected" in str(caught.value) and "onvert" in str(caught.value)


def test_every_file_is_covered(shared_data):
    names = {path.name for path in (shared_data / "nifti_zoo").iterdir() if formats.looks_like_image(path)}
    assert names == {*READ, *REFUSED, "totalseg_heart_SHAPE_MISMATCH_label.nii.gz"}


def test_mismatched_pair(shared_data):
    folder = shared_data / "nifti_zoo"
    image = formats.read(folder / "totalseg_heart_SHAPE_MISMATCH_image.nii.gz")
    with pytest.raises(GeometryError) as caught:
        read_label(folder / "totalseg_heart_SHAPE_MISMATCH_label.nii.gz", image)
    for word in ("(122, 102, 112)", "(233, 167, 191)", "MISMATCH_image", "MISMATCH_label", "Resample"):
        assert word in str(caught.value)


def test_unpaired_hippocampus(shared_data):
    odd = shared_data / "Task04_Hippocampus" / "odd"
    image = formats.read(odd / "image_only_hippocampus_118.nii.gz")
    with pytest.raises(GeometryError, match="label_only_hippocampus_010"):
        read_label(odd / "label_only_hippocampus_010.nii.gz", image)
    with pytest.raises(InputError, match="nothing there"):
        read_label(odd / "label_only_hippocampus_118.nii.gz", image)
