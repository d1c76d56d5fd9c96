# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.cases.test_spans import CT, Memory, make_series
from umed.cases import spans as module
from umed.cases.span_units import any_channel, make_volume, open_unit
from umed.cases.spans import spans
from umed.core.errors import BudgetError
from umed.core.types import Encoding
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions

ROWS, COLUMNS = 8, 9


def blobs(seed, count):
    """Classes 0 to 2 that are larger than a voxel, and slices without any."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(count, ROWS, COLUMNS)), 1.5)
    labels = np.digitize(noise, np.quantile(noise, [0.7, 0.9])).astype(np.int16)
    labels[np.random.default_rng(seed).random(count) < 0.3] = 0
    return labels


def units(series, plan, values, labels, fixed=None, span_range=(0.0, 400.0)):
    mask = SimpleNamespace(slices=lambda start, stop: labels[start:stop])
    reader = Memory(values, fixed)
    return [open_unit(series, mask, span, plan, reader, span_range) for span in spans(series, plan)]


def together(found, part):
    """One part of the regions of the kept slices of all units."""
    kept = []
    for unit in found:
        whole = np.zeros(unit.regions.shape, bool)
        whole[unit.regions.box] = getattr(unit.regions, part)
        kept.append(whole[unit.kept])
    return np.concatenate(kept)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    between=st.sampled_from([0.5, 1.0, 2.5]),
    dims=st.sampled_from([2, 3]),
    radius=st.floats(0, 7),
    unit=st.sampled_from(["px", "mm"]),
    slopes=st.lists(st.sampled_from([0.5, 1.0]), min_size=60, max_size=60),
    alike=st.booleans(),
)
def test_all_spans_together_have_the_regions_of_the_whole(seed, count, between, dims, radius, unit, slopes, alike):
    encodings = [Encoding("<i2", 1.0 if alike else slope, 0.0, 16) for slope in slopes[:count]]
    series = make_series(encodings, between=between)
    plan = Plan(spatial_dims=dims, slice_axis=0 if dims == 2 else None, radius=radius, radius_unit=unit)
    values = np.random.default_rng(seed).integers(0, 400, (count, ROWS, COLUMNS)).astype(np.int16)
    labels = blobs(seed, count)
    whole = plan_regions(labels, make_volume(series, values, encodings[0]), plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIXELS_AT_ONCE", 8 * ROWS * COLUMNS)
        found, kept = units(series, plan, values, labels), [span.kept for span in spans(series, plan)]
    assert len(found) >= count / 8
    for part in ("contour", "interior"):
        expected = np.zeros(whole.shape, bool)
        expected[whole.box] = getattr(whole, part)
        assert np.array_equal(together(found, part), expected)
    support = np.concatenate([one.kept_support() for one in found])
    assert np.array_equal(support, together(found, "contour") | together(found, "interior"))
    assert [one.touched for one in found] == [bool(one.kept_support().any()) for one in found]
    for one, place in zip(found, kept, strict=True):  # what is written comes from these very values
        assert np.array_equal(one.volumes[0].stored[one.kept], values[slice(*place)])


def test_padding_and_broken_slices_are_never_in_the_support():
    values, labels = np.zeros((20, ROWS, COLUMNS), np.int16), np.zeros((20, ROWS, COLUMNS), np.int16)
    labels[2:18, 2:6, 2:7] = 1
    fixed = np.random.default_rng(0).random(labels.shape) < 0.3
    fixed[7] = True
    series, plan = make_series([CT] * 20), Plan(spatial_dims=3, radius=1)
    free = np.concatenate([one.kept_support() for one in units(series, plan, values, labels)])
    held = np.concatenate([one.kept_support() for one in units(series, plan, values, labels, fixed)])
    assert free[7].any() and not held[7].any()
    assert np.array_equal(held, free & ~fixed)


def test_a_span_of_nothing_but_padding_is_not_touched():
    values, labels = np.zeros((3, ROWS, COLUMNS), np.int16), np.ones((3, ROWS, COLUMNS), np.int16)
    found = units(
        make_series([CT] * 3), Plan(spatial_dims=2, slice_axis=0), values, labels, np.ones(labels.shape, bool)
    )
    assert not any(one.touched for one in found)


def test_every_span_has_the_bound_of_its_own_encoding():
    slopes = [0.5, 0.5, 2.0, 1.0]
    series = make_series([Encoding("<i2", slope, 0.0, 16) for slope in slopes])
    values, labels = np.full((4, ROWS, COLUMNS), 100, np.int16), np.ones((4, ROWS, COLUMNS), np.int16)
    plan = Plan(spatial_dims=2, slice_axis=0, epsilon=4 / 255)
    found = zip(units(series, plan, values, labels), spans(series, plan), strict=True)
    assert [(span.kept, one.limits[0].bound_stored) for one, span in found] == [((0, 2), 12), ((2, 3), 3), ((3, 4), 6)]
    coarse = make_series([Encoding("<i2", 50.0, 0.0, 16)])
    with pytest.raises(BudgetError, match="Use epsilon >="):
        units(coarse, Plan(spatial_dims=2, slice_axis=0, epsilon=4 / 255), values[:1], labels[:1])


def test_neighbours_are_seen_in_the_encoding_of_the_kept_slices():
    encodings = [Encoding("<i2", 0.5, 10.0, 16)] * 8 + [Encoding("<i2", 2.0, 0.0, 16)] * 8
    values = np.full((16, ROWS, COLUMNS), 180, np.int16)  # 100 in the first half
    values[8:] = 50  # and here too
    values[15] = 32000  # more than the first half can hold
    labels = np.ones(values.shape, np.int16)
    first, second = units(make_series(encodings), Plan(spatial_dims=3, radius=3), values, labels)
    assert (first.volumes[0].stored[:15] == 180).all() and (first.volumes[0].stored[15] == 32767).all()
    assert (second.volumes[0].stored[:15] == 50).all() and (second.volumes[0].stored[15] == 32000).all()


def test_colour_counts_as_one_pixel():
    mask = np.zeros((2, 3, 4, 3), bool)
    mask[1, 2, 3, 1] = True
    assert np.argwhere(any_channel(mask)).tolist() == [[1, 2, 3]]
    assert any_channel(mask[..., 0]) is not None and any_channel(mask[..., 0]).shape == (2, 3, 4)
    series = make_series([Encoding("|u1", 1.0, 0.0, 8)], samples=3, placed=False)
    values, labels = np.full((1, ROWS, COLUMNS, 3), 9, np.uint8), np.ones((1, ROWS, COLUMNS), np.int16)
    [found] = units(series, Plan(spatial_dims=2, slice_axis=0), values, labels, span_range="dtype")
    assert found.volumes[0].channels_last and found.kept_support().shape == (1, ROWS, COLUMNS)
