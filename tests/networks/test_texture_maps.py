# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.feature import local_binary_pattern as reference

from umed.networks.convolutions import edge_map
from umed.networks.texture_maps import gabor_energy, local_binary_pattern, texture_amplitude, texture_maps


@pytest.mark.parametrize("shape", [(2, 3, 16, 12), (1, 1, 9, 8, 10)])
def test_shapes(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    spatial = shape[2:]
    assert edge_map(image).shape == (shape[0], 1, *spatial)
    assert texture_maps(image).shape == (shape[0], 3, *spatial)


def test_pattern_counts_strictly_brighter_neighbours_like_scikit_image() -> None:
    rng = np.random.default_rng(0)
    image = rng.permutation(20 * 20).reshape(20, 20).astype(np.float64)  # no ties: >= and > agree
    codes = reference(image, 8, 1, method="default").astype(int)
    # the reference interpolates its diagonal neighbours, so only its four axis neighbours can be compared
    ours = local_binary_pattern(torch.from_numpy(image).float()[None, None])[0, 0]
    brighter = sum((np.roll(image, (i, j), (0, 1)) > image) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
    inner = (slice(1, -1), slice(1, -1))
    assert np.allclose(ours.numpy()[inner] * 8, brighter[inner])
    axis_bits = np.array([bin(code & 0b01010101).count("1") for code in codes.ravel()]).reshape(codes.shape)
    axis_brighter = sum((np.roll(image, s, a) > image) for s in (-1, 1) for a in (0, 1))
    assert np.array_equal(axis_bits[inner], axis_brighter[inner])


def test_flat_regions_give_no_pattern_no_energy_and_the_least_amplitude() -> None:
    maps = texture_maps(torch.full((1, 1, 16, 16), 0.4))
    assert maps.abs().max() < 1e-4
    assert torch.allclose(texture_amplitude(maps, 0.3), torch.tensor(0.3), atol=1e-4)


def test_amplitude_grows_with_texture_and_stays_bounded() -> None:
    noise = torch.rand(1, 1, 32, 32)
    weak, strong = (texture_amplitude(texture_maps(0.5 + scale * noise), 0.2).mean() for scale in (0.01, 0.5))
    assert 0.2 < weak < strong <= 1


def test_gabor_prefers_its_own_wavelength() -> None:
    x = torch.arange(64.0)
    waves = [torch.sin(2 * torch.pi * x / length).expand(64, 64)[None, None] for length in (2.5, 12.0)]
    fine, coarse = (gabor_energy(wave)[:, 0, 8:-8, 8:-8].mean() for wave in waves)
    assert fine > 4 * coarse


def test_edges_sit_on_the_step() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1
    edges = edge_map(image)[0, 0]
    assert edges[:, 3:5].min() == 1 and edges[:, :2].max() == 0


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="floor"):
        texture_amplitude(torch.zeros(1, 3, 4, 4), 0.0)
    with pytest.raises(ValueError, match="B, C"):
        edge_map(torch.zeros(4, 4))
