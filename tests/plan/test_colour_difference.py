# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

from umed.core.types import Encoding, Volume
from umed.plan import colour_difference as module
from umed.plan.budget import make_budget
from umed.plan.colour_difference import KERNELS, ColourDifference, colour_delta_e, grey_delta_e, seen, sensitivity
from umed.plan.metrics import measure
from umed.plan.regions import make_regions

RNG = np.random.default_rng(5)
EVERYWHERE = np.arange(96 * 96)


def show(values):
    return values.astype(np.float32) / 255


def grating(period, signs, size=96, amplitude=4 / 255, base=0.5):
    """A flat picture without and with waves across the columns, ``(1, size, size[, colours])``."""
    wave = amplitude * np.cos(2 * np.pi * (np.arange(size) + 0.5) / period)
    plain = np.full((1, size, size, len(signs)), base, np.float32)
    waves = (plain + wave[:, None] * np.array(signs)).astype(np.float32)
    return (plain, waves) if len(signs) == 3 else (plain[..., 0], waves[..., 0])


@pytest.mark.parametrize(("one", "two"), [(0.5, 0.5 + 8 / 255), (0.02, 0.06), (0.93, 0.9), (0.0, 1.0)])
def test_a_flat_grey_differs_as_two_patches_do(one, two):
    before, after = (np.full((1, 40, 30), value, np.float32) for value in (one, two))
    found = grey_delta_e(before, after, np.arange(1200))
    labs = (rgb2lab(np.full(3, value)) * [1, 0, 0] for value in (one, two))
    assert np.allclose(found, deltaE_ciede2000(*labs), rtol=2e-3)


def test_a_flat_colour_differs_as_two_patches_do():
    for _ in range(5):
        one, two = RNG.uniform(0.1, 0.9, (2, 3)).astype(np.float32)
        before, after = (np.broadcast_to(colour, (1, 20, 24, 3)).copy() for colour in (one, two))
        found = colour_delta_e(before, after, np.arange(480))
        assert np.allclose(found, deltaE_ciede2000(rgb2lab(one), rgb2lab(two)), rtol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_point_spreads_as_the_published_gaussians(kernel):
    point = np.zeros((1, 201, 201), np.float32)
    point[0, 100, 100] = 1
    per_degree = 128.0  # fine enough for kernels that are sampled in pixels
    total = sum(weight for weight, _ in kernel)
    expected = sum(
        weight / total * ndimage.gaussian_filter(point[0], spread * per_degree / math.sqrt(2), truncate=8)
        for weight, spread in kernel
    )
    assert np.allclose(seen(point, kernel, per_degree)[0], expected, atol=2e-4 * expected.max())


def test_flat_passes_whole_and_brightness_passes_at_finer_detail_than_colour():
    for kernel in KERNELS:
        assert sensitivity((8, 8), kernel)[0, 0] == pytest.approx(1)
    one_axis = [sensitivity((1, 64), kernel)[0] for kernel in KERNELS]
    assert one_axis[0].max() > 1.1  # brightness is seen best at middle detail, colour where it is coarse
    assert all((np.diff(factors) < 0).all() for factors in one_axis[1:])
    assert (one_axis[0][16:] > one_axis[1][16:]).all() and (one_axis[1][16:] > one_axis[2][16:]).all()


def test_a_grating_is_seen_as_far_as_the_eye_passes_its_frequency():
    periods = (3, 4, 6, 12)
    found = [np.sqrt(np.square(grey_delta_e(*grating(p, [1], amplitude=1 / 255), EVERYWHERE)).mean()) for p in periods]
    passed = [float(sensitivity((1, 2 * 96), KERNELS[0])[0, round(4 * 96 / p)]) for p in periods]
    assert np.allclose(np.divide(found, found[-1]), np.divide(passed, passed[-1]), rtol=0.03)
    opponent = [colour_delta_e(*grating(p, [1, -1, 1]), EVERYWHERE).mean() for p in periods]
    assert (np.diff(opponent) > 0).all() and opponent[0] < 0.3 * opponent[-1]
    nearer = grey_delta_e(*grating(4, [1]), EVERYWHERE, 16.0).mean()  # fewer pixels a degree: waves are larger
    assert nearer > 1.3 * grey_delta_e(*grating(4, [1]), EVERYWHERE).mean()


def test_grey_as_colour_is_nearly_the_same():
    grey, colour = grey_delta_e(*grating(6, [1]), EVERYWHERE), colour_delta_e(*grating(6, [1] * 3), EVERYWHERE)
    assert colour.mean() == pytest.approx(grey.mean(), rel=0.15)


def add(before, after, roi, **options):
    found = ColourDifference()
    box = tuple(slice(0, size) for size in roi.shape)
    found.add(before, after, roi, box, show, **options)
    return found.to_dict()


def test_means_and_percentiles_over_roi_and_picture():
    before = np.full((1, 100, 100), 100, np.uint8)
    roi = np.zeros((100, 100), bool)
    roi[40:60, 30:60] = True
    after = before + (20 * roi).astype(np.uint8)
    found = add(before, after, roi)
    whole = grey_delta_e(show(before), show(after), np.arange(10000))
    assert found["delta_e"] == pytest.approx(whole.mean(), rel=2e-3)
    assert found["delta_e_roi"] == pytest.approx(whole[roi.ravel()].mean(), abs=1e-4)
    assert found["delta_e_99"] == pytest.approx(np.percentile(whole, 99, method="higher"), abs=1e-3)
    assert found["delta_e_roi_99"] == pytest.approx(np.percentile(whole[roi.ravel()], 99, method="higher"), abs=1e-3)
    assert add(before, before, roi) == dict.fromkeys(found, 0.0)


def test_few_changed_pixels_leave_the_picture_s_percentile_at_0():
    before = np.full((1, 400, 500), 100, np.uint8)
    roi = np.zeros((400, 500), bool)
    roi[5:9, 7:11] = True
    found = add(before, before + (50 * roi).astype(np.uint8), roi)
    assert found["delta_e_99"] < 0.01 < 1 < found["delta_e_roi"] < found["delta_e_roi_99"]
    assert 0 < found["delta_e"] < 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_beyond_the_margin_and_between_the_samples_nothing_is_missed(channels, monkeypatch):
    shape = (700, 640)
    before = ndimage.gaussian_filter(RNG.normal(0, 300, (channels, *shape)), (0, 3, 3)) + 120
    before = np.clip(before, 20, 230).astype(np.uint8)
    roi = np.zeros(shape, bool)
    roi[200:480, 180:420] = True
    after = before + (RNG.integers(-6, 7, before.shape) * roi).astype(np.uint8)
    found = add(before, after, roi, colour=channels == 3)
    again = add(before.copy(), after.copy(), roi, colour=channels == 3)
    assert found == again
    monkeypatch.setattr(module, "MOST_PIXELS", roi.size)
    every = add(before, after, roi, colour=channels == 3)
    monkeypatch.setattr(module, "MARGIN", 100.0)
    exact = add(before, after, roi, colour=channels == 3)
    for name, value in exact.items():
        assert every[name] == pytest.approx(value, rel=0.02, abs=2e-3)
        assert found[name] == pytest.approx(value, rel=0.04, abs=2e-3)


def test_a_volume_is_the_mean_of_its_slices_along_any_axis():
    before = RNG.integers(60, 190, (2, 5, 30, 32)).astype(np.uint8)
    roi = np.zeros(before.shape[1:], bool)
    roi[1:4, 10:20, 8:22] = True
    after = before + (6 * roi).astype(np.uint8)
    found = add(before, after, roi, axis=0)
    slices = [add(before[:, k], after[:, k], roi[k]) for k in range(5)]
    assert found["delta_e"] == pytest.approx(np.mean([one["delta_e"] for one in slices]), abs=2e-4)
    assert found["delta_e_roi"] == pytest.approx(np.mean([one["delta_e_roi"] for one in slices[1:4]]), abs=2e-4)
    turned = [np.moveaxis(array, 1, -1) for array in (before, after)]
    assert add(*turned, np.moveaxis(roi, 0, -1)) == found
    parts = ColourDifference()
    for part in (slice(0, 2), slice(2, 5)):  # as spans of a series come
        box = (slice(0, part.stop - part.start), slice(0, 30), slice(0, 32))
        parts.add(before[:, part], after[:, part], roi[part], box, show, axis=0)
    assert parts.to_dict() == pytest.approx(found, abs=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_many_slices_are_sampled_and_stand_for_the_others(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(22, 26, 3)
    grid = np.indices((48, 48, 48)) - centre[:, None, None, None]
    roi = np.square(grid / np.array([9, 12, 17])[:, None, None, None]).sum(axis=0) < 1  # slices of very different area
    before = np.clip(ndimage.gaussian_filter(rng.normal(0, 200, (1, *roi.shape)), (0, 2, 2, 2)) + 120, 30, 220)
    before = before.astype(np.uint8)
    after = before + (rng.integers(0, 9, before.shape) * roi).astype(np.uint8)
    found = add(before, after, roi)
    monkeypatch.setattr(module, "MOST_PLANES", 1000)
    monkeypatch.setattr(module, "MOST_PIXELS", roi.size)
    exact = add(before, after, roi)
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, rel=0.1), name
    assert found["delta_e_roi"] == pytest.approx(exact["delta_e_roi"], rel=0.04)


def test_roi_whose_values_must_not_change_counts_as_unseen():
    before = np.full((1, 40, 300), 90, np.uint8)
    roi = np.zeros((40, 300), bool)
    roi[10:30, :] = True
    after = before.copy()
    after[:, 10:30, :30] += 9
    only = roi.copy()
    only[:, 30:] = False
    assert add(before, after, roi)["delta_e_roi"] == pytest.approx(
        add(before, after, only)["delta_e_roi"] / 10, rel=0.05
    )


def test_what_a_file_records_follows_range_and_slope():
    stored = RNG.integers(-200, 300, (30, 34, 12)).astype(np.int16)
    labels = np.zeros(stored.shape, np.uint8)
    labels[10:20, 12:22, 3:9] = 1
    regions = make_regions(labels, radius=2)

    def figures(stored, encoding, change, **options):
        volume = Volume(stored, encoding, (1.0, 1.0, 1.0), "mm", False, Path("a.nii"))
        budget = make_budget(volume, epsilon=0.05, range=(-160.0, 240.0))
        new = stored.copy()
        new[regions.box][regions.support] += np.asarray(change, stored.dtype)
        return measure(volume, new, regions, budget, **options)

    plain = figures(stored, Encoding("<i2"), 4)
    assert plain["delta_e_roi_99"] > plain["delta_e_roi"] > plain["delta_e"] > 0
    fine = figures(stored.astype(np.float32) * 2, Encoding("<f4", slope=0.5), 8)
    assert fine["delta_e_roi"] == pytest.approx(plain["delta_e_roi"], rel=1e-3)
    mirrored = figures(-stored, Encoding("<i2", slope=-1.0), -4)
    assert mirrored["delta_e_roi"] == pytest.approx(plain["delta_e_roi"], rel=1e-3)
    assert figures(stored, Encoding("<i2"), 4, slice_axis=0)["delta_e_roi"] != plain["delta_e_roi"]
    holes = stored.astype(np.float32)
    holes[11, 13, 4] = np.nan
    assert math.isfinite(figures(holes, Encoding("<f4"), 4)["delta_e"])
    nothing = figures(stored, Encoding("<i2"), 0)
    assert nothing["delta_e"] == nothing["delta_e_roi_99"] == 0
