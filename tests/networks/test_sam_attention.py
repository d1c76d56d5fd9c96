# SPDX-License-Identifier: Apache-2.0
"""Fused attention against the package's own, weights and gradients included."""

from __future__ import annotations

import pytest
import torch

from umed.networks.sam_attention import FusedAttention
from umed.networks.sam_package import modeling


@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 6)])
def test_it_is_the_packages_attention(height: int, width: int) -> None:
    torch.manual_seed(0)
    modeling()
    from segment_anything.modeling.image_encoder import Attention

    plain = Attention(24, num_heads=3, use_rel_pos=True, input_size=(height, width))
    for weight in (plain.rel_pos_h, plain.rel_pos_w):
        torch.nn.init.normal_(weight)  # the package begins with 0, where no bias can be seen
    fused = FusedAttention(plain)
    assert {name: value.shape for name, value in fused.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    image = torch.randn(2, height, width, 24)
    aim = torch.randn(2, height, width, 24)
    gradients = []
    for module in (plain, fused):
        x = image.clone().requires_grad_()
        module.zero_grad()
        found = module(x)
        (found * aim).sum().backward()
        gradients.append([found.detach(), x.grad, plain.rel_pos_h.grad.clone(), plain.qkv.weight.grad.clone()])
    for theirs, mine in zip(*gradients, strict=True):
        assert torch.allclose(theirs, mine, atol=1e-5)
    plain.rel_pos_h.data.zero_()
    assert not torch.allclose(fused(image), gradients[0][0], atol=1e-2)  # the bias matters here
