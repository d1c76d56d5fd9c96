# SPDX-License-Identifier: Apache-2.0
"""Texture maps that guide the texture generator: local binary patterns, Gabor energy, and the amplitude they allow.

Local binary pattern: Ojala, Pietikäinen, Mäenpää, IEEE TPAMI 24(7), 2002 (here: the count of strictly brighter
neighbours, which needs no rotation table and extends to 3-D). Gabor filters: Daugman, JOSA A 2(7), 1985.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from umed.networks.convolutions import conv

WAVELENGTHS, GABOR_SIZE = (2.5, 4.0), 5
"""Pixels: of the Gabor filters, and the width of their kernels, which is odd."""


def local_binary_pattern(image: Tensor) -> Tensor:
    """Share of the 8 (2-D) or 26 (3-D) neighbours that are strictly brighter than the pixel.

    Ties do not count, so a flat region gives 0 and not the full pattern.

    Args:
        image: shape ``(B, C, H, W[, D])``, float; the mean over channels is used.

    Returns:
        Shape ``(B, 1, H, W[, D])``, in [0, 1].

    Example:
        >>> local_binary_pattern(torch.ones(1, 1, 5, 5)).max().item()
        0.0
    """
    grey = image.mean(1, keepdim=True)
    dims = grey.ndim - 2
    padded = F.pad(grey, [1, 1] * dims, mode="replicate")
    count = torch.zeros_like(grey)
    shifts = [shift for shift in itertools.product((0, 1, 2), repeat=dims) if any(step != 1 for step in shift)]
    for shift in shifts:
        parts = [slice(step, step + size) for step, size in zip(shift, grey.shape[2:], strict=True)]
        window: tuple[Any, ...] = (..., *parts)
        count += padded[window] > grey
    return count / len(shifts)


def _gabor_bank(dims: int) -> Tensor:
    """Zero-mean, unit-norm cosine and sine Gabor kernels along the axes and the in-plane diagonals."""
    axes = torch.stack(torch.meshgrid([torch.arange(GABOR_SIZE) - GABOR_SIZE // 2] * dims, indexing="ij")).float()
    directions = [[float(a == axis) for a in range(dims)] for axis in range(dims)]
    diagonal = math.sqrt(0.5)
    directions += [[diagonal, sign * diagonal] + [0.0] * (dims - 2) for sign in (1, -1)]
    envelope = torch.exp(-axes.square().sum(0) / (2 * (GABOR_SIZE / 5) ** 2))
    kernels = []
    for wavelength, direction, phase in itertools.product(WAVELENGTHS, directions, (0.0, math.pi / 2)):
        position = torch.einsum("d,d...->...", torch.tensor(direction), axes)
        kernel = envelope * torch.cos(2 * math.pi * position / wavelength + phase)
        kernel = kernel - envelope * kernel.sum() / envelope.sum()
        kernels.append(kernel / kernel.norm())
    return torch.stack(kernels)


def gabor_energy(image: Tensor) -> Tensor:
    """Root of the summed squared responses of a quadrature Gabor bank: how much texture surrounds a pixel.

    Args:
        image: shape ``(B, C, H, W[, D])``, float; the mean over channels is used.

    Returns:
        Shape ``(B, len(WAVELENGTHS), H, W[, D])``, at least 0, in units of the image.
    """
    grey = image.mean(1, keepdim=True)
    dims = grey.ndim - 2
    energy = conv(grey, _gabor_bank(dims)).squeeze(1).square()
    return energy.reshape(len(grey), len(WAVELENGTHS), -1, *grey.shape[2:]).mean(2).sqrt()


def texture_maps(image: Tensor) -> Tensor:
    """Local binary pattern and Gabor energies as one guide for the texture generator.

    Args:
        image: shape ``(B, C, H, W[, D])``, float in [0, 1].

    Returns:
        Shape ``(B, 3, H, W[, D])``: pattern, fine energy, coarse energy (energies compressed to [0, 1)).
    """
    energy = gabor_energy(image)
    return torch.cat([local_binary_pattern(image), energy / (energy + 0.02)], dim=1)


def texture_amplitude(maps: Tensor, floor: float) -> Tensor:
    """Amplitude ``a(x)`` in ``[floor, 1]`` that grows with texture, so that flat regions are changed least.

    Args:
        maps: what :func:`texture_maps` gives, shape ``(B, 3, H, W[, D])``.
        floor: amplitude of a perfectly flat region, in (0, 1].

    Returns:
        Shape ``(B, 1, H, W[, D])``.

    Raises:
        ValueError: If ``floor`` is not in (0, 1].
    """
    if not 0 < floor <= 1:
        raise ValueError(f"texture_amplitude: expected floor in (0, 1], got {floor}.")
    return floor + (1 - floor) * maps[:, 1:].amax(1, keepdim=True)
