# SPDX-License-Identifier: Apache-2.0
"""What an image's own texture looks like in its spectrum, learnt outside the ROI, where nothing was added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, map_coordinates, median_filter, uniform_filter

from umed.benchmark.countermeasures.stripping.zones import (
    SIDES,
    Floats,
    Windows,
    Zone,
    cut_windows,
    grid_of,
    high_pass,
)

POOL = 8
"""Windows of its own a case needs to be believed as much as all cases together."""
CORNER = 0.48
"""Cycles a pixel: beyond lie the corners of the spectrum."""
FLOOR = 0.02
"""Power that is added everywhere, bound squared: a quarter of a step of an 8-bit picture at 4/255."""


@dataclass(frozen=True, eq=False)
class Nature:
    """Power of nature's texture at each frequency, with the colours' covariance.

    Args:
        power: ``(*window, C, C)``, symmetric, of the high-passed image in units of the bound squared per pixel.
    """

    power: Floats

    def root(self, shape: tuple[int, ...], exponent: float) -> Floats:
        """``power ** exponent`` on the frequencies of another grid, ``(*shape, C, C)``; -0.5 whitens."""
        values, vectors = np.linalg.eigh(self.power)
        table = (vectors * np.maximum(values, FLOOR)[..., None, :] ** exponent) @ np.swapaxes(vectors, -1, -2)
        return self.at(table, grid_of(shape)) if shape != self.power.shape[:-2] else table

    def whitener(self, frequency: Floats) -> Floats:
        """The whitening matrix ``(C, C)`` at one frequency ``(dims,)`` in cycles a pixel."""
        values, vectors = np.linalg.eigh(self.at(self.power, frequency[None])[0])
        found: Floats = (vectors * np.maximum(values, FLOOR) ** -0.5) @ vectors.T
        return found

    def at(self, table: Floats, frequencies: Floats) -> Floats:
        """Interpolate a table over the window's frequencies, linearly and periodically."""
        shape = np.array(table.shape[:-2])
        places = np.moveaxis(frequencies * shape, -1, 0)
        channels = table.shape[-1]
        found = np.empty((*places.shape[1:], channels, channels))
        for a in range(channels):
            for b in range(channels):
                found[..., a, b] = map_coordinates(table[..., a, b], places, order=1, mode="grid-wrap")
        return found


def filtered(field: Floats, response: Floats) -> Floats:
    """Apply a frequency response ``(*padded, C, C)`` to a field ``(C, *zone)``, mirrored at its edges."""
    axes = tuple(range(1, field.ndim))
    pads = [(0, 0), *((0, big - size) for big, size in zip(response.shape, field.shape[1:], strict=False))]
    padded = np.pad(field, pads, mode="symmetric")
    spectrum = np.moveaxis(np.fft.fftn(padded, axes=axes), 0, -1)
    turned = np.moveaxis((response @ spectrum[..., None])[..., 0], -1, 0)
    inner = (slice(None), *(slice(0, size) for size in field.shape[1:]))
    done: Floats = np.fft.ifftn(turned, axes=axes).real[inner]
    return done


def padded_shape(zone: Zone) -> tuple[int, ...]:
    """Grid on which a zone is filtered, so that its edges do not touch."""
    side = side_of([zone])
    return tuple(size + min(side, size) for size in zone.inside.shape)


def side_of(zones: Sequence[Zone]) -> int:
    """Side of the windows for these cases, even."""
    smallest = min(min(zone.inside.shape) for zone in zones)
    return max(4, min(SIDES[zones[0].dims], int(smallest) // 2 * 2))


def learn_nature(zones: Sequence[Zone]) -> list[Nature]:
    """Learn the spectrum of every case.

    A case with few windows outside its ROI borrows from all cases. The level at each radius is that of the ROI: medians
    over angles and neighbouring radii, which a code in a narrow band does not move.

    Args:
        zones: of one data set, at least one.

    Returns:
        One record a case, all on the same window.
    """
    side = side_of(zones)
    own: list[tuple[Floats, float, int]] = []
    for zone in zones:
        outside = ~binary_dilation(zone.inside, iterations=2)
        windows = cut_windows(high_pass(zone.image), outside, side, 0.5)
        mean = smooth(powers(windows).mean(0)) if len(windows.parts) else flat(side, zone.dims, len(zone.image))
        own.append((mean, _level(mean), len(windows.parts)))
    pool = flat(side, zones[0].dims, len(zones[0].image))
    if total := sum(count for *_, count in own):
        pool = np.sum([mean * (count / level / total) for mean, level, count in own], axis=0)
    channels, found = len(zones[0].image), []
    for zone, (mean, level, count) in zip(zones, own, strict=True):
        power = (mean / level * count + pool * POOL) / (count + POOL)
        seen = powers(cut_windows(high_pass(zone.image), zone.inside, side, 0.1)).mean(0)
        levels = _levels(power + 1e-6 * np.eye(channels), seen)
        found.append(Nature(power * levels[..., None, None] + FLOOR * np.eye(channels)))
    return found


def powers(windows: Windows) -> Floats:
    """Power of each window per unit of its weight, ``(W, *window, C, C)``."""
    axes = tuple(range(2, windows.parts.ndim))
    spectrum = np.moveaxis(np.fft.fftn(windows.parts, axes=axes), 1, -1)
    outer = (spectrum[..., :, None] * spectrum[..., None, :].conj()).real
    result: Floats = outer / windows.energy.reshape(-1, *[1] * (outer.ndim - 1))
    return result


def smooth(power: Floats) -> Floats:
    """Mean over each frequency and its neighbours; ``(*window, C, C)``."""
    dims = power.ndim - 2
    result: Floats = uniform_filter(power, (*[3] * dims, 1, 1), mode="wrap")
    return result


def flat(side: int, dims: int, channels: int) -> Floats:
    """White texture: nothing is known."""
    white: Floats = np.broadcast_to(np.eye(channels), (*[side] * dims, channels, channels)).copy()
    return white


def _level(power: Floats) -> float:
    return float(np.trace(power, axis1=-2, axis2=-1).mean()) + 1e-9


def _levels(power: Floats, seen: Floats) -> Floats:
    """Power inside over outside at each radius, robustly, on the window's frequencies.

    The corners of the spectrum have few frequencies, so that a code there would move their median: they get the level
    of the outermost full rings.
    """
    shape = power.shape[:-2]
    ratio = np.einsum("...ij,...ji->...", np.linalg.inv(power), seen) / power.shape[-1]
    radius = np.sqrt(np.square(grid_of(shape)).sum(-1))
    rings = np.minimum(np.round(radius * shape[0]).astype(int), int(CORNER * shape[0]))
    medians = np.array([np.median(ratio[rings == ring]) for ring in range(rings.max())])
    outer = (radius >= CORNER - 0.12) & (radius <= CORNER)
    steady: Floats = median_filter(np.append(medians, np.median(ratio[outer])), 5, mode="nearest")[rings]
    return steady
