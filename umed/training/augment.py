# SPDX-License-Identifier: Apache-2.0
"""Augmentation like nnU-Net's: the same transforms, probabilities and ranges as its default trainer, in plain torch.

Source: ``nnUNetTrainer.get_training_transforms`` of nnU-Net v2 (github.com/MIC-DKFZ/nnUNet, Apache-2.0), method:
Isensee et al. 2021, doi 10.1038/s41592-020-01008-z. Differences: images are turned with linear instead of cubic
interpolation, and a simulated low resolution comes back linearly. Mirroring is the victim's own random flip.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as functional

from umed.networks.gaussian import blur

Pair = tuple[torch.Tensor, torch.Tensor]


def nnunet_like(image: torch.Tensor, label: torch.Tensor, generator: torch.Generator) -> Pair:
    """Augment a batch of normalised images, each case on its own.

    Args:
        image: ``(B, C, *spatial)`` float32, mean 0 and standard deviation 1.
        label: ``(B, 1, *spatial)`` integers.
        generator: source of randomness.

    Returns:
        New image and label of the same shapes.
    """
    pairs = [_one(image[k : k + 1], label[k : k + 1], generator) for k in range(len(image))]
    return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])


def _one(image: torch.Tensor, label: torch.Tensor, generator: torch.Generator) -> Pair:
    """The chain for a batch of one, in nnU-Net's order."""

    def happens(probability: float) -> bool:
        return bool(torch.rand((), generator=generator) < probability)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    def around_one(low: float, high: float) -> float:
        return uniform(low, 1.0) if happens(0.5) else uniform(1.0, high)

    channels = image.shape[1]
    dims = image.ndim - 2
    rotates, scales = happens(0.2), happens(0.2)
    if rotates or scales:
        widest = math.pi if dims == 2 else math.pi / 6
        angles = [uniform(-widest, widest) if rotates else 0.0 for _ in range(1 if dims == 2 else 3)]
        image, label = turn(image, label, angles, uniform(0.7, 1.4) if scales else 1.0)
    if happens(0.1):
        image = image + uniform(0, 0.1) * torch.randn(image.shape, generator=generator)
    if happens(0.2):
        image = _each(image, lambda part: blur(part, uniform(0.5, 1.0)) if happens(0.5) else part)
    if happens(0.15):
        image = image * torch.tensor([around_one(0.75, 1.25) for _ in range(channels)]).reshape(1, -1, *[1] * dims)
    if happens(0.15):
        image = _each(image, lambda part: contrast(part, around_one(0.75, 1.25)))
    if happens(0.25):
        image = _each(image, lambda part: low_resolution(part, uniform(0.5, 1)) if happens(0.5) else part)
    if happens(0.1):
        image = _each(image, lambda part: -_gamma(-part, around_one(0.7, 1.5)))
    if happens(0.3):
        image = _each(image, lambda part: _gamma(part, around_one(0.7, 1.5)))
    return image, label


def turn(image: torch.Tensor, label: torch.Tensor, angles: list[float], scale: float) -> Pair:
    """Rotate and zoom about the centre; what comes from outside is 0.

    Args:
        image: ``(1, C, *spatial)``, sampled linearly.
        label: ``(1, 1, *spatial)``, sampled at the nearest voxel.
        angles: radians, one in 2D, one about each axis in 3D.
        scale: larger than 1 zooms out, as in nnU-Net.

    Returns:
        New image and label of the same shapes.
    """
    dims = image.ndim - 2
    rotation = torch.eye(dims)
    for number, angle in enumerate(angles):
        first, second = (0, 1) if dims == 2 else [axis for axis in range(3) if axis != number]
        part = torch.eye(dims)
        part[first, first] = part[second, second] = math.cos(angle)
        part[first, second], part[second, first] = -math.sin(angle), math.sin(angle)
        rotation = rotation @ part
    sizes = torch.tensor([float(size) for size in reversed(image.shape[2:])])  # grid coordinates come last axis first
    matrix = scale * rotation * sizes[None, :] / sizes[:, None]  # a rotation in pixels, not in the unit square
    theta = torch.cat([matrix, torch.zeros(dims, 1)], 1)[None]
    grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
    turned = functional.grid_sample(image, grid, mode="bilinear", align_corners=False)
    marks = functional.grid_sample(label.float(), grid, mode="nearest", align_corners=False)
    return turned, marks.to(label.dtype)


def _each(image: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Change each channel with its own draw."""
    return torch.cat([change(image[:, c : c + 1]) for c in range(image.shape[1])], 1)


def contrast(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Stretch about the mean, kept within the range that was there."""
    mean = image.mean()
    return ((image - mean) * factor + mean).clamp(float(image.min()), float(image.max()))


def low_resolution(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Go down to ``factor`` times the resolution (nearest) and come back (linear)."""
    size = [max(1, round(factor * n)) for n in image.shape[2:]]
    small = functional.interpolate(image, size=size, mode="nearest-exact")
    return functional.interpolate(small, size=image.shape[2:], mode="bilinear" if image.ndim == 4 else "trilinear")


def _gamma(image: torch.Tensor, exponent: float) -> torch.Tensor:
    """Gamma correction on the image's own range; mean and spread stay."""
    spread, mean = torch.std_mean(image, correction=0)
    low, width = image.min(), (image.max() - image.min()).clamp(min=1e-7)
    changed = ((image - low) / width) ** exponent * width + low
    new_spread, new_mean = torch.std_mean(changed, correction=0)
    return (changed - new_mean) / new_spread.clamp(min=1e-7) * spread + mean
