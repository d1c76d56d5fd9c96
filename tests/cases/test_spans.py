# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dicom_files import write_series
from umed.cases import spans as module
from umed.cases.spans import CONTEXT, GRID, MOST_SLICES, Slices, reach, slice_encoding, spacing, spans, value_range
from umed.core.errors import BudgetError, InputError
from umed.core.types import Encoding
from umed.dicom.objects import Geometry, Instance, Limits, Series
from umed.dicom.read import reader
from umed.dicom.read.scan import scan
from umed.plan.planning import Plan

CT = Encoding("<i2", 1.0, -1024.0, 16)


def make_series(encodings, *, between=2.5, rows=8, columns=9, samples=1, placed=True):
    """A series that is nowhere on disk, one file a slice."""
    count = len(encodings)
    shape = (1, rows, columns)
    instances = tuple(
        Instance(Path(f"{k}"), f"{k}", "image", shape=shape, samples=samples, encoding=one)
        for k, one in enumerate(encodings)
    )
    positions = np.arange(count)[:, None] * np.array([[0.0, 0.0, between]])
    geometry = Geometry((count, rows, columns), np.eye(4), positions, np.eye(3)[:2], (between, 0.8, 0.7))
    slices = tuple((k, 0) for k in range(count))
    return Series("1.2", "series_0001", "CT", "image", instances, slices, geometry if placed else None)


RAMP = np.arange(144, dtype=np.int16).reshape(2, 8, 9)


class Memory:
    """Stands in for :class:`Slices`."""

    def __init__(self, values, fixed=None):
        self.values, self.fixed = values, np.zeros(values.shape[:3], bool) if fixed is None else fixed

    def read(self, start, stop):
        return list(self.values[start:stop]), self.fixed[start:stop]


ENCODINGS = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.integers(1, 30)), min_size=1, max_size=8).map(
    lambda runs: [Encoding("<i2", slope, 0.0, 16) for slope, count in runs for _ in range(count)]
)


@settings(max_examples=150, deadline=None)
@given(
    encodings=ENCODINGS,
    between=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    size=st.sampled_from([16, 512, 3000]),
    samples=st.sampled_from([1, 3]),
    dims=st.sampled_from([2, 3]),
    radius=st.floats(0, 12),
    unit=st.sampled_from(["px", "mm"]),
)
def test_spans_keep_every_slice_once_and_see_enough(encodings, between, size, samples, dims, radius, unit):
    series = make_series(encodings, between=between, rows=size, columns=size, samples=samples)
    plan = Plan(spatial_dims=dims, radius=radius, radius_unit=unit)
    found = list(spans(series, plan))
    assert [k for span in found for k in range(*span.kept)] == list(range(len(encodings)))
    for span in found:
        assert {encodings[k] for k in range(*span.kept)} == {span.encoding}
        assert 0 <= span.seen[0] <= span.kept[0] < span.kept[1] <= span.seen[1] <= len(encodings)
        kept = span.kept[1] - span.kept[0]
        assert kept <= MOST_SLICES and kept * size * size * samples <= max(2**23, GRID * size * size * samples)
        if dims == 2:
            assert span.seen == span.kept
            continue
        assert span.seen[0] % GRID == 0
        wanted = reach(series, plan) + CONTEXT
        assert span.seen[0] <= max(0, span.kept[0] - wanted)
        assert span.seen[1] >= min(len(encodings), span.kept[1] + wanted)


@pytest.mark.parametrize(
    ("radius", "unit", "dims", "expected"),
    [(3, "px", 3, 3), (3.2, "px", 3, 4), (5, "mm", 3, 2), (5.1, "mm", 3, 3), (9, "mm", 2, 0), (0, "mm", 3, 0)],
)
def test_reach_counts_slices(radius, unit, dims, expected):
    series = make_series([CT] * 4, between=2.5)
    assert reach(series, Plan(spatial_dims=dims, radius=radius, radius_unit=unit)) == expected


def test_spacing_of_pictures_without_position_is_that_of_their_pixels():
    flat = replace(make_series([CT], placed=False), spacing=(0.3, 0.4))
    assert spacing(flat) == (1.0, 0.3, 0.4)
    assert spacing(make_series([CT] * 2)) == (2.5, 0.8, 0.7)
    assert spacing(make_series([CT], between=0.0)) == (1.0, 0.8, 0.7)  # one slice has no step


def test_slices_without_encoding_say_why():
    series = make_series([CT])
    odd = replace(series, instances=(replace(series.instances[0], encoding=None, unprotectable="float pixels"),))
    with pytest.raises(InputError, match="float pixels"):
        slice_encoding(odd, 0)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_file_is_decoded_once_and_only_a_few_are_kept(tmp_path, monkeypatch, dims):
    count, size = 150, 16
    write_series(tmp_path, np.random.default_rng(0).integers(0, 99, (count, size, size)).astype(np.int16))
    [series] = scan(tmp_path).series
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", MOST_SLICES * size * size)  # as 512 x 512 has it
    read, opened = reader.read, []
    monkeypatch.setattr(module.reader, "read", lambda path, *a, **k: opened.append(path) or read(path, *a, **k))
    slices, most = Slices(series, Limits()), 0
    for span in spans(series, Plan(spatial_dims=dims, radius=3)):
        slices.read(*span.seen)
        most = max(most, len(slices._kept))
    assert len(opened) == len(set(opened)) == count
    assert most <= 2 * MOST_SLICES


def test_slices_come_in_slice_order_with_their_padding(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (5, 6, 7)).astype(np.int16)
    write_series(tmp_path, values, PixelPaddingValue=3)
    [series] = scan(tmp_path).series
    found, fixed = Slices(series, Limits()).read(1, 4)
    assert np.array_equal(np.stack(found), values[1:4]) and np.array_equal(fixed, values[1:4] == 3)


def test_a_broken_file_is_zeros_that_may_not_change_and_is_tried_once(tmp_path, monkeypatch):
    values = np.ones((3, 6, 7), np.int16)
    write_series(tmp_path, values)
    [series] = scan(tmp_path).series
    bad = series.instances[1].path
    bad.write_bytes(bad.read_bytes()[:-20])
    slices = Slices(series, Limits())
    for _ in range(2):
        found, fixed = slices.read(0, 3)
        assert not found[1].any() and found[1].shape == (6, 7) and found[1].dtype == np.int16
        assert fixed.all(axis=(1, 2)).tolist() == [False, True, False]
        assert (found[0] == 1).all() and (found[2] == 1).all()
        monkeypatch.setattr(module.reader, "read", lambda *a, **k: pytest.fail("read again"))
    assert list(slices.broken) == [1] and "\n" not in slices.broken[1]


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    slopes=st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=6),
    low=st.floats(0, 40),
    high=st.floats(60, 100),
    spread=st.sampled_from([3, 40, 2000]),
)
def test_percentiles_are_those_of_all_pixels_by_nearest_rank(seed, slopes, low, high, spread):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, spread, (len(slopes), 8, 9)).astype(np.int16)
    fixed = rng.random(values.shape) < 0.2
    series = make_series([Encoding("<i2", slope, -7.0, 16) for slope in slopes])
    plan = Plan(range="percentile", percentiles=(low, high))
    physical = (values * np.array(slopes)[:, None, None] - 7.0)[~fixed]
    expected = tuple(np.percentile(physical, [low, high], method="inverted_cdf"))
    if expected[0] == expected[1]:
        with pytest.raises(BudgetError, match="expected values that differ"):
            value_range(series, plan, Memory(values, fixed), None)
    else:
        assert value_range(series, plan, Memory(values, fixed), None) == expected


def test_a_range_that_needs_no_pixels_reads_none():
    for name in [(-160.0, 240.0), "dtype", "ct:soft"]:
        assert value_range(make_series([CT]), Plan(range=name), None, None) == name
    for name in ("ct:soft", "auto"):
        assert value_range(replace(make_series([CT] * 2), modality="PT"), Plan(range=name), Memory(RAMP), None) == (
            -1024.0,
            -881.0,
        ), "nothing but CT takes a window of CT"
    picture = replace(make_series([Encoding("|u1", 1.0, 0.0, 8)], placed=False), modality="US")
    assert value_range(picture, Plan(range="auto"), None, None) == "dtype"


def test_nothing_but_padding_or_one_value_is_an_error_that_says_what_to_do():
    series, values = make_series([CT] * 2), np.full((2, 8, 9), 5, np.int16)
    with pytest.raises(BudgetError, match="outside the padding"):
        value_range(series, Plan(range="percentile"), Memory(values, np.ones(values.shape, bool)), None)
    with pytest.raises(BudgetError, match=r"both at -1019\. Set range to"):
        value_range(series, Plan(range="percentile"), Memory(values), None)
