# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from umed.networks.carriers import carrier_bank
from umed.networks.convolutions import blur
from umed.networks.perturber import SIGMA, UMedPerturber
from umed.networks.unet import CentralDifferenceConv, GeneratorUNet


@pytest.mark.parametrize("dims", [2, 3])
def test_central_difference_is_its_formula(dims: int) -> None:
    torch.manual_seed(0)
    layer = CentralDifferenceConv(dims, 2, 3, theta=0.7)
    x = torch.rand(1, 2, *[6] * dims)
    conv = nn.functional.conv2d if dims == 2 else nn.functional.conv3d
    weight = layer.conv.weight
    total = weight.sum(tuple(range(2, weight.ndim)), keepdim=True)
    expected = conv(x, weight, padding=1) - 0.7 * conv(x, total)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_full_difference_ignores_a_constant_and_theta_zero_is_a_plain_convolution() -> None:
    constant = torch.full((1, 1, 8, 8), 3.0)
    pure = CentralDifferenceConv(2, 1, 4, theta=1.0)
    assert pure(constant)[..., 1:-1, 1:-1].abs().max() < 1e-5
    plain = CentralDifferenceConv(2, 1, 4, theta=0.0)
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(plain(x), nn.functional.conv2d(x, plain.conv.weight, padding=1))
    with pytest.raises(ValueError, match="theta"):
        CentralDifferenceConv(2, 1, 1, theta=2)


@pytest.mark.parametrize("shape", [(17, 5), (33, 20), (7, 9, 6), (1, 1, 1)])
@pytest.mark.parametrize("theta", [0.7, None])
def test_any_size_goes_through_and_an_untrained_head_gives_zero(theta: float | None, shape: tuple[int, ...]) -> None:
    network = GeneratorUNet(len(shape), 4, 3, theta=theta).eval()
    with torch.no_grad():
        out = network(torch.rand(1, 4, *shape) if min(shape) > 1 else torch.rand(2, 4, 8, 8, 8))
    assert out.shape[1] == 3 and out.abs().max() == 0


def _inputs(dims: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    labels = torch.zeros(2, 1, *[16] * dims, dtype=torch.long)
    labels[(slice(None), slice(None), *[slice(4, 8)] * dims)] = 1
    labels[(slice(None), slice(None), *[slice(8, 12)] * dims)] = 2
    contour = torch.zeros_like(labels, dtype=torch.bool)
    contour[(slice(None), slice(None), *[slice(2, 6)] * dims)] = True
    interior = (labels > 0) & ~contour
    return torch.rand(2, 3, *[16] * dims), labels, contour, interior


def _bank(dims: int, *names: str) -> torch.Tensor:
    return carrier_bank(names or ["2"], 3, [16] * dims).expand(2, *[-1] * (dims + 2))


@pytest.mark.parametrize("dims", [2, 3])
def test_perturber_is_bounded_and_zero_outside_the_support(dims: int) -> None:
    image, labels, contour, interior = _inputs(dims)
    perturber = UMedPerturber(dims, 3, 3, carriers=("2", "4"), widths=(4, 8))
    nn.init.normal_(perturber.contour.head.weight)
    d = perturber.perturb(image, labels, contour, interior, _bank(dims, "2", "4"))
    assert d.shape == image.shape and d.abs().max() <= 1
    outside = ~(contour | interior).expand_as(d)
    assert d[outside].abs().max() == 0 and d[~outside].abs().min() > 0


def test_untrained_perturber_is_each_class_own_carrier_and_less_outside() -> None:
    image, labels, contour, interior = _inputs(2)
    perturber = UMedPerturber(2, 3, 3, carriers=("2", "0x2"), widths=(4,), amplitude_floor=1.0, outside=0.5)
    d = perturber.perturb(image, labels, contour, interior, _bank(2, "2", "0x2"))[0, 0]
    level = torch.tanh(torch.tensor(perturber.gain))
    checker = 1.0 - 2.0 * ((torch.arange(16)[:, None] + torch.arange(16)[None]) % 2)
    stripes = (1.0 - 2.0 * (torch.arange(16) % 2)).expand(16, 16)
    one, two = labels[0, 0] == 1, labels[0, 0] == 2
    band = contour[0, 0] & (labels[0, 0] == 0)
    assert torch.allclose(d[one], level * checker[one]) and torch.allclose(d[two], level * stripes[two])
    assert torch.allclose(d[band], 0.5 * checker[band])


def test_nothing_outside_leaves_the_outer_band_alone() -> None:
    image, labels, contour, interior = _inputs(2)
    perturber = UMedPerturber(2, 3, 3, widths=(4,), outside=0.0, smoothing=0.5)
    nn.init.normal_(perturber.contour.head.weight)
    changed = perturber.perturb(image, labels, contour, interior, _bank(2)).abs().amax(1, keepdim=True) > 0
    assert not changed[labels == 0].any() and changed[labels > 0].all()


@pytest.mark.parametrize("dims", [2, 3])
def test_smoothing_takes_texture_away_within_its_share(dims: int) -> None:
    image, labels, contour, interior = _inputs(dims)
    plain, smooth = (UMedPerturber(dims, 3, 3, widths=(4,), smoothing=s, epsilon=0.02) for s in (0.0, 0.5))
    one, two = (p.perturb(image, labels, contour, interior, _bank(dims)) for p in (plain, smooth))
    wanted = 0.5 * ((blur(image, SIGMA) - image) / 0.01).clamp(-1, 1) * ((contour | interior) & (labels > 0))
    assert torch.allclose(two - 0.5 * one, wanted, atol=1e-6) and wanted.abs().max() == 0.5
    still = UMedPerturber(dims, 3, 3, widths=(4,), smoothing=0.5).perturb(
        torch.full_like(image, 0.3), labels, contour, interior, _bank(dims)
    )
    assert still.abs().max() <= 0.5  # nothing to smooth, so only the code's own share is used


def test_gradients_reach_every_part() -> None:
    image, labels, contour, interior = _inputs(2)
    perturber = UMedPerturber(2, 3, 3, carriers=("2",), widths=(4, 8))
    nn.init.normal_(perturber.contour.head.weight)
    nn.init.normal_(perturber.texture.head.weight)
    perturber.perturb(image, labels, contour, interior, _bank(2)).square().sum().backward()
    missing = [name for name, weight in perturber.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert missing == []


def test_carriers_are_channels_of_the_stacked_input() -> None:
    image, labels, contour, interior = _inputs(2)
    perturber, bank = UMedPerturber(2, 3, 3, carriers=("2", "wave6c"), widths=(4,)), torch.rand(2, 2, 3, 16, 16)
    stacked = torch.cat([image, labels, contour, interior, bank.flatten(1, 2)], dim=1)
    assert torch.equal(perturber(stacked), perturber.perturb(image, labels, contour, interior, bank))


def test_bad_arguments() -> None:
    for arguments in (
        {"carriers": ()},
        {"carriers": ("3",)},
        {"carriers": ("wave1",)},
        {"outside": 1.0},
        {"smoothing": 1.0},
    ):
        with pytest.raises(ValueError):
            UMedPerturber(2, 1, 2, **arguments)  # type: ignore[arg-type]
