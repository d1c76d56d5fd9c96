# SPDX-License-Identifier: Apache-2.0
"""The generator of VoxShield: one 3D U-Net that sees the image alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umed.networks.unet import GeneratorUNet


class VoxelGenerator(nn.Module):
    r"""``d = tanh(G(x))`` for volumes, from a 3D U-Net.

    Args:
        spatial_dims: 3.
        channels: image channels C.
        classes: number of classes with the background, only to refuse other data.
        widths: width of each level; the paper's network has 16, 32, 64, 128.
        epsilon: bound as a share of the unit range.

    Shape:
        input ``(B, C + 3 + spatial_dims, *spatial)`` float as :func:`umed.networks.perturber.stack_inputs` makes it, of
        which only the image is looked at; output ``(B, C, *spatial)`` in [-1, 1].

    Example:
        >>> VoxelGenerator(3, 1, 3)(torch.rand(1, 7, 8, 12, 8)).shape
        torch.Size([1, 1, 8, 12, 8])
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int] = (8, 16, 32),
        epsilon: float = 4 / 255,
    ) -> None:
        super().__init__()
        self.spatial_dims, self.channels, self.classes, self.epsilon = spatial_dims, channels, classes, epsilon
        self.network = GeneratorUNet(spatial_dims, channels, channels, widths)
        nn.init.normal_(self.network.head.weight, std=0.1)  # all zeros would have no spectrum to tell slices apart

    def forward(self, stacked: Tensor) -> Tensor:
        """Direction from a stacked input, before any support."""
        return self.propose(stacked[:, : self.channels])

    def propose(self, image: Tensor) -> Tensor:
        """Direction ``(B, C, *spatial)`` in [-1, 1] for an image of the same shape in [0, 1]."""
        return torch.tanh(self.network(image))
