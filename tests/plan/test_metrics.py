# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests.plan.noise_ratio import psnr
from umed.core.types import Encoding, Volume
from umed.plan import metrics
from umed.plan.budget import make_budget
from umed.plan.regions import make_regions

RNG = np.random.default_rng(3)


def pair(shape, change):
    before = RNG.integers(0, 255, shape).astype(np.uint8)
    after = before.copy()
    after[(slice(None), *change)] = np.clip(after[(slice(None), *change)].astype(int) + 9, 0, 255)
    return before, after


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ((1, 40, 50), (slice(10, 20), slice(15, 30))),
        ((3, 40, 50), (slice(0, 4), slice(45, 50))),
        ((1, 20, 22, 18), (slice(5, 9), slice(0, 3), slice(17, 18))),
    ],
)
def test_same_as_skimage(shape, change):
    before, after = pair(shape, change)
    expected = np.mean([structural_similarity(a, b, data_range=255) for a, b in zip(before, after, strict=True)])
    assert math.isclose(metrics.ssim(before, after, peak=255), expected, abs_tol=1e-6)
    assert math.isclose(psnr(before, after, peak=255), peak_signal_noise_ratio(before, after, data_range=255))


def test_ssim_in_blocks_and_without_change(monkeypatch):
    before, after = pair((1, 30, 30, 30), (slice(3, 27), slice(3, 27), slice(3, 27)))
    whole = metrics.ssim(before, after, peak=255)
    monkeypatch.setattr(metrics, "_TILE", 2000)
    assert math.isclose(metrics.ssim(before, after, peak=255), whole, rel_tol=1e-12)
    assert metrics.ssim(before, before, peak=255) == 1
    assert psnr(before, before, peak=255) == math.inf


def test_ssim_on_few_slices():
    before, after = pair((1, 20, 20, 3), (slice(5, 9), slice(5, 9), slice(1, 2)))
    assert 0.8 < metrics.ssim(before, after, peak=255) < 1


def plain_ssim(before, after, peak, low):
    """Every window of the whole volume by the definition, in extended precision."""
    scores = []
    for old, new in zip(before, after, strict=True):
        window = tuple(min(metrics.WINDOW, size - 1 + size % 2) for size in old.shape)
        axes = tuple(range(-old.ndim, 0))
        x, y = (np.lib.stride_tricks.sliding_window_view(a.astype(np.longdouble) - low, window) for a in (old, new))
        mean_x, mean_y = x.mean(axes, keepdims=True), y.mean(axes, keepdims=True)
        less = max(1, math.prod(window) - 1)
        var_x, var_y = (((a - m) ** 2).sum(axes) / less for a, m in ((x, mean_x), (y, mean_y)))
        both = ((x - mean_x) * (y - mean_y)).sum(axes) / less
        mean_x, mean_y = mean_x.reshape(both.shape), mean_y.reshape(both.shape)
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        top = (2 * mean_x * mean_y + c1) * (2 * both + c2)
        scores.append((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
    return float(np.mean(scores))


@st.composite
def changes(draw):
    """A picture or volume of any stored type and memory order, changed in boxes anywhere, borders included."""
    spatial = draw(st.one_of(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 20)] * 3)))
    shape = (draw(st.integers(1, 3)), *spatial)
    name = draw(st.sampled_from(["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f8"]))
    dtype, rng = np.dtype(name), np.random.default_rng(draw(st.integers(0, 99)))
    low, high = {"u1": (0, 255), "<f4": (-3.0, 900.0), ">f8": (-1.0, 1.0), "<u2": (0, 65535)}.get(name, (-1024, 3071))
    before = rng.choice([float(low), float(high)], shape) if draw(st.booleans()) else rng.uniform(low, high, shape)
    after = before.copy()
    for _ in range(draw(st.integers(0, 3))):
        corner = [draw(st.integers(0, size - 1)) for size in spatial]
        box = tuple(slice(start, start + draw(st.integers(1, 9))) for start in corner)
        after[(slice(None), *box)] += draw(st.sampled_from([0.02, -0.01, 0.5])) * (high - low)
    order = draw(st.sampled_from("CF"))
    return *(np.asarray(np.clip(a, low, high).astype(dtype), order=order) for a in (before, after)), high - low, low


@settings(max_examples=150, deadline=None)
@given(changes())
def test_ssim_and_psnr_equal_the_plain_computation(case):
    before, after, peak, low = case
    assert math.isclose(metrics.ssim(before, after, peak=peak, low=low), plain_ssim(*case), rel_tol=1e-12)
    moved = after.astype(np.longdouble) - before.astype(np.longdouble)
    assert math.isclose(metrics.squared_error(before, after), float((moved**2).sum()), rel_tol=1e-12)
    assert metrics.voxels_changed(before, after) == int((before != after).any(axis=0).sum())
    assert metrics.largest_step(before, after) == float(abs(moved).max())


def test_ssim_is_computed_where_something_changed_only(monkeypatch):
    before, after = pair((1, 120, 120, 60), (slice(50, 53), slice(50, 53), slice(30, 33)))
    seen = []
    plain = metrics._window_sums
    monkeypatch.setattr(
        metrics, "_window_sums", lambda values, window: seen.append(values.size) or plain(values, window)
    )
    metrics.ssim(before, after, peak=255)
    assert 0 < max(seen) <= 15**3  # 3 changed, 6 on either side: windows and what lies in them


def test_a_value_that_becomes_nan_is_the_largest_step():
    before = np.zeros((1, 4, 4), np.float32)
    after = before.copy()
    after[0, 2, 2] = np.nan
    assert metrics.largest_step(before, after) == metrics.largest_step(after, before) == math.inf


def test_psnr_inside_a_mask_and_with_nan():
    before = np.zeros((1, 4, 4), np.float32)
    before[0, 0, 0] = np.nan
    after = before.copy()
    after[0, 1, 1] = 1
    mask = np.zeros((4, 4), bool)
    mask[1, :2] = True
    assert math.isclose(psnr(before, after, peak=10, mask=mask), 10 * math.log10(100 * 2))
    assert metrics.voxels_changed(before, after) == 1 and metrics.largest_step(before, after) == 1


def test_different_sees_every_bit():
    values = np.array([0.0, np.nan, 1.0], ">f4")
    assert not metrics.different(values, values.copy()).any()
    assert metrics.different(values, np.array([-0.0, np.nan, 1.0], ">f4")).tolist() == [True, False, False]


def test_measure():
    labels = np.zeros((30, 30), np.uint8)
    labels[10:20, 10:20] = 1
    regions = make_regions(labels, radius=2)
    source = Volume(np.full((30, 30), 100, np.uint8), Encoding("|u1"), (1.0, 1.0), "px", False, Path("a.png"))
    budget = make_budget(source, epsilon=4 / 255)
    stored = source.stored.copy()
    stored[regions.box][regions.support] += 4
    found = metrics.measure(source, stored, regions, budget)
    inside = int(regions.support.sum())
    assert found["epsilon_steps"] == 4 and found["voxels_changed"] == inside and found["largest_step"] == 4
    assert math.isclose(found["psnr_roi"], 20 * math.log10(255 / 4))
    assert math.isclose(found["psnr"], found["psnr_roi"] + 10 * math.log10(900 / inside))
    assert math.isclose(found["roi_share"], inside / 900) and 0 < found["ssim"] < 1
    stored[0, 0] += 1  # outside the regions, which protect refuses
    beyond = metrics.measure(source, stored, regions, budget)
    assert beyond["psnr_roi"] == found["psnr_roi"] and beyond["psnr"] < found["psnr"]
    same = metrics.measure(source, source.stored, regions, budget)
    assert same["psnr"] is None and same["ssim"] == 1
