# SPDX-License-Identifier: Apache-2.0
"""The contour generator: a U-Net whose encoder uses central-difference convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import Tensor, nn

from umed.networks.unet import GeneratorUNet


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


class ContourGenerator(GeneratorUNet):
    """U-Net with a central-difference encoder; sees image, edge map, contour band and classes.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of image, edge map, band and class maps together.
        out_channels: one weight a carrier, see :class:`umed.networks.perturber.UMedPerturber`.
        channels: width of each level, finest first.
        theta: share of the central difference, in [0, 1].

    Shape:
        input ``(B, in_channels, H, W[, D])``, output ``(B, out_channels, H, W[, D])``, not bounded.

    Example:
        >>> import torch
        >>> ContourGenerator(2, 4, 3)(torch.rand(1, 4, 33, 20)).shape
        torch.Size([1, 3, 33, 20])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (8, 16, 32),
        theta: float = 0.7,
    ) -> None:
        super().__init__(
            spatial_dims,
            in_channels,
            out_channels,
            channels,
            encoder_conv=lambda source, target: CentralDifferenceConv(spatial_dims, source, target, theta),
        )
