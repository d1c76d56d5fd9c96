# SPDX-License-Identifier: Apache-2.0
"""The U-Net that both generators share; they differ in the convolution of their encoder and in what they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv, Norm
from torch import Tensor, nn

ConvFactory = Callable[[int, int], nn.Module]


def plain_conv(spatial_dims: int) -> ConvFactory:
    """A factory of 3-wide convolutions that keep the size."""
    kind = Conv[Conv.CONV, spatial_dims]

    def make(in_channels: int, out_channels: int) -> nn.Module:
        layer: nn.Module = kind(in_channels, out_channels, 3, padding=1, bias=False)
        return layer

    return make


class GeneratorUNet(nn.Module):
    """A small U-Net with average pooling, nearest upsampling and skip connections; any input size.

    The last layer starts at zero, so an untrained generator adds nothing to the carriers it modulates.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        channels: width of each level, finest first.
        encoder_conv: makes the encoder's convolutions; plain ones by default.

    Shape:
        input ``(B, in_channels, H, W[, D])``, output ``(B, out_channels, H, W[, D])``, not bounded.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (8, 16, 32),
        encoder_conv: ConvFactory | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"GeneratorUNet: expected spatial_dims 2 or 3, got {spatial_dims}.")
        if not channels:
            raise ValueError("GeneratorUNet: expected at least one level in channels, got none.")
        norm = Norm[Norm.INSTANCE, spatial_dims]
        plain = plain_conv(spatial_dims)

        def block(make: ConvFactory, source: int, target: int) -> nn.Sequential:
            return nn.Sequential(make(source, target), norm(target, affine=True), nn.LeakyReLU(0.1))

        self.spatial_dims = spatial_dims
        self.down = nn.ModuleList()
        width = in_channels
        for target in channels:
            self.down.append(block(encoder_conv or plain, width, target))
            width = target
        self.up = nn.ModuleList(
            block(plain, coarse + fine, fine)
            for fine, coarse in zip(reversed(channels[:-1]), reversed(channels[1:]), strict=True)
        )
        self.head = Conv[Conv.CONV, spatial_dims](channels[0], out_channels, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Run the network; see the class for shapes."""
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        skips = []
        for level, block in enumerate(self.down):
            if level:
                x = pool(x, 2, ceil_mode=True)
            x = block(x)
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            # odd sizes were rounded up by the pooling
            window: tuple[Any, ...] = (..., *(slice(size) for size in skip.shape[2:]))
            x = block(torch.cat([x[window], skip], dim=1))
        out: Tensor = self.head(x)
        return out
