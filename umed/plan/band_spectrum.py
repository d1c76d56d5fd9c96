# SPDX-License-Identifier: Apache-2.0
"""The natural spectrum: how loud the images themselves are, by period and by colour, inside the ROI and around it.

A code can be learnt where it is louder than nature in its place of the spectrum. Bands are half an octave wide, and
filters are cosines in log frequency whose squares add up to one, so that nothing leaks from far below, where nature is
loudest. They act on a crop around the ROI that goes on mirrored at its edges (type II cosine transform: no jump, no
window), and the ROI is cut out after filtering: a small ROI blurs no spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from umed.core.ranges import Range, Ranges, is_each, range_of_each

Floats = NDArray[np.float64]
EDGES = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Borders of the bands in px."""
PERIODS = tuple(math.sqrt(a * b) for a, b in zip(EDGES[:-1], EDGES[1:], strict=True))
"""Middle of each band in px; the first takes in all that is finer."""
CORNER = len(PERIODS)
"""Index of one more band: the corner of the spectrum, where the grid's own checkerboard lies."""
_CORNER_WIDTH = 1 / 8
_MOST = {2: 512, 3: 96}
"""Longest edge of a crop in px, by dimensions: a few seconds for a whole sample."""
_FEWEST = 24


def band_name(band: int) -> str:
    """Words for a band, such as ``"4-6 px"``."""
    return "corner" if band == CORNER else f"{EDGES[band]}-{EDGES[band + 1]} px"


@dataclass(frozen=True, eq=False)
class Covariances:
    """Of the channels, in physical units squared; NaN where the ROI is too small for a band.

    Args:
        inside: in the ROI, ``(bands + 1, C, C)`` float64, the last one being the corner's.
        ring: around it.
        extent: root of the ROI's area in px, of a slice for slices; cube root of the volume in 3D.
    """

    inside: Floats
    ring: Floats
    extent: float


@dataclass(frozen=True, eq=False)
class CaseSpectrum:
    """One case as it was measured.

    Args:
        plane: of pictures, or within the slices of a volume.
        solid: of a volume in 3D, ``None`` for pictures.
        percentiles: width of the file's range from 0.5 to 99.5 %, physical.
        whole: width of all that the file's type can hold, ``None`` for floats.
        share: of the image that is labelled.
        border: share of the image that a band of 1 px outside along the ROI's border takes.
        each: the width of each channel's own percentiles, where channels may have ranges of their own; else empty.
        apart: whether each channel is a file, whose percentiles are always its own.
    """

    plane: Covariances
    solid: Covariances | None
    percentiles: float
    whole: float | None
    share: float
    border: float
    each: tuple[float, ...] = ()
    apart: bool = False

    def width(self, value_range: Ranges) -> float | Floats:
        """Width of a plan's range for this case, in physical values; 0 where it has none; of several, ``(C,)``."""
        own = value_range == "percentile" and self.apart and len(self.each) > 1
        if own or is_each(value_range):
            ranges = range_of_each(value_range, len(self.each) or 1, "a case")
            return np.array([self._width(one, width) for one, width in zip(ranges, self.each, strict=False)])
        return self._width(value_range, self.percentiles)  # type: ignore[arg-type]

    def _width(self, value_range: Range, percentiles: float) -> float:
        if not isinstance(value_range, str):
            return value_range[1] - value_range[0]
        return self.whole if value_range == "dtype" and self.whole is not None else percentiles


def responses(shape: Sequence[int]) -> list[Floats]:
    """Amplitude of each band's filter, and of the corner's, for the type II cosine transform of an array.

    Args:
        shape: of the array.

    Returns:
        Arrays ``shape`` in [0, 1]. The squares of all but the corner's sum up to 1 for periods up to 28 px.
    """
    axes = np.meshgrid(*[np.arange(size) / (2 * size) for size in shape], indexing="ij", sparse=True)
    frequency = np.sqrt(sum(np.square(axis) for axis in axes))
    with np.errstate(divide="ignore"):
        place = np.log(frequency)
    middles = [-math.log(period) for period in PERIODS]
    found = []
    for band, middle in enumerate(middles):
        below = middles[band + 1] if band + 1 < len(middles) else 2 * middle - middles[band - 1]
        above = middles[band - 1] if band else math.inf
        rising = np.clip((place - below) / (middle - below), 0, 1)
        falling = np.ones_like(place) if band == 0 else np.clip((above - place) / (above - middle), 0, 1)
        found.append(np.sin(np.pi / 2 * np.minimum(rising, falling)))
    away = np.sqrt(sum(np.square(axis - 0.5) for axis in axes)) / _CORNER_WIDTH
    return [*found, np.cos(np.pi / 2 * np.clip(away, 0, 1))]


def measure_bands(values: NDArray[np.floating], mask: NDArray[np.bool_], extent: float, dims: int) -> Covariances:
    """Covariances of the channels in each band, inside a mask and in a ring around it.

    A period along the border is left out on both sides, inside as far as enough is left: the edge of a lesion is loud,
    but no texture.

    Args:
        values: ``(C, *spatial)``, finite; a stack of slices has them along the first spatial axis.
        mask: ``(*spatial)``, with some voxels.
        extent: of the ROI in px; bands whose shortest period is above half of it are left out.
        dims: spatial axes along which is filtered, the last ones.

    Returns:
        The covariances, in units of the values squared.
    """
    axes = tuple(range(values.ndim - dims, values.ndim))
    spectrum = fft.dctn(values, axes=axes, norm="ortho")
    step = (*[math.inf] * (mask.ndim - dims), *[1.0] * dims)
    sampling = [1.0 if math.isfinite(one) else 1e6 for one in step]  # slices know nothing of each other
    within, away = (ndimage.distance_transform_edt(part, sampling=sampling) for part in (mask, ~mask))
    width = min(max(extent / 4, 4.0), 32.0)
    channels = len(values)
    found = np.full((2, CORNER + 1, channels, channels), np.nan)
    for band, response in enumerate(responses(values.shape[-dims:])):
        shortest = EDGES[band] if band < CORNER else EDGES[0]
        if shortest > extent / 2:
            continue
        filtered = fft.idctn(spectrum * response.astype(values.dtype), axes=axes, norm="ortho")
        rim = PERIODS[band] if band < CORNER else EDGES[0]
        for row, zone in enumerate((_inner(within, rim), (away > rim) & (away <= width + rim))):
            if zone.sum() >= _FEWEST:
                part = filtered[:, zone].astype(np.float64)
                found[row, band] = part @ part.T / part.shape[1]
    return Covariances(found[0], found[1], extent)


def _inner(within: NDArray[np.floating], rim: float) -> NDArray[np.bool_]:
    """The ROI without its rim, as far as a quarter of it stays."""
    mask: NDArray[np.bool_] = within > 0
    for reach in (rim, rim / 2, rim / 4):
        inner: NDArray[np.bool_] = within > reach
        if 4 * inner.sum() >= mask.sum():
            return inner
    return mask


def measure_case(
    values: NDArray[Any],
    labels: NDArray[Any],
    *,
    axis: int | None = None,
    slope: float = 1.0,
    percentiles: float,
    whole: float | None = None,
    each: Sequence[float] = (),
    apart: bool = False,
) -> CaseSpectrum | None:
    """Measure one case.

    Args:
        values: ``(C, *spatial)``, stored or physical; what is not finite counts as their median.
        labels: class of each voxel, ``(*spatial)``.
        axis: axis across the slices of a volume; ``None`` for pictures.
        slope: physical units of one step of the values, positive.
        percentiles: width of the file's own range, physical.
        whole: width of what its type can hold.
        each: width of each channel's own percentiles.
        apart: whether each channel is a file.

    Returns:
        The spectrum; ``None`` where nothing is labelled.
    """
    mask = labels > 0
    number = int(mask.sum())
    if not number:
        return None
    border = int((ndimage.binary_dilation(mask[_around(mask)]) ^ mask[_around(mask)]).sum())
    facts: dict[str, Any] = {"each": tuple(each), "apart": apart}
    facts |= {"percentiles": percentiles, "whole": whole, "share": number / mask.size, "border": border / mask.size}
    if mask.ndim == 2:
        crop = _crop(mask, _MOST[2])
        window = (slice(None), *crop)
        plane = measure_bands(_finite(values[window], slope), mask[crop], math.sqrt(number), 2)
        return CaseSpectrum(plane, None, **facts)
    axis = 0 if axis is None else axis
    values, mask = np.moveaxis(values, axis + 1, 1), np.moveaxis(mask, axis, 0)
    crop = _crop(mask, _MOST[3])
    window = (slice(None), *crop)
    seen, inside = _finite(values[window], slope), mask[crop]
    marked = np.flatnonzero(inside.any(axis=(1, 2)))
    extent = math.sqrt(number / np.count_nonzero(mask.any(axis=(1, 2))))
    plane = measure_bands(seen[:, marked], inside[marked], extent, 2)
    solid = measure_bands(seen, inside, number ** (1 / 3), 3)
    return CaseSpectrum(plane, solid, **facts)


def _around(mask: NDArray[np.bool_], margin: int = 1) -> tuple[slice, ...]:
    """Bounding box with a margin."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(0, p.start - margin), p.stop + margin) for p in box)


def _crop(mask: NDArray[np.bool_], most: int) -> tuple[slice, ...]:
    """The ROI with a margin of two of the longest periods; of a large one a box about the voxel nearest its middle."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    places = np.argwhere(mask[box])
    centre = places[np.square(places - places.mean(0)).sum(1).argmin()]
    margin, found = 2 * EDGES[-1], []
    for part, middle, size in zip(box, centre, mask.shape, strict=True):
        low, high = max(0, part.start - margin), min(size, part.stop + margin)
        if high - low > most:
            low = min(max(low, part.start + int(middle) - most // 2), high - most)
            high = low + most
        found.append(slice(low, high))
    return tuple(found)


def _finite(values: NDArray[Any], slope: float) -> NDArray[np.float32]:
    """Physical values around zero, so that float32 is fine enough."""
    values = values.astype(np.float64)
    good = np.isfinite(values)
    middle = float(np.median(values[good])) if good.any() else 0.0
    return np.where(good, (values - middle) * slope, 0.0).astype(np.float32)


def along(covariance: Floats, signs: Sequence[float]) -> float:
    """Rms of nature along a colour direction, in units of a code's amplitude in each channel.

    For ``x`` and signs ``s`` it is the rms of ``x.s / s.s``: what the mix of channels that adds the code up hears of
    nature. For one channel it is its standard deviation.

    Args:
        covariance: ``(C, C)``, or one of one channel, which then stands for all.
        signs: amplitude of the code in each channel.

    Returns:
        The rms in units of the root of the covariance; NaN where that is unknown.
    """
    direction = np.asarray(signs, np.float64)
    return float(np.sqrt(direction @ covariance @ direction) / (direction @ direction))


def natural_rms(
    spectra: Sequence[CaseSpectrum], signs: Sequence[float], value_range: Ranges, *, solid: bool
) -> tuple[Floats, Floats]:
    """Rms of nature along a colour direction, median over cases, as a share of the plan's range.

    Args:
        spectra: of the cases.
        signs: amplitude of a code in each channel.
        value_range: of the plan: ``"dtype"``, ``"percentile"``, ``"auto"`` or physical values (lo, hi); or one for
            each channel.
        solid: of volumes in 3D, not of their slices.

    Returns:
        Inside the ROI and in the ring around it, ``(bands + 1,)`` each, NaN where unknown.
    """
    rows = []
    for one in spectra:
        found, width = one.solid if solid else one.plane, one.width(value_range)
        if found is not None and np.all(np.asarray(width) > 0) and found.inside.shape[-1] == len(signs):
            shares = np.multiply.outer(width, width) if isinstance(width, np.ndarray) else None
            unit = width if shares is None else 1.0  # else as shares of each channel's own range
            zones = (zone if shares is None else zone / shares for zone in (found.inside, found.ring))
            rows.append([[along(covariance, signs) / unit for covariance in zone] for zone in zones])
    if not rows:
        unknown = np.full(CORNER + 1, np.nan)
        return unknown, unknown
    stacked = np.asarray(rows)
    known = np.isfinite(stacked).any(0)
    middle = np.where(known, np.nanmedian(np.where(known, stacked, 0.0), axis=0), np.nan)
    return middle[0], middle[1]


def median_extent(spectra: Sequence[CaseSpectrum], *, solid: bool) -> float:
    """Median extent of the ROI in px, NaN where there is none."""
    found = [part.extent for part in (one.solid if solid else one.plane for one in spectra) if part is not None]
    return float(np.median(found)) if found else math.nan
