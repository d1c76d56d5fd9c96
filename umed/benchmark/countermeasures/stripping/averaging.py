# SPDX-License-Identifier: Apache-2.0
"""A code that is the same in every case is public, or adds up when cases are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.countermeasures.stripping.known_families import may_be
from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature, filtered, padded_shape
from umed.benchmark.countermeasures.stripping.shaping import Likelihood
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, grid_of
from umed.networks.carriers import carrier_bank

FEWEST = 3
"""Other cases that must have the class at a pixel."""

LOUDER = 8.0
"""Power over chance below which nothing counts as common."""


def averages(zones: Sequence[Zone], natures: Sequence[Nature], likelihoods: Sequence[Likelihood]) -> list[Floats]:
    """Average whitened cases on the index grid of their files, class by class (0: the band outside the labels).

    Each case is estimated from all others, and the strength of each class is fitted to the case by least squares.

    Args:
        zones: of one data set.
        natures: their spectra.
        likelihoods: hold the whitened images.

    Returns:
        For each case ``(C, *zone)`` in units of the bound.
    """
    channels, dims = len(zones[0].image), zones[0].dims
    shape = tuple(max(zone.box[axis].stop for zone in zones) for axis in range(dims))
    found = [np.zeros_like(zone.image) for zone in zones]
    back = np.mean([nature.power for nature in natures], axis=0)
    for value in sorted({int(v) for zone in zones for v in np.unique(zone.labels[zone.inside])}):
        total, count = np.zeros((channels, *shape)), np.zeros(shape)
        masks = [zone.inside & (zone.labels == value) for zone in zones]
        for zone, likelihood, mask in zip(zones, likelihoods, masks, strict=True):
            total[_in(zone)] += likelihood.published * mask
            count[zone.box] += mask
        for zone, likelihood, mask, code in zip(zones, likelihoods, masks, found, strict=True):
            others = count[zone.box] - mask
            mean = (total[_in(zone)] - likelihood.published * mask) / np.maximum(others, 1)
            steady = _steady(mean * (others >= FEWEST), others)
            estimate = filtered(steady, Nature(back).root(padded_shape(zone), 0.5)) * mask
            code += fitted(estimate, mask, likelihood)
    return found


def _in(zone: Zone) -> tuple[slice, ...]:
    return (slice(None), *zone.box)


def _steady(mean: Floats, count: Floats) -> Floats:
    """Keep of a mean over ``count`` whitened cases the frequencies that exceed what chance leaves there."""
    axes = tuple(range(1, mean.ndim))
    spectrum = np.fft.fftn(mean * np.sqrt(count), axes=axes)
    power = np.square(np.abs(spectrum)) / max(float((mean[0] != 0).sum()), 1.0)
    spectrum *= np.clip(1 - LOUDER / np.maximum(power, 1e-9), 0, None) * may_be(grid_of(mean.shape[1:]))
    kept: Floats = np.fft.ifftn(spectrum, axes=axes).real / np.sqrt(np.maximum(count, 1))
    return kept


def fitted(estimate: Floats, mask: NDArray[np.bool_], likelihood: Likelihood) -> Floats:
    """Fit the strength of a code to a case by least squares in the whitened image; 0 where it is not there.

    Args:
        estimate: ``(C, *zone)``, 0 outside the mask.
        mask: where it lies, ``(*zone)``.
        likelihood: of the case.
    """
    white = likelihood.white(estimate)[:, mask]
    energy = float(np.square(white).sum())
    scale = float((white * likelihood.published[:, mask]).sum()) / energy if energy else 0.0
    return max(scale, 0.0) * estimate


def public_carrier(zone: Zone, likelihood: Likelihood) -> Floats:
    """Fit the fixed carriers of umed's documentation, the checkerboard and that of opposite colours, class by class.

    Args:
        zone: the case.
        likelihood: of the case.

    Returns:
        ``(C, *zone)`` in units of the bound.
    """
    origin = [part.start for part in zone.box]
    code = np.zeros_like(zone.image)
    for value in np.unique(zone.labels[zone.inside]):
        mask = zone.inside & (zone.labels == value)
        bank = carrier_bank(["2", "2c"], len(code), mask.shape, origin).numpy() * mask
        code += max((fitted(one, mask, likelihood) for one in bank), key=lambda one: float(np.square(one).sum()))
    return code
