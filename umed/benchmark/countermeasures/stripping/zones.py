# SPDX-License-Identifier: Apache-2.0
"""One published case as a thief sees it: the surroundings of its ROI, and windows of them with their spectra."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from umed.plan.regions import make_regions

Floats = NDArray[np.float64]
HIGH_PASS = 3.0
"""Sigma in pixels of what is taken off first: no code can be louder than nature below that."""
MARGIN = {2: 32, 3: 12}
"""Pixels around the support that are looked at to learn what nature looks like there."""
SIDES = {2: 32, 3: 16}
"""Side of a window in pixels."""


@dataclass(frozen=True, eq=False)
class Zone:
    """Support of one case and its surroundings.

    Args:
        image: ``(C, *zone)`` float64 in units of the bound, so that no code exceeds 1.
        inside: where the case may have been changed, ``(*zone)`` bool.
        labels: class of each pixel, ``(*zone)``.
        box: where the zone lies in the image.
    """

    image: Floats
    inside: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    box: tuple[slice, ...]

    @property
    def dims(self) -> int:
        """2 or 3."""
        return self.inside.ndim


def make_zone(image: NDArray[Any], labels: NDArray[np.uint8], bound: float, radius: float) -> Zone | None:
    """Cut the surroundings of a ROI.

    Args:
        image: ``(C, *spatial)``, any units.
        labels: ``(*spatial)``, 0 is background.
        bound: largest change in the image's units, above 0.
        radius: half width in pixels of the contour band, which may be changed as well.

    Returns:
        The zone, ``None`` where nothing is labelled.
    """
    regions = make_regions(labels, radius=radius, margin=MARGIN[labels.ndim])
    if regions.empty:
        return None
    here = (slice(None), *regions.box)
    crop = image[here].astype(np.float64) / bound
    return Zone(crop, regions.roi, labels[regions.box], regions.box)


def high_pass(field: Floats) -> Floats:
    """Take a Gaussian of :data:`HIGH_PASS` pixels off every channel of ``(C, *zone)``."""
    smooth = np.stack([gaussian_filter(channel, HIGH_PASS, mode="reflect") for channel in field])
    result: Floats = field - smooth
    return result


def passed(frequencies: Floats) -> Floats:
    """Share of a wave that :func:`high_pass` leaves, at least 0.3.

    Args:
        frequencies: cycles a pixel, ``(..., dims)``.
    """
    gain: Floats = 1 - np.exp(-2 * (np.pi * HIGH_PASS) ** 2 * np.square(frequencies).sum(-1))
    return np.maximum(gain, 0.3)


def grid_of(shape: tuple[int, ...]) -> Floats:
    """Frequencies of an FFT in cycles a pixel, ``(*shape, dims)``."""
    return np.stack(np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij"), axis=-1)


def taper_of(side: int, dims: int) -> Floats:
    """Hann window ``(side,) * dims`` without zeros at its edge."""
    line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    taper: Floats = functools.reduce(np.multiply.outer, [line] * dims)
    return taper


@dataclass(frozen=True, eq=False)
class Windows:
    """Overlapping windows of a zone, tapered and masked.

    Args:
        parts: ``(W, C, *window)``, times taper and mask.
        masks: ``(W, *window)``, taper times mask.
        places: index of each window's corner in the padded zone, ``(W, dims)``.
        shape: of the zone.
        side: of a window.
    """

    parts: Floats
    masks: Floats
    places: NDArray[np.int64]
    shape: tuple[int, ...]
    side: int

    @property
    def energy(self) -> Floats:
        """Sum of the squared weights of each window, ``(W,)``."""
        found: Floats = np.square(self.masks).reshape(len(self.masks), -1).sum(1)
        return found

    def join(self, parts: Floats) -> Floats:
        """Put estimates ``(W, C, *window)``, still times taper and mask, together; gives ``(C, *zone)``."""
        dims = len(self.shape)
        padded = tuple(size + 2 * self.side for size in self.shape)
        total, weight = np.zeros((parts.shape[1], *padded)), np.zeros(padded)
        taper = taper_of(self.side, dims)
        for part, mask, corner in zip(parts, self.masks, self.places, strict=True):
            here = tuple(slice(start, start + self.side) for start in corner)
            channels = (slice(None), *here)
            total[channels] += part * taper
            weight[here] += mask * taper
        inner = tuple(slice(self.side, self.side + size) for size in self.shape)
        whole = (slice(None), *inner)
        joined: Floats = total[whole] / np.maximum(weight[inner], 1e-3)
        return joined


def cut_windows(field: Floats, mask: NDArray[np.bool_], side: int, least: float) -> Windows:
    """Cut windows that overlap by half.

    Args:
        field: ``(C, *zone)``.
        mask: what counts, ``(*zone)``.
        side: of a window, even.
        least: share of its tapered energy that must lie in the mask for a window to be kept.
    """
    dims, half = mask.ndim, side // 2
    pads = [(side, side)] * dims
    shape = (side,) * dims
    axes = tuple(range(dims))
    steps = (slice(None, None, half),) * dims
    taper = taper_of(side, dims)
    masks = sliding_window_view(np.pad(mask.astype(np.float64), pads), shape, axis=axes)[steps]
    grid = masks.shape[:dims]
    energies = np.einsum("...i,i->...", masks.reshape(*grid, -1), np.square(taper).ravel())
    kept = energies > max(least, 1e-6) * np.square(taper).sum()
    views = sliding_window_view(np.pad(field, [(0, 0), *pads]), shape, axis=tuple(axis + 1 for axis in axes))
    chosen = (slice(None), *steps)
    parts = np.moveaxis(views[chosen], 0, dims)[kept]
    weights = masks[kept] * taper
    return Windows(parts * weights[:, None], weights, np.argwhere(kept) * half, mask.shape, side)
