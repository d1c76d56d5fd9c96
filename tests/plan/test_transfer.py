# SPDX-License-Identifier: Apache-2.0
"""Each share against the operation itself on gratings, by other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from umed.plan.transfer import (
    WEIGHTS,
    Transfer,
    blurred,
    directions,
    jpeg_share,
    nnunet_share,
    resized,
    transfer,
)
from umed.training.augment import nnunet_like

PERIODS = [3.0, 4.9, 6.9, 13.9]


def grating(period: float, angle: float, size: int, phase: float = 0.3) -> np.ndarray:
    row, column = np.indices((size, size))
    return np.sin(2 * np.pi / period * (row * np.cos(angle) + column * np.sin(angle)) + phase)


@pytest.mark.parametrize("period", PERIODS)
def test_blur_is_that_of_scipy(period: float) -> None:
    waves = [grating(period, angle, 128) for angle in (0.0, 0.7, 1.2)]
    kept = [
        (ndimage.gaussian_filter(w, 1.0, mode="wrap") * w)[20:-20, 20:-20].mean() / np.square(w).mean() for w in waves
    ]
    assert blurred(directions(2) / period, 1.0) == pytest.approx(np.mean(kept), abs=0.03)


@pytest.mark.parametrize("period", [5.0, 6.9, 13.9])
@pytest.mark.parametrize("factor", [2, 4])
def test_resizing_is_that_of_pillow(period: float, factor: int) -> None:
    if period < 2.5 * factor:
        assert resized(directions(2) / period, factor) < 0.7
        return
    kept = []
    for angle in np.arange(8) * np.pi / 8 + 0.1:
        wave = grating(period, angle, 256).astype(np.float32)
        small = np.asarray(Image.fromarray(wave).resize((256 // factor,) * 2, Image.Resampling.BOX))
        aliased = max(abs(np.cos(angle)), abs(np.sin(angle))) * factor / period >= 0.5
        kept.append(0.0 if aliased else small.std() / wave.std())
    assert resized(directions(2) / period, factor) == pytest.approx(np.mean(kept), abs=0.02)


def test_what_folds_over_is_lost_and_enlarging_loses_nothing() -> None:
    assert resized(directions(2) / 3.0, 4.0) == 0 and resized(directions(2) / 3.0, 0.5) == 1


@pytest.mark.parametrize("period", PERIODS)
def test_nnunets_augmentation_is_that_of_the_benchmark(period: float) -> None:
    """Rotation and zoom move the grating: the amplitude is read off the peak of the spectrum, wherever that is."""
    generator = torch.Generator().manual_seed(0)
    size, count, kept = 96, 500, []
    window = np.hanning(size)[:, None] * np.hanning(size)
    for number in range(count):
        wave = grating(period, number * 0.61803 * np.pi, size, number)
        image = torch.from_numpy(wave / wave.std()).float()[None, None]
        moved, _ = nnunet_like(image, torch.zeros(1, 1, size, size, dtype=torch.int64), generator)
        before, after = (np.abs(np.fft.fft2(one[0, 0].numpy() * window)) for one in (image, moved))
        kept.append(
            np.sqrt(np.square(np.sort(after.ravel())[-10:]).sum() / np.square(np.sort(before.ravel())[-10:]).sum())
        )
    # Contrast and gamma scale the amplitude, too, by 1 in the mean; a turned edge takes some of the frame away.
    assert nnunet_share(directions(2) / period) == pytest.approx(np.mean(kept), abs=0.08)


def test_jpeg_takes_fine_colour_and_leaves_coarse_brightness() -> None:
    opponent = [jpeg_share(period, (1, -1, 1), 4.0) for period in (4.9, 9.8, 27.7)]
    light = [jpeg_share(period, (1, 1, 1), 4.0) for period in (4.9, 9.8, 27.7)]
    assert opponent[0] < 0.1 and opponent[2] > 0.85 and sorted(opponent) == opponent
    assert min(light) > 0.9
    assert jpeg_share(9.8, (1, -1, 1), 16.0) > jpeg_share(9.8, (1, -1, 1), 4.0) + 0.2, (
        "a louder code is not rounded away"
    )


def test_threats_follow_the_data_and_what_is_heard_their_weights() -> None:
    small, large = (transfer(6.9, (1, -1, 1), dims=2, edge=edge, jpeg=True) for edge in (256, 2000))
    assert set(small.threats) == {"nnunet", "half", "quarter", "blur", "blur2", "jpeg", "jpeg50"}
    assert set(large.threats) == set(WEIGHTS) and large.threats["512"] < 0.5
    volume = transfer(6.9, (1,), dims=3, edge=3000, jpeg=False)
    assert set(volume.threats) == {"nnunet", "half", "quarter", "blur", "blur2"}
    left = Transfer({"nnunet": 1.0, "half": 0.5})
    assert left.least == 0.5 and left.heard(1.0, 2.0) == pytest.approx((4 * 0.5 + 2 * 0.25) / 6)
    assert left.heard(4.0, 2.0) == 1.0 and left.heard(3.0, 2.0) == pytest.approx((4 + 2 * 0.75) / 6), (
        "louder than enough counts no more"
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_longer_periods_pass_better_and_directions_are_even(dims: int) -> None:
    left = [transfer(period, (1,), dims=dims, edge=100, jpeg=False) for period in (1.5, 2.5, 4, 6, 12, 28)]
    means = [one.heard(1.0, 1.0) for one in left]
    assert sorted(means) == means and means[0] < 0.4 and means[-1] > 0.95
    assert [one.least for one in left] == sorted(one.least for one in left)
    unit = directions(dims)
    assert np.allclose(np.square(unit).sum(-1), 1)
    assert np.allclose(unit.T @ unit / len(unit), np.eye(dims) / dims, atol=0.02)
