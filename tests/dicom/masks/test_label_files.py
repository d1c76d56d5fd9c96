# SPDX-License-Identifier: Apache-2.0
"""A mask that was written for a series is found again, voxel by voxel, whatever the series is like."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from tests.dicom_files import AXIAL, enhanced, image, save, write_series
from umed.core.errors import InputError
from umed.dicom.masks import layers, series_masks
from umed.dicom.masks.label_files import nifti_affine, write_mask
from umed.dicom.read.scan import scan

SHAPE = (5, 12, 16)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TURNED = (0.6, 0.8, 0.0, -0.8, 0.6, 0.0)


def values(shape=SHAPE):
    return np.random.default_rng(1).integers(0, 2000, shape).astype(np.int16)


def drawn(shape=SHAPE):
    """Classes that no turn or flip leaves as they are; the first slice is empty."""
    found = np.zeros(shape, np.int16)
    for k in range(min(1, shape[0] - 1), shape[0]):
        found[k, 2, 3 : 6 + k] = 1
        found[k, 7 : 9 + k % 3, 14] = 2
    return found


def mask_of(series, classes):
    numbers = sorted(set(np.unique(classes).tolist()) - {0})
    return layers.build("x", {number: str(number) for number in numbers}, classes.shape, enumerate(classes))


def there_and_back(root, out, work, series_id="series_0001"):
    """Write a mask for a series of a folder; its names, and whether it alone gets it back."""
    found = scan(root)
    series = next(one for one in found.series if one.id == series_id)
    classes = drawn((len(series.slices), *series.instances[0].shape[1:]))
    out.mkdir()
    names = write_mask(series, mask_of(series, classes), out)
    (out / "proposals.json").write_text("{}")
    chosen, problems = series_masks.find(found, out)
    assert problems == [] and list(chosen) == [series_id]
    assert np.array_equal(chosen[series_id].slices(0, len(classes)), classes)
    assert sorted(path.relative_to(out).as_posix() for path in chosen[series_id].files) == sorted(names)
    return names, series


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"step": (0, 0, -2.5)},
        {"orientation": SAGITTAL, "step": (3.0, 0, 0)},
        {"orientation": TURNED},
        {"step": (0, 0.9, 2.5)},
        {"orientation": (-1.0, 0, 0, 0, 1.0, 0)},
    ],
    ids=["axial", "downwards", "sagittal", "turned", "tilted", "mirrored"],
)
def test_a_series_on_a_regular_grid_gets_one_nifti(tmp_path, place):
    write_series(tmp_path / "in", values(), **place)
    names, series = there_and_back(tmp_path / "in", tmp_path / "out", tmp_path)
    assert names == ["series_0001.nii.gz"]
    volume = nibabel.load(tmp_path / "out" / names[0])
    assert volume.shape == SHAPE[::-1] and volume.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(volume.dataobj).T, drawn())
    # the centre of one voxel in the patient, from the header of its own slice
    column, row, k = 14, 7, 3
    geometry = series.geometry
    there = geometry.positions[k] + geometry.orientation[0] * column * 0.7 + geometry.orientation[1] * row * 0.8
    assert np.allclose((volume.affine @ [column, row, k, 1])[:3] * [-1, -1, 1], there, atol=1e-3)
    assert volume.header["sform_code"] == 1
    assert volume.header["qform_code"] == (0 if place.get("step") == (0, 0.9, 2.5) else 1)


def test_one_placed_slice_and_frames_in_any_order_get_a_nifti(tmp_path):
    write_series(tmp_path / "one", values((1, 12, 16)))
    assert there_and_back(tmp_path / "one", tmp_path / "a", tmp_path / "w1")[0] == ["series_0001.nii.gz"]
    save(enhanced(values(), order=[3, 0, 4, 1, 2]), tmp_path / "two" / "x.dcm")
    assert there_and_back(tmp_path / "two", tmp_path / "b", tmp_path / "w2")[0] == ["series_0001.nii.gz"]


def test_a_series_with_a_missing_slice_gets_a_picture_a_slice(tmp_path):
    paths = write_series(tmp_path / "in", values((6, 12, 16)))
    paths[3].unlink()
    names, _ = there_and_back(tmp_path / "in", tmp_path / "out", tmp_path)
    assert names == [f"series_0001/slice_{number}.png" for number in (2, 3, 5, 6)]


def test_names_that_belong_to_other_slices_are_not_used(tmp_path):
    """Files are called as other slices' numbers, or numbers are all the same: SOPInstanceUIDs tell them apart."""
    for name, number in (("called", lambda k: k + 1), ("same", lambda k: 7)):
        for k, z in enumerate((0.0, 2.0, 4.0, 9.0, 11.0)):
            one = image(values()[k], position=(0, 0, z), orientation=AXIAL, instance=number(k))
            one.SOPInstanceUID = f"1.2.3.{k + 1}"
            save(one, tmp_path / name / f"slice_{5 - k}.dcm")
        names, _ = there_and_back(tmp_path / name, tmp_path / f"{name}-out", tmp_path / f"{name}-work")
        assert names == [f"series_0001/1.2.3.{k + 1}.png" for k in range(1, 5)]


def test_pictures_without_positions(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (12, 16), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    save(image(colour, "OT", position=None, series=1), tmp_path / "one" / "a")
    save(image(grey, "US", position=None, series=2), tmp_path / "one" / "b")
    for number in (1, 2):
        out = tmp_path / f"out{number}"
        names, series = there_and_back(tmp_path / "one", out, tmp_path / f"w{number}", f"series_000{number}")
        assert names == [f"series_000{number}.png"] and nifti_affine(series) is None
    save(image(np.stack([grey] * 4), "US", position=None), tmp_path / "cine" / "a")
    names, _ = there_and_back(tmp_path / "cine", tmp_path / "out3", tmp_path / "w3")
    assert names == [f"series_0001/slice_{number}.png" for number in (2, 3, 4)]


def test_classes_that_a_byte_cannot_hold_are_refused(tmp_path):
    write_series(tmp_path / "in", values())
    [series] = scan(tmp_path / "in").series
    mask = replace(mask_of(series, drawn()), classes={300: "x"})
    with pytest.raises(InputError, match="expected classes up to 255, got 300"):
        write_mask(series, mask, tmp_path)
