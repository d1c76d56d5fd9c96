# SPDX-License-Identifier: Apache-2.0
"""Countermeasures that change the grid: training at another spacing, and going down and up again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, number


class Half(Countermeasure):
    """Train and test at half the resolution: blocks of 2 x 2 (x 2) averaged, the antialiased resize of most pipelines.

    The last row of an odd side is repeated. Labels keep every second voxel.
    """

    name = "half"
    scale = 0.5

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Average blocks; ``(C, *ceil(spatial / 2))``."""
        padding = [pad for size in reversed(image.shape[1:]) for pad in (0, size % 2)]
        even = functional.pad(image[None], padding, mode="replicate")
        pool = functional.avg_pool2d if image.ndim == 3 else functional.avg_pool3d
        return pool(even, 2)[0]

    def label(self, label: Tensor) -> Tensor:
        """Take every second voxel; ``(*ceil(spatial / 2))``."""
        return label[tuple(slice(None, None, 2) for _ in label.shape)].contiguous()


class Resample(Countermeasure):
    """Train and test at another spacing, the same factor along every axis, as nnU-Net and MONAI pipelines do.

    Images linearly, with the filter as wide as a new voxel where the grid gets coarser (antialiased); labels from the
    nearest voxel.

    Args:
        scale: new size over old size, in [0.1, 4]; usual sweep 0.25, 0.5, 0.75, 1.5.
    """

    name = "resample"
    strength = "scale"

    def __init__(self, *, scale: float = 0.5) -> None:
        self.scale = number("resample.scale", scale, 0.1, 4)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Resample; ``(C, *round(scale * spatial))``."""
        return resize(image, scaled_sizes(image.shape[1:], self.scale))

    def label(self, label: Tensor) -> Tensor:
        """Take the nearest voxel; ``(*round(scale * spatial))``."""
        return nearest(label, scaled_sizes(label.shape, self.scale))


class DownUp(Countermeasure):
    """Go to a coarser grid and back, both linearly and antialiased; the grid that the victim sees is unchanged.

    Args:
        factor: coarse size over full size, in [0.1, 1); usual sweep 0.25, 0.5, 0.75.
    """

    name = "down_up"
    strength = "factor"

    def __init__(self, *, factor: float = 0.5) -> None:
        self.factor = number("down_up.factor", factor, 0.1, 0.99)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Resample twice; the shape stays."""
        coarse = resize(image, scaled_sizes(image.shape[1:], self.factor))
        return resize(coarse, list(image.shape[1:]))


def resize(image: Tensor, sizes: list[int]) -> Tensor:
    """Resample ``(C, *spatial)`` to ``(C, *sizes)`` with a triangle filter, widened where the grid gets coarser."""
    for axis, (old, new) in enumerate(zip(image.shape[1:], sizes, strict=True), start=1):
        away = (_centres(old, new)[:, None] - torch.arange(old)[None]).abs()
        weights = (1 - away / max(1.0, old / new)).clamp(min=0)
        weights = (weights / weights.sum(1, keepdim=True)).to(image.dtype)
        image = torch.tensordot(image, weights, dims=([axis], [1])).movedim(-1, axis)
    return image.contiguous()


def nearest(label: Tensor, sizes: list[int]) -> Tensor:
    """Resample ``(*spatial)`` to ``(*sizes)`` by the voxel that is nearest to the centre of each new one."""
    for axis, (old, new) in enumerate(zip(label.shape, sizes, strict=True)):
        label = label.index_select(axis, torch.floor(_centres(old, new) + 0.5).long().clamp(0, old - 1))
    return label


def scaled_sizes(sizes: Sequence[int], scale: float) -> list[int]:
    """Sizes of a grid whose voxels are ``1 / scale`` as long; halves are rounded up."""
    return [max(1, math.floor(scale * size + 0.5)) for size in sizes]


def _centres(old: int, new: int) -> Tensor:
    """Where the centres of the new voxels lie, in old voxels; held inside, so that edges are repeated."""
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5
    return centres.clamp(0, old - 1)
