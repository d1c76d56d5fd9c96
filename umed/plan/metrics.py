# SPDX-License-Identifier: Apache-2.0
"""Figures that say how visible and how wide a change is, and how well a network segments. All numpy, lean in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.types import Regions, Volume
from umed.plan.budget import Budget, to_unit
from umed.plan.colour_difference import ColourDifference

WINDOW = 7
_BLOCK = 1 << 20
_TILE = 24**3


def squared_error(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Sum of squared differences; values that are not finite do not count.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape and dtype.
        mask: ``(*spatial)``, voxels that count; all if ``None``.
    """
    return math.fsum(_squares(inside) for _, inside, _ in _steps(before, after, mask))


def ssim(before: NDArray[Any], after: NDArray[Any], *, peak: float, low: float = 0.0, window: int = WINDOW) -> float:
    """Mean structural similarity with a uniform window, as ``skimage.metrics.structural_similarity`` computes it.

    Only windows that hold a changed voxel are computed; all others count as exactly 1, which they are. Wang et al.
    2004, doi:10.1109/TIP.2003.819861.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape and dtype.
        peak: width of the range in stored values.
        low: taken off first, so that luminance starts at the range's lower end.
        window: its edge in voxels, odd; it shrinks for shorter axes.

    Returns:
        Mean over voxels whose window lies in the image, and over channels.
    """
    lost, count = 0.0, 0
    for old, new in zip(before, after, strict=True):
        if old.flags.f_contiguous:
            old, new = old.T, new.T  # the figure is the same, and tiles are then copied along memory
        edges = tuple(min(window, size - 1 + size % 2) for size in old.shape)
        pads = tuple(size // 2 for size in edges)
        inner = tuple(slice(pad, size - pad) for pad, size in zip(pads, old.shape, strict=True))
        count += math.prod(part.stop - part.start for part in inner)
        box = _changed_box(old, new)
        if box is None:
            continue
        seen = tuple(
            slice(max(part.start - pad, clip.start), min(part.stop + pad, clip.stop))
            for part, pad, clip in zip(box, pads, inner, strict=True)
        )
        for tile in _tiles(tuple(part.stop - part.start for part in seen)):
            around = tuple(
                slice(s.start + t.start - pad, s.start + t.stop + pad)
                for s, t, pad in zip(seen, tile, pads, strict=True)
            )
            if different(old[around], new[around]).any():
                lost += _dissimilarity(old[around], new[around], edges, peak, low)
    return float(1.0 - lost / count)


def measure(
    volume: Volume, stored: NDArray[Any], regions: Regions, budget: Budget, *, slice_axis: int | None = None
) -> dict[str, Any]:
    """All figures of one changed file, ready for the manifest.

    Args:
        volume: the source.
        stored: new stored values.
        regions: of the case; "ROI" is the labelled area and the dilated contour, also where the whole frame may change.
        budget: of the file.
        slice_axis: axis across which a volume is looked at slice by slice, the last if ``None``.

    Returns:
        ``epsilon_steps`` (``None`` for float files), ``bound_stored``, ``psnr``, ``psnr_roi`` (dB, ``None`` if
        infinite), ``ssim``, ``roi_share``, ``voxels_changed``, ``largest_step`` (stored values), and the figures of
        :meth:`umed.plan.colour_difference.ColourDifference.to_dict`, for the range as a display shows it. Where
        channels have ranges of their own, the peak of each is its own range, PSNR is pooled over channels as shares of
        them, steps and bound are those of the channel that comes nearest to its bound, and ``channels`` holds
        ``range`` (physical), ``epsilon_steps``, ``bound_stored``, ``psnr``, ``psnr_roi`` and ``largest_step`` of each.
    """
    box = (slice(None), *regions.box)
    before = volume.channels[box]
    after = replace(volume, stored=stored)
    crop = after.channels[box]
    roi = regions.roi
    error, error_roi, largest, changed = _sums(before, crop, roi)
    peak, each = budget.peak, list[dict[str, Any]]()
    if budget.channels:
        sums = [_sums(before[i : i + 1], crop[i : i + 1], roi) for i in range(len(before))]
        sizes = math.prod(volume.spatial_shape), int(roi.sum())
        each = [_of_channel(found, one, sizes) for found, one in zip(sums, budget.channels, strict=True)]
        error, error_roi = (
            math.fsum(found[i] / one.peak**2 for found, one in zip(sums, budget.channels, strict=True)) for i in (0, 1)
        )
        peak = 1.0
    similar = 1.0 if regions.empty else _similar(volume, after, budget)
    seen = ColourDifference()
    if not regions.empty:
        seen.add(
            volume.channels,
            after.channels,
            roi,
            regions.box,
            lambda values: to_unit(values, volume.encoding, budget),
            axis=slice_axis,
            colour=volume.unit == "px" and volume.channels_last and len(before) == 3,
        )
    nearest = max(each, key=lambda one: one["largest_step"] / one["bound_stored"], default=None)
    steps, bound = (
        (budget.steps, budget.bound_stored) if nearest is None else (nearest["epsilon_steps"], nearest["bound_stored"])
    )
    return {
        "epsilon_steps": steps,
        "bound_stored": bound,
        "psnr": _finite(_decibel(error, volume.channels.size, peak)),
        "psnr_roi": _finite(_decibel(error_roi, int(roi.sum()) * before.shape[0], peak)),
        "ssim": similar,
        **seen.to_dict(),
        "roi_share": roi_share(regions),
        "voxels_changed": changed,
        "largest_step": largest if nearest is None else nearest["largest_step"],
        **({"channels": each} if each else {}),
    }


def _sums(before: NDArray[Any], after: NDArray[Any], roi: NDArray[np.bool_]) -> tuple[float, float, float, int]:
    """Squared error in all and in the ROI, largest step, and number of voxels of which any channel differs."""
    error = error_roi = largest = 0.0
    changed = 0
    for steps, inside, voxels in _steps(before, after, roi):
        error, error_roi = error + _squares(steps), error_roi + _squares(inside)
        largest, changed = max(largest, _largest(steps)), changed + voxels
    return error, error_roi, largest, changed


def _of_channel(found: tuple[float, float, float, int], budget: Budget, sizes: tuple[int, int]) -> dict[str, Any]:
    """Figures of one channel with a range of its own; ``sizes`` are its voxels in all and in the ROI."""
    return {
        "range": list(budget.unit_range),
        "epsilon_steps": budget.steps,
        "bound_stored": budget.bound_stored,
        "psnr": _finite(_decibel(found[0], sizes[0], budget.peak)),
        "psnr_roi": _finite(_decibel(found[1], sizes[1], budget.peak)),
        "largest_step": found[2],
    }


def _similar(before: Volume, after: Volume, budget: Budget) -> float:
    """SSIM; where channels have ranges of their own, the mean of theirs."""
    old, new = before.channels, after.channels
    if not budget.channels:
        return ssim(old, new, peak=budget.peak, low=budget.low)
    each = [ssim(old[i : i + 1], new[i : i + 1], peak=b.peak, low=b.low) for i, b in enumerate(budget.channels)]
    return sum(each) / len(each)


def roi_share(regions: Regions) -> float:
    """Share of the image that lies in the labelled area and the dilated contour."""
    return int(regions.roi.sum()) / math.prod(regions.shape)


def voxels_changed(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Number of voxels of which any channel differs.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
    """
    return sum(voxels for _, _, voxels in _steps(before, after))


def largest_step(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Largest absolute change in stored values; infinite where a value became NaN or was it.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
        mask: ``(*spatial)``, voxels that count; all if ``None``.
    """
    return max((_largest(inside) for _, inside, _ in _steps(before, after, mask)), default=0.0)


def different(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ in any bit, so that NaN equals the same NaN.

    Args:
        before: any shape.
        after: same shape and dtype.
    """
    if before.dtype.kind == "f":
        whole = np.dtype(f"u{before.dtype.itemsize}").newbyteorder(before.dtype.byteorder)
        before, after = before.view(whole), after.view(whole)
    result: NDArray[np.bool_] = before != after
    return result


def _steps(
    before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], int]]:
    """Block by block: all differences, those inside the mask, and the number of voxels that differ.

    Nothing is computed for values that do not differ, and memory is read in the order in which it lies.
    """
    for part in _blocks(before.shape):
        old, new = before[part], after[part]
        moved = different(old, new)
        voxels = int(moved.any(axis=0).sum() if len(moved) > 1 else moved.sum())
        inside = None if mask is None else np.broadcast_to(mask[part[1:]], moved.shape)
        if np.argmax(old.strides) > 0:  # Fortran order, as NIfTI has it
            old, new, moved, inside = old.T, new.T, moved.T, None if inside is None else inside.T
        steps = new[moved].astype(np.float64)
        with np.errstate(invalid="ignore"):
            steps -= old[moved]
        yield steps, steps if inside is None else steps[inside[moved]], voxels


def _squares(steps: NDArray[np.float64]) -> float:
    return float(np.square(steps[np.isfinite(steps)]).sum())


def _largest(steps: NDArray[np.float64]) -> float:
    return float(np.nan_to_num(np.abs(steps), nan=np.inf, posinf=np.inf).max(initial=0.0))


def _decibel(error: float, count: int, peak: float) -> float:
    return 10 * math.log10(peak**2 * count / error) if error and count else math.inf


def _finite(value: float) -> float | None:
    """JSON has no infinity: an image without any change has no PSNR."""
    return value if math.isfinite(value) else None


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut an array of this shape along its last axis into parts of about a million values."""
    if 0 in shape:
        return
    step = max(1, _BLOCK // max(1, math.prod(shape[:-1])))
    before = tuple(slice(0, size) for size in shape[:-1])
    for start in range(0, shape[-1], step):
        yield (*before, slice(start, min(start + step, shape[-1])))


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut a grid into tiles that stay in the processor's cache."""
    edge = round(_TILE ** (1 / len(shape)))
    for corner in itertools.product(*(range(0, size, edge) for size in shape)):
        yield tuple(slice(start, min(start + edge, size)) for start, size in zip(corner, shape, strict=True))


def _changed_box(old: NDArray[Any], new: NDArray[Any]) -> tuple[slice, ...] | None:
    """Bounding box of all differences."""
    lines = [np.zeros(size, bool) for size in old.shape]
    for part in _blocks(old.shape):
        moved = different(old[part], new[part])
        if not moved.any():
            continue
        for axis, line in enumerate(lines):
            others = tuple(other for other in range(moved.ndim) if other != axis)
            line[part[axis]] |= moved.any(axis=others)
    if not lines[0].any():
        return None
    found = [np.flatnonzero(line) for line in lines]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in found)


def _dissimilarity(old: NDArray[Any], new: NDArray[Any], window: tuple[int, ...], peak: float, low: float) -> float:
    """Sum of ``1 - SSIM`` over all whole windows of a tile.

    With ``d = y - x`` and ``v = var(d)`` it is ``v / B + (1 - v / B) * mean(d)^2 / A``, where ``A`` and ``B`` are the
    factors of SSIM's denominator: exactly 0 where nothing changed, no cancelling where little did, four sums a window.
    """
    x, y, offset = _centred(old, new, low)
    d = y - x
    most, step = (max(float(values.max()), -float(values.min())) for values in (np.stack((x, y)), d))
    voxels = math.prod(window)
    small = _narrow(d, voxels * step**2)
    sum_dd = _window_sums(small * small, window)
    where = sum_dd != 0
    if not where.any():
        return 0.0
    wide_x, wide_y = (_narrow(values, 2 * voxels * most**2) for values in (x, y))
    sums = (
        _window_sums(_narrow(x, voxels * most), window),
        _window_sums(_narrow(d, voxels * step), window),
        sum_dd,
        _window_sums(wide_x * wide_x + wide_y * wide_y, window),
    )
    mean_x, mean_d, mean_dd, mean_xxyy = (total[where].astype(np.float64) / voxels for total in sums)
    mean_y = mean_x + mean_d
    unbiased = voxels / (voxels - 1) if voxels > 1 else 1.0
    spread = unbiased * (mean_xxyy - mean_x**2 - mean_y**2) + (0.03 * peak) ** 2
    light = (mean_x + offset) ** 2 + (mean_y + offset) ** 2 + (0.01 * peak) ** 2
    share = unbiased * (mean_dd - mean_d**2) / spread
    return float((share + (1 - share) * mean_d**2 / light).sum())


def _centred(old: NDArray[Any], new: NDArray[Any], low: float) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Both tiles as small numbers around 0, and what must be added so that the range's lower end is 0."""
    if old.dtype.kind in "iu" and old.dtype.itemsize <= 2:
        middle = (int(old.min()) + int(old.max())) // 2
        x, y = (np.subtract(values, middle, dtype=np.int32, order="C") for values in (old, new))
        return x, y, middle - low
    x, y = (values.astype(np.float64, order="C") for values in (old, new))
    if old.dtype.kind == "f":
        for values in (x, y):
            np.nan_to_num(values, copy=False, nan=low, posinf=low, neginf=low)
    centre = (float(x.min()) + float(x.max())) / 2
    return x - centre, y - centre, centre - low


def _narrow(values: NDArray[Any], bound: float) -> NDArray[Any]:
    """Whole numbers in the fewest bits that hold ``bound``, the most that a sum of them can be; they add exactly."""
    whole = values.dtype.kind == "i"
    dtype = np.int16 if whole and bound < 2**15 else np.int32 if whole and bound < 2**31 else np.float64
    return values.astype(dtype, copy=False)


def _window_sums(values: NDArray[Any], window: tuple[int, ...]) -> NDArray[Any]:
    """Sum over every whole window. The tile is walked as one line, in which a step along an axis is a shift."""
    line, stride = values.ravel(), 1
    for size, length in zip(reversed(window), reversed(values.shape), strict=True):
        line = _running_sum(line, stride, size)
        stride *= length
    sums = np.zeros(values.shape, values.dtype)
    sums.reshape(-1)[: line.size] = line  # windows that reach over an edge are among them, and are cut off here:
    return sums[tuple(slice(0, length - size + 1) for length, size in zip(values.shape, window, strict=True))]


def _running_sum(line: NDArray[Any], stride: int, size: int) -> NDArray[Any]:
    """Sums of ``size`` values that lie ``stride`` apart, by doubling: 4 additions for a window of 7."""
    length = line.size - (size - 1) * stride
    total: NDArray[Any] | None = None
    power, width, done = line, 1, 0
    while True:
        if size & width:
            part = power[done * stride : done * stride + length]
            total = part if total is None else total + part
            done += width
        if 2 * width > size:
            assert total is not None
            return total
        power = power[: power.size - width * stride] + power[width * stride :]
        width *= 2
