# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from tests.mask_files import RAS, contour, frame_group, make_rtstruct, make_seg, make_series, nifti, positions, to_world
from umed.core.errors import InputError
from umed.dicom.masks import series_masks
from umed.dicom.read.scan import scan

SHAPE = (12, 10)


def found(tmp_path, folder=None, root="in"):
    looked = scan(tmp_path / root)
    one = {series.uid: series for series in looked.series if series.kind == "image"}
    made, problems = series_masks.find(looked, folder)
    return one, made, problems


def seg(path, places, ks, *, uid="1.2.3.4", referenced=True, label="x", **other):
    groups = [frame_group(places[k], 1, f"{uid}.{k + 1}" if referenced else None) for k in ks]
    return make_seg(path, np.ones((len(ks), *SHAPE)), groups, {1: label}, **other)


def labels(seed=0, count=4):
    volume = np.random.default_rng(seed).integers(0, 4, (count, *SHAPE)).astype(np.uint8)
    volume[0] = 0
    return volume


def test_seg_and_rtstruct_of_one_series_are_merged(tmp_path):
    make_series(tmp_path / "in" / "ct", positions(4))
    series = next(iter(scan(tmp_path / "in").series))
    seg(tmp_path / "in" / "a.dcm", positions(4), (1,), label="liver")
    square = [(1.6, 1.6), (1.6, 7.4), (8.4, 7.4), (8.4, 1.6)]
    make_rtstruct(tmp_path / "in" / "b.dcm", {"tumour": [contour(to_world(series, k, square)) for k in (1, 2)]})
    one, made, problems = found(tmp_path)
    mask = made[one["1.2.3.4"].id]
    assert problems == [] and mask.source == "a.dcm, b.dcm" and dict(mask.classes) == {1: "liver", 2: "tumour"}
    assert mask.extent == (1, 3) and (mask.slices(1, 2) == 2).sum() == 42 and (mask.slices(1, 2) > 0).all()


def test_references_choose_the_series_and_a_twin_grid_shares(tmp_path):
    places = positions(4)
    make_series(tmp_path / "in" / "a", places)
    make_series(tmp_path / "in" / "b", places, series="1.2.3.44")
    make_series(tmp_path / "in" / "c", places, series="1.2.3.45", frame="1.2.3.10")
    make_series(tmp_path / "in" / "d", places, series="1.2.3.46", patient="P2")
    seg(tmp_path / "in" / "s.dcm", places, (2,))
    one, made, problems = found(tmp_path)
    assert problems == [] and set(made) == {one["1.2.3.4"].id, one["1.2.3.44"].id}
    assert made[one["1.2.3.4"].id].notes == ()
    assert f"refers to {one['1.2.3.4'].id}" in made[one["1.2.3.44"].id].notes[0]


def test_frame_of_reference_and_geometry_without_references(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    make_series(tmp_path / "in" / "b", positions(4, step=1.1), series="1.2.3.44")
    seg(tmp_path / "in" / "s.dcm", positions(4), (1, 2), referenced=False)
    one, made, problems = found(tmp_path)
    assert problems == [] and set(made) == {one["1.2.3.4"].id}


def test_a_mask_that_does_not_fit_makes_its_series_a_problem(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    seg(tmp_path / "in" / "good.dcm", positions(4), (1,))
    seg(tmp_path / "in" / "off.dcm", positions(4, step=3.1), (1,), series="1.2.3.55")
    one, made, problems = found(tmp_path)
    assert made == {} and [name for name, _ in problems] == [one["1.2.3.4"].id]
    assert problems[0][1].startswith("off.dcm: expected a segmentation on the grid of series_")


def test_a_broken_mask_makes_its_series_a_problem(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    groups = [frame_group(positions(4)[1], 7, "1.2.3.4.2")]
    make_seg(tmp_path / "in" / "s.dcm", np.ones((1, *SHAPE)), groups, {1: "x"})
    one, made, problems = found(tmp_path)
    assert (
        made == {} and problems[0][0] == one["1.2.3.4"].id and "expected one of segments [1], got 7" in problems[0][1]
    )


def test_a_mask_of_nothing_here_is_a_problem_of_its_own(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    seg(tmp_path / "in" / "s.dcm", positions(4), (1,), uid="1.7.7", frame="1.7.8")
    _, made, problems = found(tmp_path)
    assert made == {} and problems[0][0] == "s.dcm" and "references to 1 images that are not here" in problems[0][1]


def test_dicom_masks_in_a_folder_of_their_own_each_once(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    for folder in ("in", "masks"):
        seg(tmp_path / folder / "s.dcm", positions(4), (1,))
    seg(tmp_path / "masks" / "t.dcm", positions(4), (3,), series="1.2.3.56")
    one, made, problems = found(tmp_path, tmp_path / "masks")
    assert problems == [] and made[one["1.2.3.4"].id].source == "s.dcm, t.dcm"


@pytest.mark.parametrize(
    "name", ["{id}.nii.gz", "1.2.3.4_seg.nii", "a.nii.gz", "x/a/organ.nii.gz", "P1.nii.gz", "any.nii"]
)
def test_nifti_by_name_or_as_the_only_one_that_fits(tmp_path, name):
    make_series(tmp_path / "in" / "a", positions(4))
    make_series(tmp_path / "in" / "b", positions(4, step=1.1), series="1.2.3.44", patient="P2")
    series = {one.uid: one for one in scan(tmp_path / "in").series}["1.2.3.4"]
    volume = labels()
    nifti(tmp_path / "masks" / name.format(id=series.id), series, volume)
    _, made, problems = found(tmp_path, tmp_path / "masks")
    assert problems == [] and np.array_equal(made[series.id].slices(0, 4), volume) and made[series.id].extent == (1, 4)
    assert list(made[series.id].classes.values())[0] == ("organ 1" if "organ" in name else "class 1")


@pytest.mark.parametrize("name", ["any.nrrd", "any.seg.nrrd", "1.2.3.4.mha"])
def test_what_slicer_and_simpleitk_write_is_laid_on_its_series(tmp_path, name):
    """The same mask as NIfTI and as NRRD or MetaImage: ITK counts x and y the other way round."""
    make_series(tmp_path / "in" / "a", positions(4))
    series = {one.uid: one for one in scan(tmp_path / "in").series}["1.2.3.4"]
    nifti(tmp_path / "any.nii.gz", series, labels())
    (tmp_path / "masks").mkdir()
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "any.nii.gz")), str(tmp_path / "masks" / name), True)
    _, made, problems = found(tmp_path, tmp_path / "masks")
    assert problems == [] and np.array_equal(made[series.id].slices(0, 4), labels())


def test_nifti_that_fits_nothing_or_too_much(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    make_series(tmp_path / "in" / "b", positions(4), series="1.2.3.44", patient="P2")
    one = {series.uid: series for series in scan(tmp_path / "in").series}
    first = one["1.2.3.4"]
    nifti(tmp_path / "both" / "any.nii.gz", first, labels())
    _, made, problems = found(tmp_path, tmp_path / "both")
    assert (
        made == {}
        and problems[0][0] == "any.nii.gz"
        and f"which fits {first.id}, {one['1.2.3.44'].id}" in problems[0][1]
    )
    nifti(tmp_path / "none" / "any.nii.gz", first, labels(count=3)[:, :-1])
    _, made, problems = found(tmp_path, tmp_path / "none")
    for part in ("which fits none", "shape (3, 10, 11)", "shape (4, 12, 10)", "origin"):
        assert made == {} and part in problems[0][1]


def test_nifti_on_another_grid_or_with_bad_classes_makes_the_series_a_problem(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    series = scan(tmp_path / "in").series[0]
    affine = RAS @ series.geometry.affine[:, [2, 1, 0, 3]]
    for array, moved, message in (
        (np.ones((10, 12, 4), np.uint8), 0.3, "on the grid of series_0001, shape (4, 12, 10)"),
        (np.ones((10, 12, 5), np.uint8), 0.0, "got shape (5, 10, 12)"),
        (np.full((10, 12, 4), 0.5, np.float32), 0.0, "whole class numbers from 0 to 32767, got 0.5"),
        (np.full((10, 12, 4), -1, np.int16), 0.0, "got -1"),
        (np.ones((10, 12, 4, 2), np.uint8), 0.0, "2-D or 3-D label map"),
    ):
        there = affine.copy()
        there[0, 3] += moved
        (tmp_path / "masks").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, there), tmp_path / "masks" / f"{series.id}.nii.gz")
        _, made, problems = found(tmp_path, tmp_path / "masks")
        assert made == {} and problems[0][0] == series.id and message in problems[0][1]


def test_nifti_without_orientation_is_not_guessed(tmp_path):
    make_series(tmp_path / "in" / "a", positions(4))
    (tmp_path / "masks").mkdir()
    image = nibabel.Nifti1Image(np.ones((10, 12, 4), np.uint8), None)
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "masks" / "series_0001.nii")
    _, made, problems = found(tmp_path, tmp_path / "masks")
    assert made == {} and "umed does not guess orientations" in problems[0][1]


@pytest.mark.parametrize("names", [["IM0001", "IM0003"], ["1.2.3.4.1", "1.2.3.4.3"], ["m_1", "m_003_mask"]])
def test_pictures_by_uid_file_name_or_number(tmp_path, names):
    make_series(tmp_path / "in" / "ct", positions(4))
    (tmp_path / "masks" / "ct").mkdir(parents=True)
    pictures = labels()[1:3]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / "masks" / "ct" / f"{name}.png")
    one, made, problems = found(tmp_path, tmp_path / "masks")
    mask = made[one["1.2.3.4"].id]
    assert problems == [] and "2 of 4 slices" in mask.notes[0]
    assert np.array_equal(mask.slices(0, 4)[[0, 2]], pictures) and not mask.slices(0, 4)[[1, 3]].any()


def test_a_picture_of_one_slice_and_wrong_ones(tmp_path):
    make_series(tmp_path / "in", positions(1))
    (tmp_path / "masks").mkdir()
    picture = np.zeros(SHAPE, np.uint8)
    picture[3:5] = 255
    Image.fromarray(picture).save(tmp_path / "masks" / "IM0001.png")
    one, made, problems = found(tmp_path, tmp_path / "masks")
    assert problems == [] and np.array_equal(made[one["1.2.3.4"].id].slices(0, 1)[0], picture // 255)
    Image.fromarray(picture.T.copy()).save(tmp_path / "masks" / "IM0001.png")
    _, made, problems = found(tmp_path, tmp_path / "masks")
    assert (
        made == {}
        and "expected the grid of slice 1 of series_0001, shape (12, 10), got shape (10, 12)" in problems[0][1]
    )
    Image.fromarray(picture).save(tmp_path / "masks" / "IM0001.png")
    Image.fromarray(picture).save(tmp_path / "masks" / "IM0007.png")
    _, made, problems = found(tmp_path, tmp_path / "masks")
    assert made == {} and "named by SOPInstanceUID, file name or InstanceNumber" in problems[0][1]


def test_folder_that_is_not_there(tmp_path):
    make_series(tmp_path / "in", positions(1))
    with pytest.raises(InputError, match="expected a folder of masks, got nothing"):
        found(tmp_path, tmp_path / "no")


def test_real_nifti_that_is_flipped(shared_data, tmp_path):
    root = shared_data / "dicom_series" / "totalseg_ct20"
    looked = scan(root / "ct")
    made, _ = series_masks.find(looked, root)
    (mask,) = made.values()
    expected = np.asarray(nibabel.load(root / "example_seg_dicom.nii.gz").dataobj)
    # x runs to the left in both; y runs to the front in the label and to the back in the CT
    assert np.array_equal(mask.slices(0, 20), np.transpose(expected, (2, 1, 0))[:, ::-1])
    assert sorted(mask.classes) == [n for n in np.unique(expected) if n]


def test_real_segmentation_goes_to_both_forms_of_its_series(shared_data, tmp_path):
    root = shared_data / "dicom_series" / "ct_23x38x3"
    made, problems = series_masks.find(scan(root))
    assert problems == [] and len(made) == 2
    one, other = made.values()
    assert np.array_equal(one.slices(0, 3), other.slices(0, 3)) and one.slices(0, 3).sum() == 322
