# SPDX-License-Identifier: Apache-2.0
"""Fixed convolutions of batched images, differentiable: edge maps that guide the contour generator, Gaussian blur."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTH = (1.0, 2.0, 1.0)
_DIFFERENCE = (-1.0, 0.0, 1.0)


def conv(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every channel of an image with the same kernels, edges replicated.

    Args:
        image: shape ``(B, C, *spatial)`` with 2 or 3 spatial axes, float.
        kernel: shape ``(K, *size)`` with odd sizes.

    Returns:
        Shape ``(B, C, K, *spatial)``.
    """
    batch, channels, *spatial = image.shape
    flat = image.reshape(batch * channels, 1, *spatial)
    pad = [size // 2 for size in reversed(kernel.shape[1:]) for _ in (0, 1)]
    flat = F.pad(flat, pad, mode="replicate")
    weight = kernel.to(image)[:, None]
    out = F.conv2d(flat, weight) if len(spatial) == 2 else F.conv3d(flat, weight)
    return out.reshape(batch, channels, len(kernel), *spatial)


def edge_map(image: Tensor) -> Tensor:
    """Sobel gradient magnitude, the strongest channel, scaled to [0, 1] for each image.

    Args:
        image: shape ``(B, C, H, W[, D])``, float, any range.

    Returns:
        Shape ``(B, 1, H, W[, D])``; all 0 for a constant image.

    Raises:
        ValueError: If the image has neither 2 nor 3 spatial axes.

    Example:
        >>> edge_map(torch.zeros(1, 3, 8, 8)).max().item()
        0.0
    """
    dims = image.ndim - 2
    if dims not in (2, 3):
        raise ValueError(f"edge_map: expected shape (B, C, H, W[, D]), got {tuple(image.shape)}.")
    kernels = []
    for axis in range(dims):
        kernel = torch.ones((1,) * dims)
        for other in range(dims):
            line = torch.tensor(_DIFFERENCE if other == axis else _SMOOTH)
            kernel = kernel * line.reshape([-1 if a == other else 1 for a in range(dims)])
        kernels.append(kernel)
    gradient = conv(image, torch.stack(kernels))
    magnitude = gradient.square().sum(2).sqrt().amax(1, keepdim=True)
    peak = magnitude.flatten(1).amax(1).clamp_min(torch.finfo(magnitude.dtype).eps)
    return magnitude / peak.reshape(-1, *(1,) * (image.ndim - 1))


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(B, C, *spatial)`` along every spatial axis, edges repeated."""
    radius = max(1, math.ceil(3 * sigma))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None].to(image)
    for dim in range(2, image.ndim):
        rows = image.movedim(dim, -1)
        flat = F.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
        image = F.conv1d(flat, kernel).reshape(rows.shape).movedim(-1, dim)
    return image
