# SPDX-License-Identifier: Apache-2.0
"""The random transformations T of the bilevel loop. They act on the sum x + d, so gradients must pass through them.

Geometry moves the labels too. Each case of a batch gets its own draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from umed.core.errors import ConfigError, did_you_mean
from umed.networks.gaussian import blur
from umed.training.augment import contrast, low_resolution, turn

Pair = tuple[Tensor, Tensor]
Transformation = Callable[[Tensor, Tensor, torch.Generator], Pair]


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def _flip(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    axes = [axis for axis in range(2, image.ndim) if _uniform(draw, 0, 1) < 0.5]
    return (image.flip(axes), labels.flip(axes)) if axes else (image, labels)


def _affine(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    flat = image.ndim == 4
    limit = math.pi if flat else math.pi / 6
    angles = [_uniform(draw, -limit, limit) for _ in range(1 if flat else 3)]
    return turn(image, labels, angles, _uniform(draw, 0.7, 1.4))


def _blur(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    return blur(image, _uniform(draw, 0.5, 1.0)), labels


def _low_resolution(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    return low_resolution(image, _uniform(draw, 0.5, 1.0)), labels


def _noise(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    noise = torch.randn(image.shape, generator=draw).to(image.device)
    return image + _uniform(draw, 0, 0.03) * noise, labels


def _contrast(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
    return contrast(image, _uniform(draw, 0.75, 1.25)), labels


TRANSFORMATIONS: dict[str, Transformation] = {
    "flip": _flip,
    "affine": _affine,
    "blur": _blur,
    "low_resolution": _low_resolution,
    "noise": _noise,
    "contrast": _contrast,
}


def compose(names: Sequence[str]) -> Transformation:
    """Chain transformations; every one but the flip is applied to half of the cases.

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

    def transform(image: Tensor, labels: Tensor, draw: torch.Generator) -> Pair:
        done = []
        for index in range(len(image)):
            one, marks = image[index : index + 1], labels[index : index + 1]
            for name in names:
                if name == "flip" or _uniform(draw, 0, 1) < 0.5:
                    one, marks = TRANSFORMATIONS[name](one, marks, draw)
            done.append((one, marks))
        return torch.cat([image for image, _ in done]), torch.cat([labels for _, labels in done])

    return transform
