# SPDX-License-Identifier: Apache-2.0
"""Matched filter in overlapping windows, so that angle, period, phase and colour may vary over the ROI."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.countermeasures.stripping.known_families import loudest, may_be, signs_of
from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, cut_windows, grid_of, passed
from umed.networks.secret_carriers import CarrierFamily

FEW = 4
"""Gratings of a window."""
LOCAL_SIDES = {2: (16, 28), 3: (10, 16)}
"""Sides of the windows in which gratings are looked for, in pixels."""
TOO_LOUD_HERE = 1.6
"""Amplitude in units of the bound that no code has; a full square wave has 1.27."""
PRICE = 5.0
"""Nats that a grating of a window must explain; windows overlap, so that each is counted several times."""


def pursue_locally(
    zone: Zone, nature: Nature, left: Floats, side: int, families: Sequence[CarrierFamily] = ()
) -> tuple[Floats, float]:
    """Find gratings in windows: matching pursuit in the whitened image.

    Where the families are known, colours are, too, and the loud brightness of nature does not disturb the fit.

    Args:
        zone: the case.
        nature: its spectrum.
        left: whitened image ``(C, *zone)`` without what is known already.
        side: of a window in pixels, even.
        families: that the thief knows; none for any.

    Returns:
        Their sum ``(C, *zone)`` in units of the bound, and the nats that they must explain to be believed.
    """
    dims, channels = zone.dims, len(left)
    side = min(side, max(4, min(zone.inside.shape) // 2 * 2))
    windows = cut_windows(left, zone.inside, side, 0.1)
    count = len(windows.parts)
    if not count:
        return np.zeros_like(zone.image), 0.0
    axes, shape = tuple(range(2, 2 + dims)), (2 * side,) * dims
    grid = grid_of(shape).reshape(-1, dims)
    quick = np.flatnonzero(may_be(grid, families))
    white = nature.root(shape, -0.5).reshape(-1, channels, channels)[quick]
    signs, level = signs_of(families, channels), passed(grid[quick])
    index = np.stack(np.meshgrid(*[np.arange(side)] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
    parts, total, believed = windows.parts.copy(), np.zeros_like(windows.parts), 0
    sums = windows.masks.reshape(count, -1).sum(1)
    patterns = 1 if signs is None else len(signs)
    noise = loudest(max(len(quick) / 2 ** (dims + 1), 1.0) * patterns, channels if signs is None else 1)
    limit = noise * window_levels(np.square(np.abs(np.fft.fftn(parts, axes=axes))).sum(1) / channels, windows.energy)
    double = np.where(np.all(np.isin(grid[quick], (0.0, -0.5, 0.5)), axis=1), 1.0, 2.0)
    for _ in range(FEW):
        spectrum = np.fft.fftn(parts, s=shape, axes=axes).reshape(count, channels, -1)[:, :, quick]
        if signs is None:
            power = np.square(np.abs(spectrum)).sum(1) / windows.energy[:, None]
            best = power.argmax(1)
            height = power[np.arange(count), best]
            amplitude = spectrum[np.arange(count), :, best]
        else:
            height, best, amplitude = _of_colours(spectrum, windows.energy, white, signs)
        amplitude = amplitude * (double[best] * (height > limit) / sums)[:, None]
        if not amplitude.any():
            break
        phase = np.exp(2j * np.pi * grid[quick][best] @ index.T)
        parts -= _laid(amplitude, phase, windows.masks)
        back = np.linalg.inv(white[best]) / level[best, None, None]
        code = np.einsum("wij,wj->wi", back, amplitude)
        code *= np.abs(code).max(1, keepdims=True) < TOO_LOUD_HERE
        believed += int(code.any(axis=1).sum())
        total += _laid(code, phase, windows.masks)
    return windows.join(total) * zone.inside, PRICE * believed


def _of_colours(
    spectrum: NDArray[np.complex128], energy: Floats, white: Floats, signs: Floats
) -> tuple[Floats, NDArray[np.intp], NDArray[np.complex128]]:
    """Best frequency and signs of each window: height of its peak ``(W,)``, its bin, whitened colours ``(W, C)``."""
    rows = np.arange(len(spectrum))
    height, best = np.zeros(len(spectrum)), np.zeros(len(spectrum), np.intp)
    colours = np.zeros(spectrum.shape[:2], np.complex128)
    for sign in signs:
        toward = white @ sign
        norm = np.square(toward).sum(1)
        fit = np.einsum("wcf,fc->wf", spectrum, toward)
        power = np.square(np.abs(fit)) / norm / energy[:, None]
        peak = power.argmax(1)
        higher = power[rows, peak] > height
        height, best = np.where(higher, power[rows, peak], height), np.where(higher, peak, best)
        own = (fit[rows, peak] / norm[peak])[:, None] * toward[peak]
        colours = np.where(higher[:, None], own, colours)
    return height, best, colours


def window_levels(power: Floats, energy: Floats) -> Floats:
    """How loud texture is in each window against the whole case, ``(W,)``: a median, which gratings do not move.

    Args:
        power: of the whitened windows, ``(W, *window)``.
        energy: of their weights, ``(W,)``.
    """
    quick = may_be(grid_of(power.shape[1:]))
    median = np.median(power[:, quick], axis=1) / energy
    level: Floats = np.maximum(median / math.log(2), 0.5)
    return level


def _laid(colours: NDArray[np.complex128], phase: NDArray[np.complex128], masks: Floats) -> Floats:
    """Waves ``(W, C, *window)`` of colours ``(W, C)`` and phases ``(W, pixels)``, tapered and masked."""
    waves = (colours[:, :, None] * phase[:, None, :]).real
    laid: Floats = waves.reshape(*colours.shape, *masks.shape[1:]) * masks[:, None]
    return laid
