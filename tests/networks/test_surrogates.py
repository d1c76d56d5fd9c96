# SPDX-License-Identifier: Apache-2.0
"""The nnU-Net-like surrogate is nnU-Net's plain U-Net: the parts are counted, not taken on trust."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from umed.networks.surrogates import DIVISOR, make_nnunet_like

CONVOLUTIONS = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.InstanceNorm2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.InstanceNorm3d),
}


@pytest.mark.parametrize("dims", [2, 3])
def test_nnunet_like_has_the_parts_of_a_plain_conv_unet(dims: int) -> None:
    torch.manual_seed(0)
    network = make_nnunet_like(dims, 1, 3, width=4)
    plain, transposed, norm = CONVOLUTIONS[dims]
    parts = list(network.modules())
    blocks = [one for one in parts if type(one) is plain and one.kernel_size == (3,) * dims]
    assert len(blocks) == 2 * (5 + 4)  # two a stage, five stages down and four up
    assert sum(one.stride == (2,) * dims for one in blocks) == 4
    ups = [one for one in parts if type(one) is transposed]
    assert [(one.in_channels, one.out_channels) for one in ups] == [(32, 32), (32, 16), (16, 8), (8, 4)]
    assert all(one.kernel_size == one.stride == (2,) * dims for one in ups)
    norms = [one for one in parts if type(one) is norm]
    assert len(norms) == len(blocks) and all(one.affine and one.eps == 1e-5 for one in norms)
    assert {one.negative_slope for one in parts if isinstance(one, nn.LeakyReLU)} == {0.01}
    heads = [one for one in parts if type(one) is plain and one.kernel_size == (1,) * dims]
    assert sorted(one.in_channels for one in heads) == [4, 8, 16] and {one.out_channels for one in heads} == {3}


def test_weights_are_he_normal_and_biases_zero() -> None:
    torch.manual_seed(0)
    for one in make_nnunet_like(2, 3, 2, width=8).modules():
        if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d)):
            inputs = one.weight.shape[1] * one.weight[0, 0].numel()
            ratio = float(one.weight.detach().std()) / (2 / (1 + 0.01**2) / inputs) ** 0.5
            assert abs(ratio - 1) < 4 / (2 * one.weight.numel()) ** 0.5, one
            assert one.bias is None or not one.bias.any()


@pytest.mark.parametrize("dims", [2, 3])
def test_training_scores_all_levels_but_the_lowest(dims: int) -> None:
    torch.manual_seed(0)
    network, size = make_nnunet_like(dims, 2, 3, width=2), (2 * DIVISOR,) * dims
    image = torch.rand(1, 2, *size)
    heads = network.train()(image)
    assert heads.shape == (1, 3, 3, *size)
    for level, head in enumerate(torch.unbind(heads, 1)):  # coarser outputs are constant in blocks of 1, 2, 4
        blocks = head[(..., *[slice(None, None, 2**level)] * dims)]
        for axis in range(2, 2 + dims):
            blocks = blocks.repeat_interleave(2**level, axis)
        assert torch.equal(blocks, head)
        assert torch.equal(head[..., ::2].repeat_interleave(2, -1), head) == (level > 0)
    assert torch.allclose(network.eval()(image), heads[:, 0], atol=1e-6)
    assert make_nnunet_like(dims, 2, 3, width=2, deep_supervision=False).train()(image).shape == (1, 3, *size)
