# SPDX-License-Identifier: Apache-2.0
"""Structured carriers, fixed or secret, whose weights the generators predict for each pixel.

An early surrogate has almost no gradient at high frequencies, so a generator that starts from noise learns nothing from
it; a carrier gives it something to modulate (docs/experiments.md has the figures). Patterns live on the index grid of
the whole file, so a crop, a patch or a window sees the same phase as the image that is written. Fixed patterns are the
same for every case and known to everybody: they are controls. Secret ones are in
:mod:`umed.networks.secret_carriers`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from umed.networks.secret_carriers import SecretCarrier, draw_carrier, is_secret, parse_family

_NAME = re.compile(r"(\d+(?:x\d+)*)(c?)")


def parse_carrier(name: str, spatial_dims: int) -> tuple[tuple[int, ...], bool]:
    """Read the name of a fixed carrier.

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
            "'c' for colour, such as '2', '4c' or '0x2'; or a secret one, such as 'wave6c'."
        )
    return tuple(periods), bool(match.group(2))


def carrier_bank(
    names: Sequence[str],
    channels: int,
    shape: Sequence[int],
    origin: Sequence[int] | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Lay fixed carriers out on a crop of the index grid.

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


def check_carriers(names: Sequence[str], spatial_dims: int) -> None:
    """Refuse names that are neither of a fixed nor of a secret carrier.

    Raises:
        ValueError: when a name cannot be read, or has another number of axes.
    """
    for name in names:
        if is_secret(name):
            parse_family(name)
        else:
            parse_carrier(name, spatial_dims)


@dataclass(frozen=True, eq=False)
class DrawnCarriers:
    """The carriers of one case, or of one of its slices; see :func:`draw_carriers`.

    Args:
        channels: image channels C.
        parts: each the name of a fixed carrier, or a secret one as it was drawn.
    """

    channels: int
    parts: tuple[str | SecretCarrier, ...]

    def bank(self, box: Sequence[slice]) -> Tensor:
        """The carriers in a box of the file's grid, ``(K, C, *box)`` float32 in [-1, 1]."""
        origin, shape = [part.start for part in box], [part.stop - part.start for part in box]
        laid = [
            carrier_bank([part], self.channels, shape, origin)[0] if isinstance(part, str) else part.at(box)
            for part in self.parts
        ]
        return torch.stack(laid) if laid else torch.zeros(0, self.channels, *shape)


def draw_carriers(names: Sequence[str], channels: int, box: Sequence[slice], rng: np.random.Generator) -> DrawnCarriers:
    """Draw what is secret of some carriers.

    Args:
        names: of fixed carriers (:func:`parse_carrier`) and secret ones
            (:func:`umed.networks.secret_carriers.parse_family`).
        channels: image channels C.
        box: of the file's grid, where they will be looked at.
        rng: source of all that is secret.

    Returns:
        The carriers.

    Raises:
        ValueError: when a name cannot be read.
    """
    drawn = [draw_carrier(parse_family(name), channels, box, rng) if is_secret(name) else name for name in names]
    return DrawnCarriers(channels, tuple(drawn))
