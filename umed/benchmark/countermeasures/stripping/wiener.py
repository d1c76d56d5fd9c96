# SPDX-License-Identifier: Apache-2.0
"""Local Wiener filter: in every window, what exceeds nature's spectrum is the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from umed.benchmark.countermeasures.stripping.known_families import may_be
from umed.benchmark.countermeasures.stripping.local_gratings import window_levels
from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature, powers, smooth
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
