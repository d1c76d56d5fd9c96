# SPDX-License-Identifier: Apache-2.0
"""Random transformations T of images with their labels, in plain torch: named ones, and nnU-Net's whole augmentation.

All act on the sum x + d in the bilevel loop, so gradients must pass through them. The whole augmentation, which victims
train under and the loop knows as ``nnunet``, has the transforms, probabilities and ranges of nnU-Net's default trainer.
Geometry moves the labels too, and each case of a batch gets its own draw.

Source: ``nnUNetTrainer.get_training_transforms`` of nnU-Net v2 (github.com/MIC-DKFZ/nnUNet, Apache-2.0), method:
Isensee et al. 2021, doi 10.1038/s41592-020-01008-z. Differences: images are turned with linear instead of cubic
interpolation, and a simulated low resolution comes back linearly. Mirroring is the victim's own random flip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.core.errors import ConfigError, did_you_mean
from umed.networks.convolutions import blur

Pair = tuple[Tensor, Tensor]
Transformation = Callable[[Tensor, Tensor, torch.Generator], Pair]


def _happens(draw: torch.Generator, probability: float = 0.5) -> bool:
    return bool(torch.rand((), generator=draw) < probability)


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def _angles(draw: torch.Generator, dims: int) -> list[float]:
    """One in the plane, up to half a turn, or one about each axis of a volume, up to a twelfth."""
    widest = math.pi if dims == 2 else math.pi / 6
    return [_uniform(draw, -widest, widest) for _ in range(1 if dims == 2 else 3)]


def _case_by_case(change: Transformation, image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    done = [change(image[k : k + 1], labels[k : k + 1], draw) for k in range(len(image))]
    return torch.cat([one for one, _ in done]), torch.cat([marks for _, marks in done])


def nnunet_like(image: Tensor, label: Tensor, generator: torch.Generator) -> Pair:
    """Augment a batch of normalised images, each case on its own.

    Args:
        image: ``(B, C, *spatial)`` float32, mean 0 and standard deviation 1.
        label: ``(B, 1, *spatial)`` integers.
        generator: source of randomness.

    Returns:
        New image and label of the same shapes.
    """
    return _case_by_case(_nnunet_chain, image, label, generator)


def _nnunet_chain(image: Tensor, label: Tensor, generator: torch.Generator) -> Pair:
    """The chain for a batch of one, in nnU-Net's order."""
    happens, uniform = partial(_happens, generator), partial(_uniform, generator)

    def around_one(low: float, high: float) -> float:
        return uniform(low, 1.0) if happens() else uniform(1.0, high)

    channels = image.shape[1]
    dims = image.ndim - 2
    rotates, scales = happens(0.2), happens(0.2)
    if rotates or scales:
        angles = _angles(generator, dims) if rotates else []
        image, label = turn(image, label, angles, uniform(0.7, 1.4) if scales else 1.0)
    if happens(0.1):
        image = image + uniform(0, 0.1) * torch.randn(image.shape, generator=generator).to(image)
    if happens(0.2):
        image = _each(image, lambda part: blur(part, uniform(0.5, 1.0)) if happens() else part)
    if happens(0.15):
        factors = torch.tensor([around_one(0.75, 1.25) for _ in range(channels)])
        image = image * factors.reshape(1, -1, *[1] * dims).to(image)
    if happens(0.15):
        image = _each(image, lambda part: contrast(part, around_one(0.75, 1.25)))
    if happens(0.25):
        image = _each(image, lambda part: low_resolution(part, uniform(0.5, 1)) if happens() else part)
    if happens(0.1):
        image = _each(image, lambda part: -_gamma(-part, around_one(0.7, 1.5)))
    if happens(0.3):
        image = _each(image, lambda part: _gamma(part, around_one(0.7, 1.5)))
    return image, label


def turn(image: Tensor, label: Tensor, angles: list[float], scale: float) -> Pair:
    """Rotate and zoom about the centre; what comes from outside is 0.

    Args:
        image: ``(1, C, *spatial)``, sampled linearly.
        label: ``(1, 1, *spatial)``, sampled at the nearest voxel.
        angles: radians, one in 2D, one about each axis in 3D, none to zoom alone.
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
    grid = functional.affine_grid(theta, list(image.shape), align_corners=False).to(image.device)
    turned = functional.grid_sample(image, grid.to(image), mode="bilinear", align_corners=False)
    marks = functional.grid_sample(label.float(), grid, mode="nearest", align_corners=False)
    return turned, marks.to(label.dtype)


def _each(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change each channel with its own draw."""
    return torch.cat([change(image[:, c : c + 1]) for c in range(image.shape[1])], 1)


def contrast(image: Tensor, factor: float) -> Tensor:
    """Stretch about the mean, kept within the range that was there."""
    mean = image.mean()
    return ((image - mean) * factor + mean).clamp(image.min(), image.max())


def low_resolution(image: Tensor, factor: float) -> Tensor:
    """Go down to ``factor`` times the resolution (nearest) and come back (linear)."""
    size = [max(1, round(factor * n)) for n in image.shape[2:]]
    small = functional.interpolate(image, size=size, mode="nearest-exact")
    return functional.interpolate(small, size=image.shape[2:], mode="bilinear" if image.ndim == 4 else "trilinear")


def _gamma(image: Tensor, exponent: float) -> Tensor:
    """Gamma correction on the image's own range; mean and spread stay."""
    spread, mean = torch.std_mean(image, correction=0)
    low, high = torch.aminmax(image)
    width = (high - low).clamp(min=1e-7)
    share = (image - low) / width
    if share.requires_grad:  # the slope of a root is infinite at 0; masks change no value, only the gradient
        above = share > 0
        bent = torch.where(above, torch.where(above, share, 1) ** exponent, 0)
    else:
        bent = share**exponent
    changed = bent * width + low
    new_spread, new_mean = torch.std_mean(changed, correction=0)
    return (changed - new_mean) / new_spread.clamp(min=1e-7) * spread + mean


def _flip(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    axes = [axis for axis in range(2, image.ndim) if _happens(draw)]
    return (image.flip(axes), labels.flip(axes)) if axes else (image, labels)


def _noise(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    noise = torch.randn(image.shape, generator=draw).to(image.device)
    return image + _uniform(draw, 0, 0.03) * noise, labels


def _whole(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    """nnU-Net's chain on images of any scale: normalised first, as nnU-Net does, and brought back after it."""
    spread, mean = torch.std_mean(image, dim=tuple(range(2, image.ndim)), keepdim=True)
    spread = spread.clamp_min(1e-6)
    moved, labels = _nnunet_chain((image - mean) / spread, labels, draw)
    return moved * spread + mean, labels


WHOLE = "nnunet"
TRANSFORMATIONS: dict[str, Transformation] = {
    "flip": _flip,
    "affine": lambda x, y, draw: turn(x, y, _angles(draw, x.ndim - 2), _uniform(draw, 0.7, 1.4)),
    "blur": lambda x, y, draw: (blur(x, _uniform(draw, 0.5, 1.0)), y),
    "low_resolution": lambda x, y, draw: (low_resolution(x, _uniform(draw, 0.5, 1.0)), y),
    "noise": _noise,
    "contrast": lambda x, y, draw: (contrast(x, _uniform(draw, 0.75, 1.25)), y),
    WHOLE: _whole,
}


def compose(names: Sequence[str]) -> Transformation:
    """Chain transformations; every one but the flip and nnU-Net's whole chain is applied to half of the cases.

    Args:
        names: keys of :data:`TRANSFORMATIONS`, applied in this order.

    Returns:
        A function of image ``(B, C, *spatial)``, labels ``(B, 1, *spatial)`` and a generator; it keeps the shapes.

    Raises:
        ConfigError: when a name is unknown.
    """
    for name in names:
        if name not in TRANSFORMATIONS:
            hint = did_you_mean(name, TRANSFORMATIONS)
            known = ", ".join(TRANSFORMATIONS)
            raise ConfigError(f"training.transformations: expected some of {known}, got {name!r}.{hint}")

    def one(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
        for name in names:
            if name in ("flip", WHOLE) or _happens(draw):
                image, labels = TRANSFORMATIONS[name](image, labels, draw)
        return image, labels

    return partial(_case_by_case, one)
