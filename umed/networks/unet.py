# SPDX-License-Identifier: Apache-2.0
"""The U-Net that both generators share; they differ in the convolution of their encoder and in what they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv, Norm
from torch import Tensor, nn


class CentralDifferenceConv(nn.Module):
    r"""Convolution that mixes intensity and gradient information.

    .. math:: y(p_0) = \sum_n w_n x(p_0 + p_n) - \theta\, x(p_0) \sum_n w_n

    With ``theta=0`` it is a plain convolution; with ``theta=1`` a constant image gives 0 everywhere (away from the zero
    padding). Computed as one convolution, since the second term only changes the kernel's central weight.

    Reference: Yu et al., "Searching Central Difference Convolutional Networks for Face Anti-Spoofing", CVPR 2020,
    https://arxiv.org/abs/2003.04092.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        theta: share of the central difference, in [0, 1].

    Shape:
        input ``(B, in_channels, H, W[, D])``, output ``(B, out_channels, H, W[, D])``.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, theta: float = 0.7) -> None:
        super().__init__()
        if not 0 <= theta <= 1:
            raise ValueError(f"CentralDifferenceConv: expected theta in [0, 1], got {theta}.")
        self.theta = theta
        self.conv = Conv[Conv.CONV, spatial_dims](in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; see the class for shapes."""
        weight = self.conv.weight
        axes = tuple(range(2, weight.ndim))
        centre = self.theta * weight.sum(axes, keepdim=True)
        weight = weight - F.pad(centre, [1, 1] * len(axes))
        return F.conv2d(x, weight, padding=1) if len(axes) == 2 else F.conv3d(x, weight, padding=1)


class GeneratorUNet(nn.Module):
    """A small U-Net with average pooling, nearest upsampling and skip connections; any input size.

    The last layer starts at zero, so an untrained generator adds nothing to the carriers it modulates.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        channels: width of each level, finest first.
        theta: share of the central difference in the encoder's convolutions, in [0, 1]; plain ones by default.

    Shape:
        input ``(B, in_channels, H, W[, D])``, output ``(B, out_channels, H, W[, D])``, not bounded.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (8, 16, 32),
        theta: float | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"GeneratorUNet: expected spatial_dims 2 or 3, got {spatial_dims}.")
        if not channels:
            raise ValueError("GeneratorUNet: expected at least one level in channels, got none.")
        plain, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.INSTANCE, spatial_dims]

        def block(source: int, target: int, theta: float | None = None) -> nn.Sequential:
            if theta is None:
                first = plain(source, target, 3, padding=1, bias=False)
            else:
                first = CentralDifferenceConv(spatial_dims, source, target, theta)
            return nn.Sequential(first, norm(target, affine=True), nn.LeakyReLU(0.1))

        self.spatial_dims = spatial_dims
        self.down = nn.ModuleList()
        width = in_channels
        for target in channels:
            self.down.append(block(width, target, theta))
            width = target
        self.up = nn.ModuleList(
            block(coarse + fine, fine)
            for fine, coarse in zip(reversed(channels[:-1]), reversed(channels[1:]), strict=True)
        )
        self.head = plain(channels[0], out_channels, 1)
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
