# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from umed.core.errors import ConfigError
from umed.plan.regions import make_regions


def reference(labels, radius, sampling):
    """The definition, word for word, with full distance transforms."""
    contour = np.zeros(labels.shape, bool)
    for value in np.unique(labels[labels > 0]):
        mask = labels == value
        to_mask = ndimage.distance_transform_edt(~mask, sampling) <= radius * (1 + 1e-9)
        far = np.full(labels.shape, np.inf)
        to_rest = (far if mask.all() else ndimage.distance_transform_edt(mask, sampling)) <= radius * (1 + 1e-9)
        contour |= to_mask & to_rest
    return contour, (labels > 0) & ~contour


def full(regions, part):
    out = np.zeros(regions.shape, bool)
    out[regions.box] = part
    return out


@settings(max_examples=80, deadline=None)
@given(
    labels=hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9), elements=st.integers(0, 3)
    ),
    radius=st.floats(0, 4),
    spacing=st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3),
)
def test_same_as_the_definition(labels, radius, spacing):
    regions = make_regions(labels, radius=radius, radius_unit="mm", spacing=spacing)
    contour, interior = reference(labels, radius, spacing[: labels.ndim])
    if not labels.any():
        assert regions.empty and regions.support.size == 0
        return
    assert np.array_equal(full(regions, regions.contour), contour)
    assert np.array_equal(full(regions, regions.interior), interior)
    assert np.array_equal(regions.labels, labels[regions.box]) and regions.labels.dtype == np.int16


def test_the_memory_order_of_the_file_is_kept_and_plays_no_part():
    labels = np.random.default_rng(0).integers(0, 3, (9, 11, 7)).astype(np.uint8)
    one, other = (make_regions(np.asarray(labels, order=order), radius=2) for order in "CF")
    assert np.array_equal(one.contour, other.contour) and np.array_equal(one.interior, other.interior)
    assert one.support.flags.c_contiguous and other.support.flags.f_contiguous


def test_borders_between_classes_count():
    labels = np.zeros((30, 30), np.uint8)
    labels[:, :15], labels[:, 15:] = 1, 2
    regions = make_regions(labels, radius=2)
    assert np.array_equal(np.flatnonzero(regions.contour[0]), [13, 14, 15, 16])
    assert regions.support.all()


def test_box_holds_support_and_margin():
    labels = np.zeros((60, 60, 60), np.int16)
    labels[30:33, 30:33, 30:33] = 4
    regions = make_regions(labels, radius=3, margin=5)
    assert regions.origin == (22, 22, 22) and regions.support.shape == (19, 19, 19)
    assert not regions.support[:5].any() and regions.support[5].any()


def test_slice_axis_stays_in_the_slice():
    labels = np.zeros((20, 20, 9), np.uint8)
    labels[8:12, 8:12, 4] = 1
    regions = make_regions(labels, radius=3, slice_axis=2)
    assert np.flatnonzero(full(regions, regions.support).any((0, 1))).tolist() == [4]
    flat = make_regions(labels[..., 4], radius=3)
    assert np.array_equal(full(regions, regions.contour)[..., 4], full(flat, flat.contour))


def test_negative_labels_are_background():
    labels = np.full((9, 9), -1, np.int16)
    assert make_regions(labels, radius=1).empty
    labels[4, 4] = 1
    assert make_regions(labels, radius=0).interior.sum() == 1


@pytest.mark.parametrize("bad", [{"radius": -1}, {"radius": np.nan}, {"radius": 1, "radius_unit": "mm"}])
def test_bad_settings(bad):
    with pytest.raises(ConfigError, match="radius"):
        make_regions(np.ones((3, 3), np.uint8), **bad)


def test_lean_on_a_large_volume():
    labels = np.zeros((256, 256, 100), np.uint8)
    labels[40:220, 50:200, 10:90] = 1
    tracemalloc.start()
    make_regions(labels, radius=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * labels.nbytes  # 6 times the same volume in int16
