# SPDX-License-Identifier: Apache-2.0
"""Slices are ordered along their normal, and the affine takes indices to the positions that the headers give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dicom_files import enhanced, image
from umed.dicom.read import geometry
from umed.dicom.read.geometry import SlicePlane

PIXELS = np.zeros((4, 6), np.int16)


def rotation(angles):
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def stack(positions, orientation=((1, 0, 0), (0, 1, 0)), times=None):
    axes = np.array(orientation, float)
    times = times or [(0.0,)] * len(positions)
    return [SlicePlane(np.array(p, float), axes, (0.8, 0.7), 2.0, t) for p, t in zip(positions, times, strict=True)]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.floats(0.3, 9),
    st.permutations(range(6)),
)
def test_affine_reproduces_every_position(angles, origin, gap, shuffled):
    axes = rotation(angles)
    normal = np.cross(axes[0], axes[1])
    places = [np.array(origin) + k * gap * normal for k in range(6)]
    planes = stack([places[k] for k in shuffled], axes[:2])
    passes = geometry.order(planes)
    assert [shuffled[index] for index in passes[0]] == list(range(6)) and len(passes) == 1
    grid, problems = geometry.build([planes[index] for index in passes[0]], 4, 6)
    assert problems == () and grid.uniform and not grid.tilted
    assert grid.spacing == pytest.approx((gap, 0.8, 0.7), rel=1e-6)
    for k in range(6):
        assert np.allclose(grid.affine @ (k, 0, 0, 1), [*places[k], 1], atol=1e-6)
        corner = places[k] + 3 * 0.8 * axes[1] + 5 * 0.7 * axes[0]
        assert np.allclose(grid.affine @ (k, 3, 5, 1), [*corner, 1], atol=1e-6)


def test_gantry_tilt_keeps_the_oblique_step():
    grid, problems = geometry.build(stack([(0, 0.5 * k, 2 * k) for k in range(5)]), 4, 6)
    assert grid.tilted and grid.uniform and "gantry tilt" in problems[0]
    assert np.allclose(grid.affine[:3, 0], (0, 0.5, 2)) and grid.spacing[0] == 2


@pytest.mark.parametrize(
    ("heights", "words", "step"),
    [
        ([0, 2, 4, 8, 10], "1 of 4 steps are 4 mm instead of 2 mm (about 1 slices are missing)", 2),
        ([0, 2, 4, 4.0001, 6], "1 doubled slices", 2),
        ([0, 2, 4, 5.3, 7.3, 9.3], "1 of 5 steps are 1.3 mm instead of 2 mm", 2),
        ([3, 3, 3], "3 slices have the same position", 2),
    ],
)
def test_odd_steps_are_named_and_do_not_pull_the_step(heights, words, step):
    grid, problems = geometry.build(stack([(0, 0, z) for z in heights]), 4, 6)
    assert not grid.uniform and problems[0] == words
    assert grid.spacing[0] == pytest.approx(step)


def test_rounded_positions_count_as_uniform():
    grid, problems = geometry.build(stack([(0, 0, round(k * 1.23456, 3)) for k in range(30)]), 4, 6)
    assert grid.uniform and problems == ()


def test_one_slice_takes_its_thickness():
    grid, _ = geometry.build(stack([(1, 2, 3)]), 4, 6)
    assert grid.uniform and grid.spacing[0] == 2 and np.allclose(grid.affine[:3, 0], (0, 0, 2))


def test_passes_follow_time_at_each_place():
    planes = stack([(0, 0, z) for z in (0, 2, 0, 2)], times=[(2.0,), (1.0,), (1.0,), (2.0,)])
    assert geometry.order(planes) == [[2, 1], [0, 3]]


def test_planes_of_a_single_image():
    (plane,) = geometry.planes(image(PIXELS, position=(1, 2, 3), SliceThickness=4), 1)
    assert plane.position.tolist() == [1, 2, 3] and plane.spacing == (0.8, 0.7) and plane.thickness == 4


@pytest.mark.parametrize(
    "damage",
    [
        {"ImagePositionPatient": [1, 2]},
        {"ImagePositionPatient": None},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"PixelSpacing": [0, 1]},
        {"PixelSpacing": None},
    ],
)
def test_a_broken_plane_is_no_plane(damage):
    ds = image(PIXELS)
    for keyword, value in damage.items():
        setattr(ds, keyword, value)
    assert geometry.planes(ds, 1) is None


def test_planes_of_functional_groups_per_frame_before_shared():
    ds = enhanced(np.zeros((3, 4, 6), np.int16), order=[2, 0, 1])
    planes = geometry.planes(ds, 3)
    assert [plane.position[2] for plane in planes] == [105, 100, 102.5] and planes[0].spacing == (0.8, 0.7)
    own = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    ds.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = own
    del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert geometry.planes(ds, 3) is None
    assert geometry.planes(enhanced(np.zeros((3, 4, 6), np.int16)), 4) is None
