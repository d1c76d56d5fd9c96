# SPDX-License-Identifier: Apache-2.0
"""The texture generator: a U-Net guided by local binary patterns and Gabor energies."""

from __future__ import annotations

from umed.networks.unet import GeneratorUNet


class TextureGenerator(GeneratorUNet):
    """U-Net that sees image, texture maps, interior mask and classes.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of image, texture maps, interior mask and class maps together.
        out_channels: one weight a carrier, see :class:`umed.networks.perturber.UMedPerturber`.
        channels: width of each level, finest first.

    Shape:
        input ``(B, in_channels, H, W[, D])``, output ``(B, out_channels, H, W[, D])``, not bounded.
    """
