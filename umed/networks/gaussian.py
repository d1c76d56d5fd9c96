# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur of batched images, differentiable."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of ``(B, C, *spatial)`` along every spatial axis, edges repeated."""
    radius = max(1, math.ceil(3 * sigma))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None].to(image)
    for dim in range(2, image.ndim):
        rows = image.movedim(dim, -1)
        flat = functional.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
        image = functional.conv1d(flat, kernel).reshape(rows.shape).movedim(-1, dim)
    return image
