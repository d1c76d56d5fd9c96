# SPDX-License-Identifier: Apache-2.0
"""Structured carriers: fixed +-1 patterns whose weights the generators predict for each pixel.

An early surrogate has almost no gradient at high frequencies, so a generator that starts from noise learns nothing from
it; a carrier gives it something to modulate (docs/experiments.md has the figures). Patterns live on the index grid of
the whole file, so a crop, a patch or a slice sees the same phase as the image that is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

_NAME = re.compile(r"(\d+(?:x\d+)*)(c?)")


def parse_carrier(name: str, spatial_dims: int) -> tuple[tuple[int, ...], bool]:
    """Read the name of a carrier.

    A name gives the period in pixels along each axis, ``0`` for constant along it, and ``c`` for colour: ``"2"`` is the
    checkerboard (period 2 along every axis), ``"0x0x2"`` flips its sign from slice to slice only, ``"4c"`` has period 4
    and opposite signs in neighbouring colour channels.

    Args:
        name: as above; one number stands for all axes.
        spatial_dims: 2 or 3.

    Returns:
        Period along each axis, and whether the sign alternates over channels.

    Raises:
        ValueError: If the name cannot be read, or has another number of axes.

    Example:
        >>> parse_carrier("2x4c", 2)
        ((2, 4), True)
    """
    match = _NAME.fullmatch(name)
    periods = [int(part) for part in match.group(1).split("x")] if match else []
    if len(periods) == 1:
        periods *= spatial_dims
    if match is None or len(periods) != spatial_dims or any(p == 1 or p % 2 for p in periods):
        raise ValueError(
            f"carrier {name!r}: expected one even period, or {spatial_dims} of them joined by 'x', with an optional "
            "'c' for colour, such as '2', '4c' or '0x2'."
        )
    return tuple(periods), bool(match.group(2))


def carrier_bank(
    names: Sequence[str],
    channels: int,
    shape: Sequence[int],
    origin: Sequence[int] | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw carriers on a crop of the index grid.

    Args:
        names: see :func:`parse_carrier`.
        channels: image channels C.
        shape: spatial shape of the crop.
        origin: index of its first pixel in the file, all 0 by default.
        device: where the tensor lives.

    Returns:
        Shape ``(len(names), C, *shape)``, values -1 and 1.

    Example:
        >>> carrier_bank(["2"], 1, (2, 3))[0, 0].tolist()
        [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]
    """
    origin = origin or [0] * len(shape)
    bank = torch.ones(len(names), channels, *shape, device=device)
    for carrier, name in zip(bank, names, strict=True):
        periods, colour = parse_carrier(name, len(shape))
        for axis, (period, start, size) in enumerate(zip(periods, origin, shape, strict=True)):
            if period:
                index = torch.arange(start, start + size, device=device)
                wave = 1.0 - 2.0 * (index // (period // 2) % 2)
                carrier *= wave.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        if colour:
            carrier[1::2] *= -1
    return bank
