# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the victim's moment, and small cases of each kind of image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.benchmark.countermeasures.interface import Moment
from umed.benchmark.victims.case_tensors import Samples


@pytest.fixture
def samples() -> Callable[..., Samples]:
    """Factory: smooth images of full scale 255 (8 bit) with a box as label."""

    def make(*spatial: int, channels: int = 1, cases: int = 3, seed: int = 0) -> Samples:
        draw = torch.Generator().manual_seed(seed)
        coarse = torch.rand((cases, channels, *[4] * len(spatial)), generator=draw)
        mode = "bilinear" if len(spatial) == 2 else "trilinear"
        images = functional.interpolate(coarse, size=spatial, mode=mode, align_corners=True)
        label = torch.zeros(spatial, dtype=torch.uint8)
        label[tuple(slice(size // 4, 3 * size // 4) for size in spatial)] = 1
        names = tuple(f"case_{k}" for k in range(cases))
        pictures = tuple((20 + 200 * image).round() for image in images)
        return Samples(names, pictures, (label,) * cases, 2, scales=(255.0,) * cases)

    return make


@pytest.fixture
def moment() -> Callable[..., Moment]:
    """Factory: a victim whose logit of class 1 is the image's first channel."""

    def make(image: Tensor, *, seed: int = 0, progress: float = 0.0, classes: int = 2, scale: float = 4.0) -> Moment:
        def loss(image: Tensor, label: Tensor) -> Tensor:
            target = label[:, 1:2] if label.is_floating_point() else label.clamp(max=1).float()
            found = functional.binary_cross_entropy_with_logits(image[:, :1], target, reduction="none")
            return found.flatten(1).mean(1)

        return Moment(
            generator=torch.Generator().manual_seed(seed),
            scale=torch.full((*image.shape[:2], *[1] * (image.ndim - 2)), scale),
            loss=loss,
            predict=lambda image: (image[:, :1] > 0).long(),
            progress=progress,
            classes=classes,
        )

    return make
