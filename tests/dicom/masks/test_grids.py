# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.mask_files import AXIAL, TURNED, positions
from umed.dicom.masks import grids
from umed.dicom.masks.grids import MaskPlane
from umed.dicom.objects import Geometry

SHAPE, SPACING = (4, 6, 5), (2.5, 0.5, 0.8)


def geometry(axes=AXIAL, places=None, shape=SHAPE):
    places = np.array(positions(shape[0], axes=axes) if places is None else places)
    orientation = np.array(axes)
    affine = np.eye(4)
    affine[:3, 0] = (places[-1] - places[0]) / max(shape[0] - 1, 1)
    affine[:3, 1], affine[:3, 2] = orientation[1] * SPACING[1], orientation[0] * SPACING[2]
    affine[:3, 3] = places[0]
    return Geometry(shape, affine, places, orientation, SPACING)


def lay(grid, affine, volume):
    """Whole volume onto the grid."""
    out = np.zeros(grid.shape, np.int16)
    axis, planes = grids.planes(affine, volume.shape, grid.normal)
    for index, plane in enumerate(planes):
        place = grids.locate(grid, plane)
        assert place is not None
        for k in place.slices:
            out[k], beyond = grids.put(place, np.take(volume, index, axis), grid.shape[1:])
            assert beyond == 0
    return out


@pytest.mark.parametrize("axes", [AXIAL, TURNED])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_every_permutation_and_flip_comes_back(axes, order, flips):
    grid = geometry(axes)
    volume = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    moved, affine = np.transpose(volume, order), grid.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:, 3] += affine[:, axis] * (moved.shape[axis] - 1)
            affine[:, axis] *= -1
            moved = np.flip(moved, axis)
    assert np.array_equal(lay(grid, affine, moved), volume)


def test_sheared_steps_of_a_tilted_gantry():
    places = [np.array([0.0, 0.7 * k, 2.5 * k]) for k in range(4)]
    volume = np.random.default_rng(1).integers(0, 9, SHAPE).astype(np.int16)
    grid = geometry(places=places)
    assert np.array_equal(lay(grid, grid.affine, volume), volume)


def test_uneven_slices_are_matched_one_by_one():
    grid = geometry(places=[np.array([0.0, 0.0, z]) for z in (0.0, 2.5, 7.5, 10.0)])
    found = [grids.locate(grid, MaskPlane(np.array([0.0, 0.0, z]), *_steps(grid), SHAPE[1:])) for z in (2.5, 5.0, 7.5)]
    assert [place and place.slices for place in found] == [(1,), None, (2,)]


def _steps(grid):
    return grid.affine[:3, 1], grid.affine[:3, 2]


def test_several_slices_at_one_position():
    grid = geometry(places=[np.array([0.0, 0.0, z]) for z in (0.0, 0.0, 2.5, 2.5)])
    place = grids.locate(grid, MaskPlane(np.array([0.0, 0.0, 2.5]), *_steps(grid), SHAPE[1:]))
    assert place is not None and place.slices == (2, 3)


def test_parts_and_overhang():
    grid = geometry()
    rows, columns = _steps(grid)
    part = MaskPlane(grid.positions[1] + 2 * rows + columns, rows, columns, (3, 2))
    place = grids.locate(grid, part)
    assert place is not None and (place.slices, place.corner) == ((1,), (2, 1))
    laid, beyond = grids.put(place, np.ones((3, 2), np.int16), (6, 5))
    assert beyond == 0 and laid.sum() == 6 and laid[2:5, 1:3].all()
    over = grids.locate(grid, MaskPlane(grid.positions[1] - rows, rows, columns, (8, 5)))
    assert over is not None
    laid, beyond = grids.put(over, np.ones((8, 5), np.int16), (6, 5))
    assert beyond == 10 and laid.all()
    away = grids.locate(grid, MaskPlane(grid.positions[1] + 50 * rows, rows, columns, (2, 2)))
    assert away is not None
    laid, beyond = grids.put(away, np.ones((2, 2), np.int16), (6, 5))
    assert beyond == 4 and not laid.any()


@pytest.mark.parametrize("what", ["between voxels", "between slices", "spacing", "rotated", "leaning"])
def test_other_grids_are_not_found(what):
    grid = geometry()
    origin, (rows, columns) = grid.positions[1].copy(), _steps(grid)
    if what == "between voxels":
        origin = origin + 0.3 * rows
    if what == "between slices":
        origin = origin + 0.2 * 2.5 * grid.normal
    if what == "spacing":
        rows = rows * 1.05
    if what == "rotated":
        rows, columns = rows + 0.1 * columns, columns - 0.1 * rows
    if what == "leaning":
        rows = rows + 0.1 * grid.normal
    assert grids.locate(grid, MaskPlane(origin, rows, columns, SHAPE[1:])) is None


def test_rounding_noise_is_no_other_grid():
    grid = geometry()
    rows, columns = _steps(grid)
    place = grids.locate(grid, MaskPlane(grid.positions[2] + 0.01, rows * 1.0001, columns, SHAPE[1:]))
    assert place is not None and place.slices == (2,)


def test_misfit_names_both():
    grid = geometry()
    rows, columns = _steps(grid)
    got = grids.of_planes([MaskPlane(np.array([1.0, 2.0, 3.0]), rows, columns, (7, 8))] * 9, 1.25)
    message = str(grids.misfit("mask.dcm", "series_0001", grid, got))
    for part in (
        "mask.dcm",
        "series_0001",
        "(4, 6, 5)",
        "2.5 x 0.5 x 0.8",
        "(9, 7, 8)",
        "1.25 x 0.5 x 0.8",
        "(1, 2, 3)",
    ):
        assert part in message
    assert "\n" not in message
