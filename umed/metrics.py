# SPDX-License-Identifier: Apache-2.0
"""Figures that say how visible and how wide a change is, and how well a network segments. All numpy, lean in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.budget import Budget
from umed.types import Regions, Volume

WINDOW = 7
_BLOCK = 1 << 20
_TILE = 48**3


def squared_error(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Sum of squared differences, taken in blocks; values that are not finite do not count.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape and dtype.
        mask: ``(*spatial)``, voxels that count; all if ``None``.
    """
    total = 0.0
    for part in _blocks(before.shape):
        moved = after[part].astype(np.float64)
        with np.errstate(invalid="ignore"):
            moved -= before[part]
        if mask is not None:
            moved = moved[:, mask[part[1:]]]
        total += float(np.square(moved[np.isfinite(moved)]).sum())
    return total


def psnr(before: NDArray[Any], after: NDArray[Any], *, peak: float, mask: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB; infinite where nothing differs.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
        peak: width of the range in stored values (``Budget.peak``).
        mask: ``(*spatial)``, for PSNR inside a region; all if ``None``.
    """
    count = before.size if mask is None else int(mask.sum()) * before.shape[0]
    error = squared_error(before, after, mask)
    return _decibel(error, count, peak)


def ssim(before: NDArray[Any], after: NDArray[Any], *, peak: float, low: float = 0.0) -> float:
    """Mean structural similarity with a uniform window, as ``skimage.metrics.structural_similarity`` computes it.

    Only windows around changed voxels are looked at; all others count as exactly 1. Wang et al. 2004,
    doi:10.1109/TIP.2003.819861.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
        peak: width of the range in stored values.
        low: taken off first, so that luminance starts at the range's lower end.

    Returns:
        Mean over voxels whose window lies in the image, and over channels. The window shrinks for axes below 7 voxels.
    """
    shape = before.shape[1:]
    window = tuple(min(WINDOW, size - 1 + size % 2) for size in shape)
    pads = tuple(size // 2 for size in window)
    inner = tuple(slice(pad, size - pad) for pad, size in zip(pads, shape, strict=True))
    count = math.prod(part.stop - part.start for part in inner)
    lost = 0.0
    for old, new in zip(before, after, strict=True):
        box = _changed_box(old, new)
        if box is None:
            continue
        seen = tuple(
            slice(max(part.start - pad, clip.start), min(part.stop + pad, clip.stop))
            for part, pad, clip in zip(box, pads, inner, strict=True)
        )
        for block in _tiles(tuple(part.stop - part.start for part in seen)):
            here = tuple(slice(s.start + b.start, s.start + b.stop) for s, b in zip(seen, block, strict=True))
            lost += _dissimilarity(old, new, here, window, peak, low)
    return float(1.0 - lost / (count * len(before)))


def measure(volume: Volume, stored: NDArray[Any], regions: Regions, budget: Budget) -> dict[str, Any]:
    """All figures of one changed file, ready for the manifest.

    Args:
        volume: the source.
        stored: new stored values.
        regions: of the case; "ROI" is the support, that is the labelled area and the dilated contour.
        budget: of the file.

    Returns:
        ``epsilon_steps`` (``None`` for float files), ``bound_stored``, ``psnr``, ``psnr_roi`` (dB, ``None`` if
        infinite), ``ssim``, ``roi_share``, ``voxels_changed``, ``largest_step`` (stored values).
    """
    box = (slice(None), *regions.box)
    before = volume.channels[box]
    after = replace(volume, stored=stored)
    crop = after.channels[box]
    support = regions.support
    error = squared_error(before, crop, support)
    similar = 1.0 if regions.empty else ssim(volume.channels, after.channels, peak=budget.peak, low=budget.low)
    return {
        "epsilon_steps": budget.steps,
        "bound_stored": budget.bound_stored,
        "psnr": _finite(_decibel(error, volume.channels.size, budget.peak)),
        "psnr_roi": _finite(_decibel(error, int(support.sum()) * before.shape[0], budget.peak)),
        "ssim": similar,
        "roi_share": roi_share(regions),
        "voxels_changed": voxels_changed(before, crop),
        "largest_step": largest_step(before, crop),
    }


def roi_share(regions: Regions) -> float:
    """Share of the image that lies in the support (labelled area and dilated contour)."""
    return int(regions.support.sum()) / math.prod(regions.shape)


def voxels_changed(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Number of voxels of which any channel differs.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
    """
    return sum(int(different(before[part], after[part]).any(axis=0).sum()) for part in _blocks(before.shape))


def largest_step(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Largest absolute change in stored values.

    Args:
        before: stored values ``(C, *spatial)``.
        after: same shape.
    """
    largest = 0.0
    for part in _blocks(before.shape):
        moved = different(before[part], after[part])
        if moved.any():
            step = after[part][moved].astype(np.float64) - before[part][moved].astype(np.float64)
            largest = max(largest, float(np.abs(step).max()))
    return largest


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


def dice(prediction: NDArray[Any], label: NDArray[Any], classes: Sequence[int]) -> dict[int, float]:
    """Dice similarity coefficient of each class; NaN where a class is in neither map.

    Args:
        prediction: predicted classes, integers.
        label: true classes, same shape.
        classes: class numbers to score.

    >>> import numpy as np
    >>> dice(np.array([0, 1, 1]), np.array([0, 0, 1]), [1])
    {1: 0.6666666666666666}
    """
    scores = {}
    for value in classes:
        ours, theirs = prediction == value, label == value
        total = int(ours.sum()) + int(theirs.sum())
        scores[int(value)] = 2 * int((ours & theirs).sum()) / total if total else math.nan
    return scores


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


def _dissimilarity(
    old: NDArray[Any], new: NDArray[Any], here: tuple[slice, ...], window: tuple[int, ...], peak: float, low: float
) -> float:
    """Sum of ``1 - SSIM`` over the voxels ``here``, whose windows lie in the image."""
    around = tuple(slice(p.start - size // 2, p.stop + size // 2) for p, size in zip(here, window, strict=True))
    x, y = (a[around].astype(np.float64) for a in (old, new))
    for values in (x, y):
        values -= low
        if old.dtype.kind == "f":
            np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis, size in enumerate(window):
            values = _running_sum(values, axis, size)
        return values / math.prod(window)

    voxels = math.prod(window)
    unbiased = voxels / (voxels - 1) if voxels > 1 else 1.0
    mean_x, mean_y = mean(x), mean(y)
    spread = unbiased * (mean(x * x) + mean(y * y) - mean_x**2 - mean_y**2)
    shared = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    score = ((2 * mean_x * mean_y + c1) * (2 * shared + c2)) / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))
    return float((1 - score).sum())


def _running_sum(values: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    """Sum over every whole window along one axis, by doubling: 4 additions for a window of 7."""
    length = values.shape[axis] - size + 1

    def shifted(array: NDArray[np.float64], start: int, count: int) -> NDArray[np.float64]:
        return array[(slice(None),) * axis + (slice(start, start + count),)]

    total: NDArray[np.float64] | None = None
    power, width, done = values, 1, 0
    while True:
        if size & width:
            part = shifted(power, done, length)
            total = part if total is None else total + part
            done += width
        if 2 * width > size:
            assert total is not None
            return total
        count = power.shape[axis] - width
        power = shifted(power, 0, count) + shifted(power, width, count)
        width *= 2
