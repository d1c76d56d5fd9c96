# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed.benchmark.countermeasures.resampling import DownUp, Half, Resample, resize


def board(*spatial: int) -> torch.Tensor:
    grids = torch.meshgrid(*(torch.arange(size) for size in spatial), indexing="ij")
    return (torch.stack(grids).sum(0) % 2)[None].float()


def test_half_resolution_removes_a_checkerboard() -> None:
    half = Half()
    assert torch.equal(half.image(board(16, 16), 1.0), torch.full((1, 8, 8), 0.5))
    assert half.image(torch.zeros(1, 7, 9, 5), 1.0).shape[1:] == half.label(torch.zeros(7, 9, 5)).shape == (4, 5, 3)
    assert half.scale == 0.5


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("spatial", [(20, 31), (12, 9, 7)])
def test_resampling_keeps_a_ramp_and_moves_the_label_with_it(scale: float, spatial: tuple[int, ...]) -> None:
    tried = Resample(scale=scale)
    ramp = torch.arange(float(spatial[0])).reshape(-1, *[1] * (len(spatial) - 1)).expand(spatial)
    done, label = tried.image(ramp[None], 1.0)[0], tried.label(ramp.long())
    size = tuple(int(scale * n + 0.5) for n in spatial)
    assert done.shape == label.shape == size
    rows = slice(1, -1) if scale < 1 else slice(None)
    centres = (torch.arange(size[0]) + 0.5) * spatial[0] / size[0] - 0.5
    flat = done.reshape(size[0], -1)
    expected = centres.clamp(0, spatial[0] - 1)
    assert torch.allclose(flat[rows, 0], expected[rows], atol=0.02)  # a triangle off the grid leans a little
    assert float((label.reshape(size[0], -1)[:, 0] - centres).abs().max()) <= 0.5 + 1e-6
    assert set(label.unique().tolist()) <= set(range(spatial[0]))


def test_coarser_grids_are_antialiased() -> None:
    done = Resample(scale=0.5).image(board(32, 32), 1.0)
    assert torch.allclose(done[0, 1:-1, 1:-1], torch.full((14, 14), 0.5), atol=1e-6)
    same = torch.rand(2, 9, 7, 5)
    assert torch.equal(resize(same, [9, 7, 5]), same)


@pytest.mark.parametrize("spatial", [(32, 30), (12, 16, 11)])
def test_down_and_up_keeps_the_grid_and_loses_the_fine_pattern(spatial: tuple[int, ...]) -> None:
    tried = DownUp(factor=0.5)
    done = tried.image(board(*spatial), 1.0)
    assert tried.scale == 1.0 and done.shape == (1, *spatial)
    middle = done[(slice(None), *[slice(3, -3)] * len(spatial))]
    assert float((middle - 0.5).abs().max()) < 0.06
    flat = torch.full((1, *spatial), 7.0)
    assert torch.allclose(tried.image(flat, 1.0), flat)
