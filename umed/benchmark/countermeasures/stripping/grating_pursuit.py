# SPDX-License-Identifier: Apache-2.0
"""Matched filter for a whole ROI: gratings of any frequency, phase and colour, fitted together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from umed.benchmark.countermeasures.stripping.known_families import loudest, may_be
from umed.benchmark.countermeasures.stripping.shaping import GAINS, Likelihood, parts_of
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, grid_of
from umed.networks.secret_carriers import CarrierFamily

MOST = 12
"""Gratings of a whole ROI."""
TOO_LOUD = 1.6
"""Amplitude in units of the bound that no code has; a full square wave has 1.27."""
WORTH = 10.0
"""Nats that a grating must explain to be kept."""


def pursue(zone: Zone, likelihood: Likelihood, families: Sequence[CarrierFamily] = ()) -> Floats:
    """Find the gratings of every class: orthogonal matching pursuit in the whitened image.

    The frequency with the most power over nature, all colours together, joins the list; its place is refined between
    the bins; phases and colours of all gratings are fitted anew by least squares; until the peak is one that nature
    may have. What is fitted louder than any code may be is nature, and stays. The band outside the labels gets the
    gratings of the first class, as strong as they fit there.

    Args:
        zone: the case.
        likelihood: of the case, which holds the whitened image.
        families: that the thief knows; none for any.

    Returns:
        The sum of the gratings ``(C, *zone)`` in units of the bound.
    """
    total, known = np.zeros_like(zone.image), np.zeros((0, zone.dims))
    for value, mask in parts_of(zone).items():
        frequencies = known if value == 0 else _search(mask, likelihood, families)
        if len(frequencies):
            total += _fit(frequencies, mask, likelihood)
            known = frequencies
    return total


def _search(mask: NDArray[np.bool_], likelihood: Likelihood, families: Sequence[CarrierFamily]) -> Floats:
    """Frequencies ``(K, dims)`` of the gratings in a mask."""
    rows, weights = np.argwhere(mask).astype(np.float64), likelihood.weights[mask]
    seen = likelihood.published[:, mask]
    shape = tuple(2 * size for size in mask.shape)
    left, found = seen, np.zeros((0, mask.ndim))
    bins = grid_of(shape)[..., : shape[-1] // 2 + 1, :]
    quick = may_be(bins, families)
    count = max(float(quick.sum()) / 2**mask.ndim, 1.0)
    for _ in range(MOST):
        field = np.zeros((len(left), *mask.shape))
        field[:, mask] = left * weights
        spectrum = np.fft.rfftn(field, s=shape, axes=tuple(range(1, field.ndim)))
        power = np.square(np.abs(spectrum)).sum(0) / weights.sum() * quick
        peak = np.unravel_index(int(power.argmax()), power.shape)
        if power[peak] < loudest(count, len(left)):
            break
        start = np.array([place / size for place, size in zip(peak, shape, strict=True)])
        found = np.vstack([found, _refine(start, rows, left * weights, 1 / np.array(shape))])
        apart = np.abs((bins - found[-1] + 0.5) % 1 - 0.5) * np.array(mask.shape)
        apart = np.minimum(apart, np.abs((bins + found[-1] + 0.5) % 1 - 0.5) * np.array(mask.shape))
        quick = quick & (apart.max(-1) > 1)
        basis = _waves(found, rows)
        left = seen - (basis @ _least_squares(basis, seen, weights)).T
    return found


def _least_squares(basis: Floats, seen: Floats, weights: Floats) -> Floats:
    """Weights ``(2 K, C)`` of waves ``(N, 2 K)`` that explain ``(C, N)``."""
    root = np.sqrt(weights)
    solved: Floats = np.linalg.lstsq(basis * root[:, None], (seen * root).T, rcond=1e-3)[0]
    return solved


def _fit(frequencies: Floats, mask: NDArray[np.bool_], likelihood: Likelihood) -> Floats:
    """Sum of gratings ``(C, *zone)`` in units of the bound, fitted in a mask.

    Every wave is cut by the mask before it is whitened, as a code is; in a thin band its edges are most of it.
    """
    channels = len(likelihood.published)
    around = binary_dilation(mask, iterations=2)
    root = np.sqrt(likelihood.weights[around])
    seen = (likelihood.published[:, around] * root).ravel()
    waves = _waves(frequencies, np.argwhere(mask).astype(np.float64)).T
    fields = np.zeros((len(waves) * channels, channels, *mask.shape))
    for number, wave in enumerate(waves):
        for channel in range(channels):
            fields[number * channels + channel, channel, mask] = wave
    basis = np.stack([(likelihood.white(field)[:, around] * root).ravel() for field in fields], axis=1)
    solved = np.linalg.lstsq(basis, seen, rcond=1e-3)[0].reshape(2, len(frequencies), channels)
    solved *= (np.hypot(solved[0], solved[1]).max(1) < TOO_LOUD)[:, None]
    parts = [solved[:, number].T @ waves[[number, len(frequencies) + number]] for number in range(len(frequencies))]
    return _pruned([part for part in parts if part.any()], mask, likelihood)


def _pruned(parts: list[Floats], mask: NDArray[np.bool_], likelihood: Likelihood) -> Floats:
    """Sum of those gratings ``(C, N)`` which, pushed to the bound together, are worth their parameters; ``(C, *zone)``.

    Nature has peaks, too, which a code at its bound would not explain.
    """
    around = binary_dilation(mask, iterations=2) & likelihood.zone.inside
    channels = len(likelihood.published)

    def laid(chosen: list[Floats]) -> Floats:
        code = np.zeros((channels, *mask.shape))
        if chosen:
            code[:, mask] = np.sum(chosen, axis=0)
        return code

    def cost(chosen: list[Floats]) -> float:
        options = (
            [laid(chosen)] if not chosen else [np.clip(laid(chosen), -1, 1), np.tanh(GAINS[1] * laid(chosen)) * mask]
        )
        least = min(float(likelihood.strangeness(code)[around].sum()) for code in options)
        return 0.5 * channels * least + WORTH * len(chosen)

    without = [cost([other for other in parts if other is not part]) for part in parts]
    order = [parts[number] for number in np.argsort(without)[::-1]]
    return laid(min((order[:count] for count in range(len(order) + 1)), key=cost))


def _waves(frequencies: Floats, rows: Floats) -> Floats:
    """Cosines and sines ``(N, 2 K)`` of frequencies ``(K, dims)`` at places ``(N, dims)``."""
    phase = 2 * np.pi * rows @ frequencies.T
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)


def _refine(frequency: Floats, rows: Floats, left: Floats, step: Floats) -> Floats:
    """Move a frequency to the top of its peak: parabolas along each axis, three rounds of smaller steps."""

    def power(at: Floats) -> float:
        return float(np.square(np.abs(left @ np.exp(-2j * np.pi * (rows @ at)))).sum())

    best = frequency
    for scale in (0.5, 0.25, 0.1):
        for axis in range(len(best)):
            move = np.zeros(len(best))
            move[axis] = scale * step[axis]
            low, middle, high = power(best - move), power(best), power(best + move)
            bend = low - 2 * middle + high
            shift = float(np.clip(0.5 * (low - high) / bend, -1, 1)) if bend < 0 else (1.0 if high > low else -1.0)
            tried = best + shift * move
            best = tried if power(tried) > middle else best
    return best
