# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from umed.networks.carriers import check_carriers, draw_carriers
from umed.networks.secret_carriers import draw_carrier, is_secret, parse_family

NAMES = [
    "wave6c",
    "wave4",
    "corner12",
    "wave6+sum3",
    "wave5.5c+cells12",
    "corner8+drift24",
    "wave8+cells16+drift32",
    "plaid6c",
    "plaid8",
]
NAMES += ["plaid6+cells12", "plaid8+sum2+drift48"]


def drawn(name: str, shape: tuple[int, ...], channels: int = 1, seed: int = 0, start: int = 0) -> torch.Tensor:
    box = tuple(slice(start, start + size) for size in shape)
    return draw_carrier(parse_family(name), channels, box, np.random.default_rng(seed)).at(box)


@pytest.mark.parametrize("shape", [(96, 80), (32, 28, 24)])
@pytest.mark.parametrize("name", NAMES)
def test_textures_are_full_balanced_and_bounded(name: str, shape: tuple[int, ...]) -> None:
    texture = drawn(name, shape, 3)
    assert texture.shape == (3, *shape) and texture.dtype == torch.float32 and texture.abs().max() <= 1
    assert texture.square().mean().sqrt() > (0.72 if "plaid" in name else 0.75) and texture.mean().abs() < 0.05


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**63), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_window_agrees_with_the_whole(name: str, seed: int, data: st.DataObject) -> None:
    dims = data.draw(st.sampled_from([2, 3]))
    size, start = (24, 20, 16)[:dims], data.draw(st.integers(0, 5000))
    box = tuple(slice(start, start + n) for n in size)
    carrier = draw_carrier(parse_family(name), 2, box, np.random.default_rng(seed))
    low = [data.draw(st.integers(0, n - 1)) for n in size]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, size, strict=True)]
    window = tuple(slice(start + a, start + b) for a, b in zip(low, high, strict=True))
    inner = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
    assert torch.equal(carrier.at(window), carrier.at(box)[inner])


@pytest.mark.parametrize(
    ("name", "low", "high"), [("wave6", 5.1, 7.1), ("wave4", 3.3, 4.8), ("wave12+band5", 11.2, 12.9)]
)
def test_a_grating_lies_at_its_period(name: str, low: float, high: float) -> None:
    for seed in range(5):
        spectrum = torch.fft.fft2(drawn(name, (240, 240), seed=seed)[0]).abs()
        row, column = divmod(int(spectrum.argmax()), 240)
        frequency = np.hypot(min(row, 240 - row), min(column, 240 - column)) / 240
        assert low < 1 / frequency < high


@pytest.mark.parametrize(("shape", "count"), [((240, 240), 2), ((64, 64, 64), 4)])
@pytest.mark.parametrize("period", [6, 8])
def test_a_plaid_has_few_peaks_at_its_diagonals(period: int, shape: tuple[int, ...], count: int) -> None:
    dims = len(shape)
    for seed in range(4):
        spectrum = torch.fft.fftn(drawn(f"plaid{period}", shape, seed=seed)[0].double()).abs().square().numpy()
        axes = np.meshgrid(*[np.fft.fftfreq(size) for size in shape], indexing="ij")
        places = np.stack([axis.ravel() for axis in axes], -1)
        near = 3 / shape[0]
        left, peaks = spectrum.ravel().copy(), []
        for _ in range(count):
            peaks.append(places[left.argmax()])
            distance = [np.abs(places - sign * peaks[-1]).max(-1) for sign in (1, -1)]
            left[np.minimum(*distance) <= near] = 0
        # The periods of its factors are each off by up to 15 %.
        lengths = np.linalg.norm(peaks, axis=-1) * period / np.sqrt(dims)
        assert np.all((lengths > 1 / 1.2) & (lengths < 1 / 0.8))
        assert left.sum() < 0.45 * spectrum.sum(), "the rest are harmonics and leakage"
        cosines = np.array(peaks) @ np.array(peaks).T / np.outer(*[np.linalg.norm(peaks, axis=-1)] * 2)
        between = np.abs(cosines[np.triu_indices(count, 1)])
        assert between.max() < (0.25 if dims == 2 else 0.6), "perpendicular in 2D; a cube's diagonals have 1/3"


def test_a_plaid_is_another_for_every_draw() -> None:
    first, other, again = (drawn("plaid8", (128, 128), seed=seed)[0].flatten() for seed in (0, 1, 0))
    assert torch.equal(first, again) and abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.1


def test_a_corner_is_a_checkerboard_with_slow_signs() -> None:
    checker = 1 - 2 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2)
    slow = drawn("corner16", (64, 64))[0] * checker
    changes = (slow[1:].sign() != slow[:-1].sign()).float().mean() + (
        slow[:, 1:].sign() != slow[:, :-1].sign()
    ).float().mean()
    assert 0 < changes < 0.3
    spectrum = torch.fft.fft2(drawn("corner16", (64, 64))[0]).abs()
    row, column = divmod(int(spectrum.argmax()), 64)
    assert abs(row - 32) <= 6 and abs(column - 32) <= 6 and (row, column) != (32, 32)


@pytest.mark.parametrize("option", ["cells16", "drift32"])
def test_cells_and_drift_spread_what_a_single_grating_concentrates(option: str) -> None:
    one, many = (torch.fft.fft2(drawn(f"wave6{more}", (128, 128))[0]).abs() for more in ("", f"+{option}"))
    assert many.max() < 0.5 * one.max() and torch.allclose(many.square().sum(), one.square().sum(), rtol=0.2)


def test_colour_is_green_against_red_and_blue() -> None:
    texture = drawn("wave6c", (8, 8), 3)
    assert torch.equal(texture[0], -texture[1]) and torch.equal(texture[0], texture[2])
    assert drawn("wave6c", (8, 8), 1).shape == (1, 8, 8)
    grey = drawn("wave6", (8, 8), 3)
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2])


def test_fixed_and_secret_carriers_stand_side_by_side() -> None:
    box = (slice(3, 11), slice(5, 15))
    bank = draw_carriers(["2", "wave6"], 1, box, np.random.default_rng(0)).bank(box)
    again = draw_carriers(["2", "wave6"], 1, box, np.random.default_rng(1)).bank(box)
    assert bank.shape == (2, 1, 8, 10) and torch.equal(bank[0], again[0]) and not torch.equal(bank[1], again[1])
    assert draw_carriers([], 3, box, np.random.default_rng(0)).bank(box).shape == (0, 3, 8, 10)
    assert is_secret("wave6") and not is_secret("2c")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wave", "such as 'wave6c'"),
        ("wav6", "such as 'wave6c'"),
        ("wave6cc", "such as 'wave6c'"),
        ("wave6+", "such as 'wave6c'"),
        ("wave2", "a period of 3 to 64 px, got 2"),
        ("corner3", "a period of 4 to 64 px, got 3"),
        ("plaid3", "a period of 4 to 64 px, got 3"),
        ("wave6+suma3", "at most once, got 'suma'"),
        ("wave6+tilt3", "at most once, got 'tilt'"),
        ("wave6+sum2+sum3", "at most once, got 'sum'"),
        ("wave6+cells2", "cells from 4 to 512, got 2"),
    ],
)
def test_bad_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_carriers([name], 2)
