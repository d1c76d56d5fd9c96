# SPDX-License-Identifier: Apache-2.0
"""More of MONAI's networks, in sizes that grow with one number, ``width``; the first victims are the surrogates.

Each builder takes ``spatial_dims`` (2 or 3), ``in_channels``, ``classes`` (background included) and ``width`` (channels
at the first level), and ``patch`` (size of the crops) where the network depends on it. It gives an untrained network
``(B, C, *spatial) -> (B, classes, *spatial)``; with deep supervision ``(B, heads, classes, *spatial)`` while it trains.
Further keyword arguments go to the network's own constructor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from umed.networks.surrogates import make_dynunet

Patch = Sequence[int] | None


def make_attention_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8, **options: Any) -> nn.Module:
    """Attention U-Net (arXiv 1804.03999): gates on the skip connections; strided convolutions, batch norm."""
    channels = tuple(width * 2**level for level in range(4))
    chosen = {"channels": channels, "strides": (2,) * (len(channels) - 1), **options}
    network: nn.Module = AttentionUnet(spatial_dims, in_channels, classes, **chosen)
    return network


class FirstOrAll(nn.Module):
    """Makes one tensor of a network's list of outputs: the heads stacked while it trains, the last one otherwise.

    Args:
        network: gives a list of logits ``(B, classes, *spatial)``, the finest last.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, heads, classes, *spatial)`` in training mode when there are several, else of the finest head."""
        outputs: list[Tensor] = self.network(image)
        if self.training and len(outputs) > 1:
            return torch.stack(outputs[::-1], 1)  # the loss weighs the first head most
        return outputs[-1]


def make_unet_plus_plus(spatial_dims: int, in_channels: int, classes: int, width: int = 8, **options: Any) -> nn.Module:
    """U-Net++ (arXiv 1807.10165): nested skip connections; ``deep_supervision: true`` trains all four heads."""
    features = (width, width, 2 * width, 4 * width, 8 * width, width)
    return FirstOrAll(BasicUNetPlusPlus(spatial_dims, in_channels, classes, **{"features": features, **options}))


make_plain_dynunet = partial(make_dynunet, deep_supervision=False)
"""The nnU-Net architecture without deep supervision."""


def make_segresnet(spatial_dims: int, in_channels: int, classes: int, width: int = 8, **options: Any) -> nn.Module:
    """SegResNet (arXiv 1810.11654): residual encoder with group norm, a light decoder."""
    groups = next(groups for groups in (8, 4, 2, 1) if width % groups == 0)
    chosen = {"blocks_down": (1, 2, 2), "blocks_up": (1, 1), "num_groups": groups, **options}
    chosen["norm"] = ("GROUP", {"num_groups": chosen["num_groups"]})
    network: nn.Module = SegResNet(
        spatial_dims=spatial_dims, init_filters=width, in_channels=in_channels, out_channels=classes, **chosen
    )
    return network


def make_unetr(
    spatial_dims: int, in_channels: int, classes: int, width: int = 8, patch: Patch = None, **options: Any
) -> nn.Module:
    """UNETR (arXiv 2103.10504): a vision transformer over patches of 16 as the encoder; for one size of crop only."""
    chosen = {"feature_size": width, "hidden_size": 12 * width, "mlp_dim": 24 * width, "num_heads": 4, **options}
    network: nn.Module = UNETR(
        in_channels, classes, img_size=tuple(patch or (64,) * spatial_dims), spatial_dims=spatial_dims, **chosen
    )
    return network


def make_swin_unetr(spatial_dims: int, in_channels: int, classes: int, width: int = 12, **options: Any) -> nn.Module:
    """Swin UNETR (arXiv 2201.01266): shifted-window transformer as the encoder; the width is a multiple of 12."""
    size = -(-width // 12) * 12
    chosen = {"depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8), "window_size": 4, **options}
    network: nn.Module = SwinUNETR(in_channels, classes, spatial_dims=spatial_dims, feature_size=size, **chosen)
    return network


def make_flexible_unet(spatial_dims: int, in_channels: int, classes: int, width: int = 8, **options: Any) -> nn.Module:
    """FlexibleUNet: EfficientNet-B0 as the encoder (arXiv 1905.11946), batch norm; not small at any width."""
    decoder = tuple(width * 2**level for level in (4, 3, 2, 1, 0))
    chosen = {"backbone": "efficientnet-b0", "pretrained": False, "decoder_channels": decoder, **options}
    network: nn.Module = FlexibleUNet(in_channels, classes, spatial_dims=spatial_dims, **chosen)
    return network
