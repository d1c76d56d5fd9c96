# SPDX-License-Identifier: Apache-2.0
"""Segmentation networks that stand in for the thief's while the generators are trained.

All take ``(B, C, *spatial)`` and give logits ``(B, classes, *spatial)``, or ``(B, heads, classes, *spatial)`` while a
deeply supervised network trains. ``width`` is the number of channels at the first level.
"""

from __future__ import annotations

from functools import partial

from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet
from torch import nn

DIVISOR = 16
"""Every network here halves its input at most four times, so sizes must be a multiple of this."""


def make_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8, norm: str = "instance") -> nn.Module:
    """The classic U-Net: two convolutions at full resolution, four poolings, skip connections (arXiv 1505.04597).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at full resolution.
        norm: ``"instance"`` (MONAI's and nnU-Net's default) or ``"batch"`` (most public 2D U-Nets).

    Returns:
        An untrained network.
    """
    features = (width, width, 2 * width, 4 * width, 8 * width, width)  # BasicUNet's own proportions
    network: nn.Module = BasicUNet(spatial_dims, in_channels, classes, features, norm=(norm, {"affine": True}))
    return network


make_batchnorm_unet = partial(make_unet, norm="batch")
"""The same U-Net with batch norm.

Instance norm scales every feature of an image to unit spread, so where a code is missing it blows up what little there
is; batch norm keeps the scale of the training data. The two react very differently (docs/experiments.md).
"""


def make_strided_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> nn.Module:
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
    network: nn.Module = UNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=classes,
        channels=channels,
        strides=(2, 2, 2),
        num_res_units=1,
    )
    return network


def make_dynunet(
    spatial_dims: int, in_channels: int, classes: int, width: int = 8, deep_supervision: bool = True
) -> nn.Module:
    """The nnU-Net architecture: strided convolutions, instance norm, leaky ReLU (doi 10.1038/s41592-020-01008-z).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at full resolution.
        deep_supervision: whether training also scores two coarser outputs.

    Returns:
        An untrained network.
    """
    levels = 4
    strides = [1] + [2] * (levels - 1)
    network: nn.Module = DynUNet(
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


def make_nnunet_like(
    spatial_dims: int, in_channels: int, classes: int, width: int = 8, deep_supervision: bool = True
) -> nn.Module:
    """nnU-Net's plain U-Net at a small width: what its default plan builds (``PlainConvUNet``), with five stages.

    Two 3x3(x3) convolutions a stage, the first one strided below the top, instance norm (eps 1e-5), leaky ReLU 0.01,
    transposed convolutions on the way up, He initialisation with zero biases; channels ``width * (1, 2, 4, 8, 8)``.
    Training scores all levels of the decoder but the lowest. Against the original (doi 10.1038/s41592-020-01008-z):
    convolutions in front of a norm have no bias, which that norm would take out again; coarser outputs are brought to
    full size (nearest) where nnU-Net shrinks the labels; the largest width is 8 times the first, not 320 or 512.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at full resolution.
        deep_supervision: whether training also scores the two next coarser outputs.

    Returns:
        An untrained network; it gives ``(B, 3, classes, *spatial)`` while it trains, the finest output first.
    """
    strides = [1, 2, 2, 2, 2]
    network: nn.Module = DynUNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=[3] * len(strides),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=[width * share for share in (1, 2, 4, 8, 8)],
        norm_name=("instance", {"affine": True, "eps": 1e-5}),
        act_name=("leakyrelu", {"negative_slope": 0.01, "inplace": True}),
        deep_supervision=deep_supervision,
        deep_supr_num=2,
        trans_bias=True,
    )
    return network
