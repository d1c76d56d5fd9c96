# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from tests.mask_files import AXIAL, TURNED, contour, images, make_rtstruct, make_series, positions, to_world
from umed.core.errors import GeometryError, InputError
from umed.dicom.masks import rtstruct
from umed.dicom.read import reader
from umed.dicom.read.scan import scan

SHAPE = (12, 10)
SQUARE = [(1.6, 1.6), (1.6, 7.4), (8.4, 7.4), (8.4, 1.6)]  # rows 2..8, columns 2..7
HOLE = [(3.5, 3.5), (3.5, 5.5), (5.5, 5.5), (5.5, 3.5)]  # rows 4, 5, columns 4, 5


def fill(contours, shape):
    out = np.zeros(shape, np.bool_)
    box, inside = rtstruct._fill_box(contours, shape)
    out[box] = inside
    return out


def filled(*boxes):
    out = np.zeros(SHAPE, bool)
    for top, bottom, left, right in boxes:
        out[top:bottom, left:right] ^= True
    return out


def series_of(tmp_path, count=4, axes=AXIAL):
    make_series(tmp_path / "ct", positions(count, axes=axes), axes=axes)
    return images(tmp_path / "ct", tmp_path / "work")[0]


def read(tmp_path, series, rois, **other):
    path = make_rtstruct(tmp_path / "rt.dcm", rois, **other)
    return rtstruct.read(reader.read(path, pixels=False), "rt.dcm", series)


def inside_by_angle(points, shape):
    """Even-odd by another route: scikit-image's point in polygon, one voxel centre at a time."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2)
    return points_in_poly(grid, points).reshape(shape)


def test_a_square_fills_the_voxels_whose_centres_it_holds():
    square = np.array([[0.5, 0.5], [0.5, 3.5], [2.5, 3.5], [2.5, 0.5]])
    expected = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert fill([square], (4, 5)).astype(int).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-300, 1500)] * 2), min_size=3, max_size=12, unique=True))
def test_fill_agrees_with_an_independent_point_in_polygon(corners):
    points = np.array(corners) / 100 + np.array([0.001, 0.0007])
    clear = np.ones(SHAPE, bool)  # centres almost on an edge are rounded onto it, where the two may decide differently
    for (y, x), (y_next, x_next) in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows, columns = np.indices(SHAPE)
        cross = (rows - y) * (x_next - x) - (columns - x) * (y_next - y)
        clear &= np.abs(cross) > 1e-3 * (abs(x_next - x) + abs(y_next - y)) + 1e-9
    agree = fill([points], SHAPE) == inside_by_angle(points, SHAPE)
    assert agree[clear].all()


def test_contours_that_share_an_edge_tile_the_plane():
    for edge in (4.0, 4.5, 5.0):
        left = np.array([(0, 0), (0, edge), (9, edge), (9, 0)])
        right = np.array([(0, edge), (0, 8), (9, 8), (9, edge)])
        both, one = fill([left], SHAPE).astype(int), fill([right], SHAPE)
        assert np.array_equal(both + one, filled((0, 9, 0, 8)).astype(int))


@pytest.mark.parametrize("axes", [AXIAL, TURNED])
def test_rois_holes_and_keyholes(tmp_path, axes):
    series = series_of(tmp_path, axes=axes)
    keyhole = [*SQUARE[:1], *HOLE, HOLE[0], SQUARE[0], *SQUARE[1:]]
    rois = {
        "plain": [contour(to_world(series, 0, SQUARE))],
        "inner": [contour(to_world(series, 1, part)) for part in (SQUARE, HOLE)],
        "key": [contour(to_world(series, 2, keyhole))],
        "xor": [contour(to_world(series, 3, part), kind="CLOSEDPLANAR_XOR") for part in (SQUARE, HOLE)],
    }
    mask = read(tmp_path, series, rois)
    whole, holed = filled((2, 9, 2, 8)), filled((2, 9, 2, 8), (4, 6, 4, 6))
    expected = [whole * 1, holed * 2, holed * 3, holed * 4]
    assert np.array_equal(mask.slices(0, 4), np.array(expected))
    assert dict(mask.classes) == {1: "plain", 2: "inner", 3: "key", 4: "xor"} and mask.notes == ()


def test_external_does_not_hide_the_others(tmp_path):
    series = series_of(tmp_path)
    rois = {"organ": [contour(to_world(series, 1, HOLE))], "BODY": [contour(to_world(series, 1, SQUARE))]}
    mask = read(tmp_path, series, rois, external=("BODY",))
    assert dict(mask.classes) == {1: "BODY", 2: "organ"}
    assert np.array_equal(mask.slices(1, 2)[0], filled((2, 9, 2, 8)) * 1 + filled((4, 6, 4, 6)) * 1)


def test_position_decides_and_planes_within_a_slice_are_joined_not_cancelled(tmp_path):
    series = series_of(tmp_path)
    shifted = [np.array(point) + (0, 0, 1.2) for point in to_world(series, 1, SQUARE)]  # under half of 2.5 mm
    mask = read(tmp_path, series, {"a": [contour(to_world(series, 1, SQUARE), "1.2.3.4.4"), contour(shifted)]})
    assert mask.extent == (1, 2) and np.array_equal(mask.slices(1, 2)[0] > 0, filled((2, 9, 2, 8)))


def test_off_every_slice_is_an_error_that_names_both(tmp_path):
    series = series_of(tmp_path)
    for name, offset in (("above", (0, 0, 9.0)), ("beside", (500.0, 0, 0))):
        moved = [np.array(point) + offset for point in to_world(series, 3, SQUARE)]
        with pytest.raises(GeometryError) as caught:
            read(tmp_path, series, {name: [contour(moved, "1.2.3.4.1")]})
        for part in ("rt.dcm", series.id, "shape (4, 12, 10)", f"{name!r} at x, y, z"):
            assert part in str(caught.value)
    upright = [(x, y, z + x) for x, y, z in to_world(series, 1, SQUARE)]
    with pytest.raises(GeometryError, match="out of plane"):
        read(tmp_path, series, {"upright": [contour(upright)]})


def test_contours_of_absent_images_are_left_out_with_a_note(tmp_path):
    series = series_of(tmp_path)
    far = [np.array(point) + (0, 0, 2.5) for point in to_world(series, 3, SQUARE)]
    parts = [contour(to_world(series, 3, SQUARE), "1.2.3.4.4"), contour(far, "1.2.3.4.5")]
    mask = read(tmp_path, series, {"a": parts, "tiny": [contour(to_world(series, 0, [(1.1, 1), (1.2, 1), (1.2, 2)]))]})
    assert mask.extent == (3, 4)
    assert "'tiny' holds no voxel" in mask.notes[0] and "1 contours on slices that are not in" in mask.notes[1]
    with pytest.raises(GeometryError):
        read(tmp_path, series, {"a": [contour(far)]})


def test_other_types_hold_no_area(tmp_path):
    series = series_of(tmp_path)
    line = contour(to_world(series, 0, SQUARE), kind="OPEN_PLANAR")
    mask = read(tmp_path, series, {"a": [line, contour(to_world(series, 1, SQUARE))]})
    assert mask.extent == (1, 2) and "1 contours of type OPEN_PLANAR hold no area" in mask.notes[0]
    with pytest.raises(InputError, match="closed planar contours, got rt.dcm: 1 contours of type OPEN_PLANAR"):
        read(tmp_path, series, {"a": [line]})


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("data", [["1", "2"], ["1e300", "0", "0"] * 3, ["nan", "0", "0"] * 3])
def test_broken_coordinates(tmp_path, data):
    series = series_of(tmp_path)
    ds = reader.read(make_rtstruct(tmp_path / "rt.dcm", {"a": [contour(to_world(series, 0, SQUARE))]}), pixels=False)
    ds.ROIContourSequence[0].ContourSequence[0].ContourData = data
    with pytest.raises(InputError, match="rt.dcm: expected x, y, z of each corner of 'a'"):
        rtstruct.read(ds, "rt.dcm", series)


def test_real_structure_sets(shared_data, tmp_path):
    root = shared_data / "dicom_series" / "rtutils_mock_data"
    series = next(one for one in scan(root).series if one.kind == "image")
    ds = reader.read(root / "rt.dcm", pixels=False)
    mask = rtstruct.read(ds, "rt.dcm", series)
    expected = np.zeros(series.geometry.shape[1:], bool)
    for part in ds.ROIContourSequence[0].ContourSequence:  # both lie on the first slice, at z = 60
        points = np.array(part.ContourData, float).reshape(-1, 3)
        expected ^= inside_by_angle((points[:, 1::-1] + 125) / 0.488281, expected.shape)
    assert expected.sum() == 1443 and np.array_equal(mask.slices(0, 1)[0] > 0, expected) and mask.extent == (0, 1)
    mim = rtstruct.read(reader.read(root / "invalid_reference_rt.dcm", pixels=False), "rt", series)
    assert mim.extent == (0, 2) and list(mim.classes.values()) == ["ROI-1", "ROI-2", "ROI-3", "ROI-4"]
    assert mim.notes == (f"rt: 4 contours on slices that are not in {series.id} were left out",)


def test_real_oblique_series(shared_data, tmp_path):
    root = shared_data / "dicom_series" / "rtutils_oriented_data"
    series = images(root, tmp_path / "work")[0]
    corners = [(10.4, 20.4), (10.4, 60.6), (30.6, 60.6), (30.6, 20.4)]
    mask = read(tmp_path, series, {"box": [contour(to_world(series, k, corners)) for k in range(3)]})
    expected = np.zeros((3, 50, 100), bool)
    expected[:, 11:31, 21:61] = True
    assert np.array_equal(mask.slices(0, 3) > 0, expected)
