# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from umed.benchmark.countermeasures.filters import Blur, LowPass, Median, NonLocalMeans, TotalVariation
from umed.benchmark.countermeasures.interface import Countermeasure
from umed.benchmark.victims.case_tensors import Samples


def checkerboard(*spatial: int) -> Tensor:
    grids = torch.meshgrid(*(torch.arange(size) for size in spatial), indexing="ij")
    return 1.0 - 2.0 * (torch.stack(grids).sum(0) % 2)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_blur_has_the_stated_width_and_keeps_the_sum(sigma: float) -> None:
    image = torch.zeros(1, 33, 33)
    image[0, 16, 16] = 1
    blurred = Blur(sigma=sigma).image(image, 1.0)[0]
    axis = torch.arange(33) - 16
    assert abs(float(blurred.sum()) - 1) < 1e-4
    assert abs(float((blurred.sum(1) * axis**2).sum()) / sigma**2 - 1) < 0.02
    assert torch.allclose(blurred, blurred.T, atol=1e-7)


@pytest.mark.parametrize("spatial", [(16, 24), (8, 12, 10)])
def test_low_pass_removes_a_checkerboard_exactly_and_keeps_a_slow_wave(spatial: tuple[int, ...]) -> None:
    wave = torch.cos(2 * torch.pi * torch.arange(spatial[0]) / spatial[0]).reshape(-1, *[1] * (len(spatial) - 1))
    image = (50 + 10 * wave).expand(spatial)[None]
    done = LowPass(cutoff=0.5).image(image + 4 * checkerboard(*spatial), 255.0)
    assert torch.allclose(done, image, atol=1e-4)


def test_low_pass_is_a_projection_with_a_round_pass_band() -> None:
    noise = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    once = LowPass(cutoff=0.5).image(noise, 1.0)
    assert torch.allclose(LowPass(cutoff=0.5).image(once, 1.0), once, atol=1e-5)
    share = float(once.square().sum() / noise.square().sum())
    assert abs(share - torch.pi * 0.5**2 / 4) < 0.04


@pytest.mark.parametrize(("size", "spatial"), [(3, (16, 16)), (5, (16, 16)), (3, (8, 8, 8))])
def test_median_removes_the_odd_ones_of_a_sparse_pattern(size: int, spatial: tuple[int, ...]) -> None:
    image = torch.full((1, *spatial), 100.0)
    marked = image.clone()
    marked[(slice(None), *[slice(None, None, 4)] * len(spatial))] = 130
    assert torch.equal(Median(size=size).image(marked, 255.0), image)


def test_median_takes_the_majority_of_a_checkerboard() -> None:
    board = 100 + 4 * checkerboard(16, 16)[None]
    inside = Median(size=3).image(board, 255.0)[0, 2:-2, 2:-2]
    # of the nine pixels five have the middle's sign: a 3 x 3 median leaves a checkerboard as it is
    assert torch.equal(inside, board[0, 2:-2, 2:-2])


@pytest.mark.parametrize("tried", [NonLocalMeans(), TotalVariation(), Blur()], ids=repr)
@pytest.mark.parametrize(("spatial", "channels"), [((48, 48), 3), ((16, 20, 12), 2)])
def test_denoisers_remove_more_noise_than_image(
    tried: Countermeasure, spatial: tuple[int, ...], channels: int, samples: Callable[..., Samples]
) -> None:
    image = samples(*spatial, channels=channels).images[0] * 0.2
    noise = 4 * torch.sign(torch.randn(image.shape, generator=torch.Generator().manual_seed(0)))
    left = tried.image(image + noise, 255.0) - image
    assert float(left.square().mean()) < 0.6 * float(noise.square().mean())


@pytest.mark.parametrize("tried", [NonLocalMeans(h=0.03), TotalVariation(weight=0.05)], ids=repr)
def test_strengths_are_shares_of_the_full_scale(tried: Countermeasure, samples: Callable[..., Samples]) -> None:
    image = samples(24, 24).images[0]
    noisy = image + 4 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(tried.image(noisy, 255.0) * 8, tried.image(noisy * 8, 2040.0), rtol=1e-3)
