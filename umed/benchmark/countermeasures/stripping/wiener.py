# SPDX-License-Identifier: Apache-2.0
"""Filters that know nature's spectrum: what exceeds it in a window, or lies in the bands and colours of a family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from umed.benchmark.countermeasures.stripping.known_families import may_be, signs_of
from umed.benchmark.countermeasures.stripping.local_gratings import window_levels
from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature, filtered, padded_shape, powers, smooth
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, cut_windows, grid_of, high_pass, passed
from umed.networks.secret_carriers import CarrierFamily

LOUDER = 8.0
"""Power over nature's below which nothing is taken off: texture is uneven, so small excesses are texture."""
LOCAL = 0.2
"""Weight of the window's own excess; the rest is that of all windows of the case."""


def wiener(zone: Zone, nature: Nature, families: Sequence[CarrierFamily] = ()) -> Floats:
    """Estimate a code by its excess over nature's spectrum, colours together.

    Every window is whitened by nature's power at each frequency; where the covariance of the colours, averaged over
    neighbouring frequencies and mostly over all windows, has an eigenvalue ``v`` above :data:`LOUDER`, a share
    ``1 - LOUDER / v`` along its direction is the code (Wiener filter with spectral subtraction).

    Args:
        zone: the case.
        nature: its spectrum.
        families: that the thief knows; none for any.

    Returns:
        ``(C, *zone)`` in units of the bound.
    """
    side = nature.power.shape[0]
    windows = cut_windows(high_pass(zone.image), zone.inside, side, 0.05)
    if not len(windows.parts):
        return np.zeros_like(zone.image)
    whiten, colour = nature.root(nature.power.shape[:-2], -0.5), nature.root(nature.power.shape[:-2], 0.5)
    excess = whiten @ powers(windows) @ whiten
    traces = np.trace(excess, axis1=-2, axis2=-1) / len(zone.image)
    usual = window_levels(traces, np.ones(len(traces)))
    excess /= usual.reshape(-1, *[1] * (excess.ndim - 1))
    everywhere = smooth(np.average(excess, axis=0, weights=windows.energy))
    covariance = np.stack([LOCAL * smooth(one) + (1 - LOCAL) * everywhere for one in excess])
    values, vectors = np.linalg.eigh(covariance)
    shares = np.clip(1 - LOUDER / np.maximum(values, 1e-9), 0, None)
    shares *= may_be(grid_of(nature.power.shape[:-2]), families)[..., None]
    gain = colour @ ((vectors * shares[..., None, :]) @ np.swapaxes(vectors, -1, -2)) @ whiten
    axes = tuple(range(2, windows.parts.ndim))
    spectrum = np.moveaxis(np.fft.fftn(windows.parts, axes=axes), 1, -1)
    spectrum = (gain @ spectrum[..., None])[..., 0] / passed(grid_of(nature.power.shape[:-2]))[..., None]
    parts = np.fft.ifftn(np.moveaxis(spectrum, -1, 1), axes=axes).real
    return windows.join(parts) * zone.inside


def capon(zone: Zone, nature: Nature, families: Sequence[CarrierFamily]) -> Floats:
    """Estimate a code of known bands and colours: the filter that passes it whole and nature's texture the least.

    At each frequency of the bands the channels are weighted so that the code's signs add up and nature's covariance
    does the least (Capon 1969, minimum variance), times a Wiener gain from the mean power in the ROI.

    Args:
        zone: the case.
        nature: its spectrum.
        families: that the thief knows, at least one.

    Returns:
        ``(C, *zone)`` in units of the bound.
    """
    shape, channels = nature.power.shape[:-2], len(zone.image)
    windows = cut_windows(high_pass(zone.image), zone.inside, shape[0], 0.05)
    signs = signs_of(families, channels)
    if signs is None or not len(windows.parts):
        return np.zeros_like(zone.image)
    inverse = np.linalg.inv(nature.power)
    seen = smooth(np.average(powers(windows), axis=0, weights=windows.energy))
    grid = grid_of(padded_shape(zone))
    allowed = may_be(grid, families) / passed(grid)
    code = np.zeros_like(zone.image)
    for sign in signs:
        weights = inverse @ sign
        least = 1 / (weights @ sign)
        weights = weights * least[..., None]
        power = np.einsum("...i,...ij,...j->...", weights, seen, weights)
        gain = np.clip(1 - least / np.maximum(power, 1e-9), 0, None)
        table = nature.at(gain[..., None, None] * sign[:, None] * weights[..., None, :], grid)
        code += filtered(high_pass(zone.image), table * allowed[..., None, None])
    return code * zone.inside
