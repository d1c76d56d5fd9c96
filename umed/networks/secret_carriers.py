# SPDX-License-Identifier: Apache-2.0
"""Secret carriers: narrow-band textures of a public family, whose angles, periods and phases are drawn.

A name such as ``"wave6c"`` says where in the spectrum the texture lies; it is part of the plan and may be known. What a
case gets is drawn from a generator that only the owner of the key can make, so that nobody else can draw it again. That
hides the code from regeneration, not from estimation: a narrow band has few degrees of freedom in a small ROI.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

PERIODS = {"wave": 3.0, "plaid": 4.0, "corner": 4.0}
"""Kinds, and the shortest period in px of each: shorter gratings at any angle alias into coarse ones."""
BAND = 15
SWAY = 0.25
"""Amplitude of each of three warps in radians, times their period over the texture's: the frequency sways by 30 %."""
FILL = 3.0
"""Slope of the tanh that makes a sum of sines almost a sum of signs: a fuller wave carries more within a bound."""
_NAME = re.compile(r"(wave|plaid|corner)(\d+(?:\.\d+)?)(c?)((?:\+[a-z]+\d+)*)")
_RANGES = {"sum": (1, 9), "band": (0, 50), "cells": (4, 512), "drift": (8, 512)}


@dataclass(frozen=True)
class CarrierFamily:
    """What is public of a secret carrier.

    Args:
        kind: ``"wave"``, gratings at any angle; ``"plaid"``, each grating times others of about its period that are
            perpendicular to it, a checkerboard without corners, turned by any angle; or ``"corner"``, the checkerboard
            times slow gratings: the corner of the spectrum, the only place for a texture as fine as the grid.
        period: mean period of the gratings in px; of the slow ones for a corner. A plaid's energy lies at this period
            over the root of the dimensions, along its diagonals.
        colour: opposite signs in neighbouring channels, green against red and blue.
        sum: gratings, or plaids, that are summed up.
        band: how far the period of each may be off, in percent.
        cells: edge in px of the cells of a mosaic, each with gratings of its own; 0 for none.
        drift: period in px of a smooth warp, so that angle and period change all over; 0 for none.
    """

    kind: str
    period: float
    colour: bool = False
    sum: int = 1
    band: int = BAND
    cells: int = 0
    drift: int = 0


def parse_family(name: str) -> CarrierFamily:
    """Read the name of a secret carrier.

    Args:
        name: ``wave``, ``plaid`` or ``corner``, the period, ``c`` for opponent colours, then any of ``+sumN``
            (gratings), ``+bandN`` (percent), ``+cellsN`` and ``+driftN`` (px).

    Returns:
        The family.

    Raises:
        ValueError: when the name cannot be read, or a number is out of range.

    Example:
        >>> parse_family("wave6c+sum3")
        CarrierFamily(kind='wave', period=6.0, colour=True, sum=3, band=15, cells=0, drift=0)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"carrier {name!r}: expected wave, plaid or corner with a period in px, an optional 'c' for colour, and "
            "any of +sumN, +bandN, +cellsN, +driftN, such as 'wave6c', 'wave8+sum3+drift48' or 'corner12+cells10'."
        )
    kind, period = match.group(1), float(match.group(2))
    if not PERIODS[kind] <= period <= 64:
        raise ValueError(f"carrier {name!r}: expected a period of {PERIODS[kind]:g} to 64 px, got {match.group(2)}.")
    options: dict[str, int] = {}
    for option, number in re.findall(r"\+([a-z]+)(\d+)", match.group(4)):
        if option not in _RANGES or option in options:
            raise ValueError(f"carrier {name!r}: expected each of {', '.join(_RANGES)} at most once, got {option!r}.")
        low, high = _RANGES[option]
        if not low <= int(number) <= high:
            raise ValueError(f"carrier {name!r}: expected {option} from {low} to {high}, got {number}.")
        options[option] = int(number)
    return CarrierFamily(kind, period, bool(match.group(3)), **options)


def is_secret(name: str) -> bool:
    """Whether a carrier's name is that of a secret family (right or wrong), not of a fixed pattern."""
    return name[:1].isalpha()


@dataclass(frozen=True, eq=False)
class SecretCarrier:
    """A texture as it was drawn; evaluated at any index of the file, so that windows of it agree.

    Args:
        family: what is public of it.
        seeds: of the mosaic's M cells, in px on the file's grid, ``(M, dims)`` float64; one where there are no cells.
        frequency: cycles a px, ``(M, gratings, factors, dims)`` float64; the factors are multiplied, one but in plaids.
        phase: radians, ``(M, gratings, factors)`` float64.
        sign: of each channel, ``(C,)`` float64, public.
        warp: frequency ``(3, dims)`` and phase ``(3, 1)`` side by side, ``(3, dims + 1)`` float64, of the drift.
    """

    family: CarrierFamily
    seeds: NDArray[np.float64]
    frequency: NDArray[np.float64]
    phase: NDArray[np.float64]
    sign: NDArray[np.float64]
    warp: NDArray[np.float64]

    def at(self, box: Sequence[slice]) -> Tensor:
        """The texture in a box of the file's grid, ``(C, *box)`` float32 in [-1, 1]."""
        axes = [np.arange(part.start, part.stop, dtype=np.float64) for part in box]
        place = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        cell = self._cell(place)
        angle = 2 * np.pi * np.einsum("...d,...nfd->...nf", place, self.frequency[cell]) + self.phase[cell]
        if self.family.drift:
            sway = np.sin(2 * np.pi * place @ self.warp[:, :-1].T + self.warp[:, -1]).sum(-1)
            angle = angle + (SWAY * self.family.drift / self.family.period * sway)[..., None, None]
        # A product of sines is quieter than a sine, by the root of two a factor.
        fill = FILL * np.sqrt(2.0 ** (angle.shape[-1] - 1) / self.family.sum)
        wave = np.tanh(fill * np.sin(angle).prod(-1).sum(-1))
        if self.family.kind == "corner":
            wave = wave * (1 - 2 * (place.sum(-1) % 2))
        texture = np.multiply.outer(self.sign, wave)
        return torch.from_numpy(np.ascontiguousarray(texture, dtype=np.float32))

    def _cell(self, place: NDArray[np.float64]) -> NDArray[np.intp]:
        """Number of the nearest seed of the mosaic (Voronoi cells)."""
        if not self.family.cells:
            return np.zeros(place.shape[:-1], np.intp)
        nearest: NDArray[np.intp] = KDTree(self.seeds).query(place)[1]
        return nearest


def draw_carrier(family: CarrierFamily, channels: int, box: Sequence[slice], rng: np.random.Generator) -> SecretCarrier:
    """Draw a texture.

    Args:
        family: where in the spectrum it lies.
        channels: image channels C.
        box: of the file's grid, where the texture will be looked at; bounds the mosaic.
        rng: source of all that is secret.

    Returns:
        The texture.

    Example:
        >>> drawn = draw_carrier(parse_family("wave6c"), 3, (slice(0, 9), slice(0, 9)), np.random.default_rng(0))
        >>> drawn.at((slice(0, 9), slice(4, 9))).shape
        torch.Size([3, 9, 5])
    """
    dims, edge = len(box), family.cells
    # One seed at a random place in each square of a lattice, with a rim, so that cells are of about one size.
    lattice = [np.arange(part.start - edge, part.stop + edge, edge) if edge else np.zeros(1) for part in box]
    corners = np.stack(np.meshgrid(*lattice, indexing="ij"), axis=-1).reshape(-1, dims)
    seeds = corners + rng.random(corners.shape) * edge
    number = (len(seeds), family.sum, dims if family.kind == "plaid" else 1)
    frequency = (_frames if family.kind == "plaid" else _directions)(number, dims, rng) / family.period
    frequency = frequency / (1 + family.band / 100 * rng.uniform(-1, 1, (*number, 1)))
    phase = rng.uniform(0, 2 * np.pi, number)
    # Signs drawn anew for each case are not taken up as a code any more (docs/experiments.md); the phase turns all.
    sign = np.where(family.colour & (np.arange(channels) % 2 == 1), -1.0, 1.0)
    warp = np.concatenate([_directions((3,), dims, rng) / max(family.drift, 1), rng.uniform(0, 2 * np.pi, (3, 1))], 1)
    return SecretCarrier(family, seeds, frequency, phase, sign, warp)


def _directions(shape: tuple[int, ...], dims: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit vectors, evenly over the sphere."""
    drawn: NDArray[np.float64] = rng.standard_normal((*shape, dims))
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    return drawn


def _frames(shape: tuple[int, ...], dims: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Perpendicular unit vectors along the last axis but one, evenly over all turns; QR makes them up to a sign."""
    drawn: NDArray[np.float64] = np.linalg.qr(rng.standard_normal((*shape[:-1], dims, dims)))[0]
    return drawn
