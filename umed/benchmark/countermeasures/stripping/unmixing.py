# SPDX-License-Identifier: Apache-2.0
"""Simple ways to take a code off: its colour by bands, its band as a whole, and filters inside the ROI only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh
from scipy.ndimage import binary_dilation, gaussian_filter, median_filter

from umed.benchmark.countermeasures.stripping.nature_spectrum import filtered, padded_shape
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, grid_of, high_pass, passed

EDGES = (1 / 24, 1 / 14, 1 / 10, 1 / 7.5, 1 / 5.6, 1 / 4.3, 1 / 3.3, 1 / 2.6, 1 / 2, 0.6, 0.87)
"""Borders of the radial bands in cycles a pixel; beyond 0.5 lie the corners of the spectrum."""
LOUDER = {"colour": 6.0, "band": 2.0}
"""Energy inside over outside, against the other colours or bands, below which nothing is done: texture is uneven."""


def bands_of(zone: Zone) -> list[Floats]:
    """The high-passed image in every band, ``(C, *zone)`` each."""
    shape, field = padded_shape(zone), high_pass(zone.image)
    grid = grid_of(shape)
    radius = np.sqrt(np.square(grid).sum(-1))
    level = passed(grid)
    eye = np.eye(len(field))
    bands = zip(EDGES[:-1], EDGES[1:], strict=True)
    keeps = [((radius >= low) & (radius < high)) / level for low, high in bands]
    return [filtered(field, keep[..., None, None] * eye) for keep in keeps]


def unmix(zone: Zone) -> Floats:
    """Blind source separation over channels: in every band, attenuate the colour that is loudest against outside.

    The generalised eigenvectors of the colours' covariances inside and outside the ROI are independent sources; the
    one with the largest ratio is the code where its ratio stands out from the others.

    Args:
        zone: the case.

    Returns:
        ``(C, *zone)`` in units of the bound; 0 for images of one channel, which have no colours to separate.
    """
    code = np.zeros_like(zone.image)
    channels = len(code)
    outside = ~binary_dilation(zone.inside, iterations=2)
    if channels == 1 or outside.sum() < 64:
        return code
    for band in bands_of(zone):
        in_, out = (np.cov(band[:, mask], bias=True) + 1e-3 * np.eye(channels) for mask in (zone.inside, outside))
        ratios, sources = eigh(in_, out)
        usual = float(np.median(ratios[:-1]))
        if ratios[-1] > LOUDER["colour"] * usual:
            direction = sources[:, -1]
            share = 1 - usual / ratios[-1]
            code += share * np.einsum("i,j,j...->i...", out @ direction, direction, band)
    return code * zone.inside


def notch(zones: Sequence[Zone]) -> list[Floats]:
    """Band-stop inside the ROI: the radial band that is loudest against outside, over all cases, goes as a whole.

    Args:
        zones: of one data set.

    Returns:
        For each case ``(C, *zone)`` in units of the bound; 0 where no band stands out.
    """
    cut = [bands_of(zone) for zone in zones]
    ratios = []
    for zone, bands in zip(zones, cut, strict=True):
        outside = ~binary_dilation(zone.inside, iterations=2)
        if outside.sum() >= 64:
            pairs = ((np.square(b[:, zone.inside]).mean(), np.square(b[:, outside]).mean()) for b in bands)
            ratios.append([in_ / (out + 1e-3) for in_, out in pairs])
    if not ratios:
        return [np.zeros_like(zone.image) for zone in zones]
    mean = np.exp(np.mean(np.log(np.array(ratios) + 1e-6), axis=0))
    best = int(mean.argmax())
    loud = mean[best] > LOUDER["band"] * float(np.median(mean))
    return [bands[best] * zone.inside * loud for zone, bands in zip(zones, cut, strict=True)]


def blurred(zone: Zone, sigma: float = 1.0) -> Floats:
    """What a Gaussian blur takes out of the ROI."""
    done: Floats = zone.image - np.stack([gaussian_filter(channel, sigma, mode="nearest") for channel in zone.image])
    return done * zone.inside


def medianed(zone: Zone, size: int = 3) -> Floats:
    """What a median filter takes out of the ROI."""
    done: Floats = zone.image - np.stack([median_filter(channel, size) for channel in zone.image])
    return done * zone.inside
