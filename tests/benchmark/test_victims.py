# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed.benchmark.victims import make_victim
from umed.registry import VICTIMS


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", VICTIMS)
def test_every_victim_keeps_the_grid(name: str, dims: int) -> None:
    network = make_victim(name, spatial_dims=dims, in_channels=2, classes=3, width=4).eval()
    image = torch.rand(2, 2, *[32] * dims)
    assert network(image).shape == (2, 3, *[32] * dims)


def test_the_two_unets_differ_in_their_norm_alone() -> None:
    counts = {}
    for name in ("unet", "batchnorm_unet"):
        network = make_victim(name, spatial_dims=2, in_channels=3, classes=2)
        kinds = [type(module).__name__ for module in network.modules()]
        counts[name] = (kinds.count("BatchNorm2d"), kinds.count("InstanceNorm2d"))
        weights = sum(weight.numel() for weight in network.parameters())
        counts[name] += (weights,)
    assert counts["unet"] == (0, 18, counts["batchnorm_unet"][2]) and counts["batchnorm_unet"][:2] == (18, 0)
