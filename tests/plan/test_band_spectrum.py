# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from umed.plan.band_spectrum import (
    CORNER,
    EDGES,
    PERIODS,
    along,
    band_name,
    measure_case,
    median_extent,
    natural_rms,
    responses,
)


def field(shape: tuple[int, ...], slope: float, seed: int) -> np.ndarray:
    """Noise whose amplitude falls with the power ``slope`` of frequency, rms 20."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    frequency = np.sqrt(sum(np.square(axis) for axis in axes))
    made = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) / np.maximum(frequency, 1e-3) ** slope).real
    return 20 * made / made.std()


def band_pass(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """What has a period from ``low`` to ``high``, by a sharp cut: not the filter that is tested."""
    axes = np.meshgrid(*map(np.fft.fftfreq, values.shape), indexing="ij")
    frequency = np.sqrt(sum(np.square(axis) for axis in axes))
    return np.fft.ifftn(np.fft.fftn(values) * ((frequency > 1 / high) & (frequency <= 1 / low))).real


def ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(size) - size / 2 for size in shape], indexing="ij")
    return (sum(np.square(axis) for axis in axes) <= radius**2).astype(np.uint8)


def measured(values: np.ndarray, labels: np.ndarray, *, solid: bool = False, zone: str = "inside") -> np.ndarray:
    found = measure_case(values, labels, percentiles=1.0)
    assert found is not None
    part = found.solid if solid else found.plane
    assert part is not None
    signs = [1.0] * len(values)
    return np.array([along(one, signs) for one in getattr(part, zone)])


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("zone", ["inside", "ring"])
def test_bands_of_natural_noise_are_those_of_a_sharp_cut(slope: float, zone: str) -> None:
    labels = ball((320, 320), 80)
    ratios = []
    for seed in range(6):
        values = field((320, 320), slope, seed) + 3000
        rms = measured(values[None], labels, zone=zone)
        where = labels > 0 if zone == "inside" else (ball((320, 320), 112) > 0) & (labels == 0)
        ends = [(0.1 if band == 0 else EDGES[band], EDGES[band + 1]) for band in range(CORNER)]
        exact = [np.sqrt(np.square(band_pass(values, *end))[where].mean()) for end in ends]
        ratios.append(rms[:CORNER] / exact)
    assert np.all(np.abs(np.sqrt(np.mean(np.square(ratios), axis=0)) - 1) < 0.2)


@pytest.mark.parametrize("band", range(CORNER))
def test_a_grating_counts_in_its_band_only(band: int) -> None:
    row, column = np.indices((256, 256))
    amplitude, angle = 5.0, 0.6
    wave = amplitude * np.sin(2 * np.pi / PERIODS[band] * (row * np.cos(angle) + column * np.sin(angle)))
    rms = measured(wave[None] - 500, ball((256, 256), 100))
    assert rms[band] == pytest.approx(amplitude / np.sqrt(2), rel=0.05)
    assert np.all(np.delete(rms[:CORNER], band) < 0.1 * rms[band])


def test_a_grating_between_two_bands_keeps_its_power() -> None:
    row, _ = np.indices((256, 256))
    for edge in EDGES[1:-1]:
        rms = measured(5 * np.sin(2 * np.pi * row / edge)[None], ball((256, 256), 100))
        assert np.sqrt(np.square(rms[:CORNER]).sum()) == pytest.approx(5 / np.sqrt(2), rel=0.05)


def test_what_is_slow_or_flat_does_not_leak() -> None:
    row, column = np.indices((200, 180)).astype(float)
    slow = 100 * np.sin(2 * np.pi * row / 150) + 0.5 * column + 1e4
    assert np.all(measured(slow[None], ball((200, 180), 60))[:6] < 0.3)


def test_the_loud_edge_of_a_lesion_is_not_its_texture() -> None:
    labels = ball((200, 200), 60)
    texture = 0.4 * field((200, 200), 1.0, 0)
    alone, beside = (measured((texture + step * labels)[None], labels)[:5] for step in (0.0, 40.0))
    assert np.all(beside < 1.2 * alone), "an edge of five times the texture"


def test_inside_and_around_are_told_apart() -> None:
    labels = ball((200, 200), 60)
    values = np.random.default_rng(1).standard_normal((200, 200)) * np.where(labels > 0, 2.0, 8.0)
    inside, ring = (measured(values[None], labels, zone=zone)[1] for zone in ("inside", "ring"))
    assert 3 < ring / inside < 4.5


def test_a_volume_is_measured_in_its_slices_and_in_3d() -> None:
    index = np.indices((48, 48, 48))
    labels = ball((48, 48, 48), 18)
    across = 5 * np.sin(2 * np.pi * index[0] / PERIODS[2])[None]  # flips from slice to slice, constant within
    assert measured(across, labels, solid=True)[2] == pytest.approx(5 / np.sqrt(2), rel=0.1)
    assert np.nanmax(measured(across, labels)) < 0.2
    within = measure_case(across, labels, axis=2, percentiles=1.0)
    assert within is not None and along(within.plane.inside[2], [1.0]) == pytest.approx(5 / np.sqrt(2), rel=0.1)


def test_the_corner_is_the_grids_own_checkerboard() -> None:
    checker = 3.0 * (1 - 2 * (np.indices((128, 128)).sum(0) % 2))
    rms = measured(checker[None], ball((128, 128), 50))
    assert rms[CORNER] == pytest.approx(3, rel=0.02) and rms[0] == pytest.approx(3, rel=0.02)
    assert band_name(CORNER) == "corner" and band_name(2) == "4-6 px"


def test_filters_add_up_to_one() -> None:
    power = sum(np.square(one) for one in responses((64, 50))[:CORNER])
    axes = np.meshgrid(np.arange(64) / 128, np.arange(50) / 100, indexing="ij")
    known = np.hypot(*axes) >= 1 / PERIODS[-1]
    assert np.allclose(power[known], 1) and power[0, 0] == 0


def test_colour_directions_follow_the_covariance() -> None:
    rng = np.random.default_rng(0)
    grey, red = rng.standard_normal((2, 160, 160))
    values = np.stack([4 * grey + red, 4 * grey, 4 * grey])
    labels = ball((160, 160), 60)
    found = measure_case(values, labels, percentiles=1.0)
    assert found is not None
    whole = found.plane.inside[0]
    ratio = along(whole, (1, 1, 1)) / along(whole, (1, 0, -1))
    assert ratio == pytest.approx(np.hypot(4, 1 / 3) / 0.5, rel=0.05)
    assert along(whole, (1, -1, 1)) == pytest.approx(along(whole, (-1, 1, -1)))


def test_small_rois_have_no_long_bands_and_none_is_no_spectrum() -> None:
    values = np.random.default_rng(0).standard_normal((1, 90, 90))
    rms = measured(values, ball((90, 90), 8))
    assert np.isfinite(rms[:4]).all() and np.isnan(rms[4:CORNER]).all(), "14 px across: up to half of it"
    assert measure_case(values, np.zeros((90, 90), np.uint8), percentiles=1.0) is None


def test_shares_sizes_and_ranges() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 30:50] = 2
    values = np.random.default_rng(0).integers(0, 99, (1, 60, 80))
    one = measure_case(values, labels, slope=2.0, percentiles=50.0, whole=510.0)
    assert one is not None
    assert (one.share, one.border, one.plane.extent) == (400 / 4800, 80 / 4800, 20)
    assert (one.width("percentile"), one.width("dtype"), one.width((-10.0, 30.0))) == (50, 510, 40)
    base = measure_case(values, labels, percentiles=50.0)
    assert base is not None and np.allclose(one.plane.inside[0], 4 * base.plane.inside[0])
    inside, _ = natural_rms([one], [1.0], "percentile", solid=False)
    assert inside[0] == pytest.approx(along(one.plane.inside[0], [1.0]) / 50)
    assert np.isnan(natural_rms([one], [1.0, 1.0], "percentile", solid=False)[0]).all(), "another number of channels"
    assert np.isnan(natural_rms([one], [1.0], "percentile", solid=True)[0]).all()
    assert median_extent([one, one], solid=False) == 20 and np.isnan(median_extent([], solid=False))


def test_values_that_are_not_finite_and_large_offsets_do_no_harm() -> None:
    values = np.random.default_rng(0).standard_normal((1, 100, 100))
    labels = ball((100, 100), 30)
    plain = measured(values, labels)
    moved = values + 1e6
    moved[0, 0, :5] = np.nan, np.inf, -np.inf, np.nan, np.inf
    assert np.allclose(measured(moved, labels)[:5], plain[:5], rtol=0.02)


def test_a_large_roi_is_sampled() -> None:
    values = field((1200, 1100), 1.0, 0)[None]
    labels = np.ones((1200, 1100), np.uint8)
    rms = measured(values, labels)
    exact = np.sqrt(np.square(band_pass(values[0], 6, 8)).mean())
    assert rms[3] == pytest.approx(exact, rel=0.2)
