# SPDX-License-Identifier: Apache-2.0
"""Fresh segmentation networks that play the thief: they are trained on what was published, with nothing held back.

All take ``(B, C, *spatial)`` and give logits ``(B, classes, *spatial)``, classes counting the background. ``width`` is
the number of channels at the first level; deeper levels have more.
"""

from __future__ import annotations

import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet

from umed import registry

DIVISOR = 8
"""Every victim takes images whose sides are multiples of this."""


def make_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> torch.nn.Module:
    """The classic U-Net: two convolutions at full resolution, four poolings, skip connections (arXiv 1505.04597).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at full resolution.

    Returns:
        An untrained network.
    """
    features = (width, width, 2 * width, 4 * width, 8 * width, width)  # BasicUNet's own proportions
    network: torch.nn.Module = BasicUNet(
        spatial_dims=spatial_dims, in_channels=in_channels, out_channels=classes, features=features
    )
    return network


def make_strided_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> torch.nn.Module:
    """MONAI's U-Net with residual units: its very first convolution already halves the resolution.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at half resolution.

    Returns:
        An untrained network.
    """
    channels = (width, 2 * width, 4 * width, 8 * width)
    network: torch.nn.Module = UNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=classes,
        channels=channels,
        strides=(2, 2, 2),
        num_res_units=1,
    )
    return network


def make_dynunet(
    spatial_dims: int, in_channels: int, classes: int, width: int = 8, deep_supervision: bool = False
) -> torch.nn.Module:
    """The nnU-Net architecture: strided convolutions, instance norm, leaky ReLU (arXiv 1809.10486).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at full resolution.
        deep_supervision: whether training also scores two coarser outputs; the output is then ``(B, heads, ...)``.

    Returns:
        An untrained network.
    """
    levels = 4
    strides = [1] + [2] * (levels - 1)
    network: torch.nn.Module = DynUNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=[3] * levels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=[width * 2**level for level in range(levels)],
        deep_supervision=deep_supervision,
        deep_supr_num=2,
    )
    return network


def make_dynunet_deep(spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> torch.nn.Module:
    """:func:`make_dynunet` trained with deep supervision, as nnU-Net does."""
    return make_dynunet(spatial_dims, in_channels, classes, width, deep_supervision=True)


def make_victim(name: str, *, spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> torch.nn.Module:
    """Build a fresh victim by its registered name.

    Args:
        name: a name in ``umed.registry.VICTIMS``.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at the first level.

    Returns:
        An untrained network.

    Raises:
        ConfigError: When the name is unknown.
    """
    build = registry.resolve("victim", name)
    network: torch.nn.Module = build(spatial_dims=spatial_dims, in_channels=in_channels, classes=classes, width=width)
    return network
