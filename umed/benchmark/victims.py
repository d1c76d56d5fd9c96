# SPDX-License-Identifier: Apache-2.0
"""Fresh segmentation networks that play the thief: trained from scratch on what was published, with nothing held back.

The architectures are those that the bilevel training may use as surrogates; a victim starts from its own weights.
"""

from __future__ import annotations

from functools import partial

import torch

from umed import registry
from umed.networks.surrogates import make_batchnorm_unet, make_dynunet, make_strided_unet, make_unet

__all__ = [
    "DIVISOR",
    "make_batchnorm_unet",
    "make_dynunet",
    "make_plain_dynunet",
    "make_strided_unet",
    "make_unet",
    "make_victim",
]

DIVISOR = 8
"""Every victim takes images whose sides are multiples of this."""


make_plain_dynunet = partial(make_dynunet, deep_supervision=False)
"""The nnU-Net architecture without deep supervision."""


def make_victim(name: str, *, spatial_dims: int, in_channels: int, classes: int, width: int = 8) -> torch.nn.Module:
    """Build a fresh victim by its registered name.

    Args:
        name: a name in ``umed.registry.VICTIMS``.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        width: channels at the first level.

    Returns:
        An untrained network ``(B, C, *spatial) -> (B, classes, *spatial)``; one with deep supervision gives
        ``(B, heads, classes, *spatial)`` while it trains.

    Raises:
        ConfigError: When the name is unknown.
    """
    build = registry.resolve("victim", name)
    network: torch.nn.Module = build(spatial_dims=spatial_dims, in_channels=in_channels, classes=classes, width=width)
    return network
