# SPDX-License-Identifier: Apache-2.0
"""Where a case may be changed: ROI, contour band and interior, for any number of classes in 2D and 3D.

For each class k with mask ``y_k``: ``band_k = dilate(y_k, r) AND dilate(NOT y_k, r)``; the contour is the union of
all bands, so borders between two classes count. Dilation is exact and Euclidean: a voxel belongs to it if a voxel of
the set lies within r. The work is done on border voxels only, so it costs little on large volumes with small organs.
Paper: arXiv 2403.14250.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from umed.core.errors import ConfigError
from umed.core.types import Regions, Volume
from umed.data.mask_values import present, rank
from umed.plan.planning import Plan

MOST = 32767
"""Largest class number that regions hold."""


def make_regions(
    labels: NDArray[Any],
    *,
    radius: float,
    radius_unit: str = "px",
    spacing: tuple[float, ...] | None = None,
    margin: int = 8,
    slice_axis: int | None = None,
    full: bool = False,
) -> Regions:
    """Split the surroundings of a label map into contour band and interior.

    Args:
        labels: class of each voxel, shape ``(*spatial)``, integers; 0 is background, what is below may never change.
        radius: half width r of the contour band.
        radius_unit: ``"px"`` (voxel steps along every axis) or ``"mm"`` (with ``spacing``).
        spacing: voxel size along each axis in mm, needed for ``"mm"``.
        margin: voxels of context around the support in ``box``.
        slice_axis: axis across which nothing is dilated, for volumes that are treated slice by slice.
        full: whether the whole frame may change, of a volume with a ``slice_axis`` that of each slice with a label; the
            box is then all of it.

    Returns:
        The regions in their bounding box; of size 0 where there is no foreground.

    Raises:
        ConfigError: for a negative radius, an unknown unit or a missing spacing.
    """
    steps = _steps(labels.ndim, radius, radius_unit, spacing, slice_axis)
    found = _bounds(labels)
    if found is None:
        nothing = (slice(0, 0),) * labels.ndim
        empty = np.zeros((0,) * labels.ndim, bool)
        return Regions(labels.shape, nothing, np.zeros(empty.shape, np.int16), empty, empty)
    reach = tuple(int(radius / step + 1e-9) for step in steps)
    box = tuple(slice(0, size) for size in labels.shape) if full else _grow(found, reach, margin, labels.shape)
    inside = labels[box]
    if int(inside.max()) > MOST:
        inside = rank(inside, [value for value in present(inside) if value > 0])
    crop = inside.astype(np.int16)
    ignored = crop < 0 if int(crop.min()) < 0 else None
    np.maximum(crop, 0, out=crop)
    offsets = _ball(reach, steps, radius)
    contour = np.zeros_like(crop, bool)  # in the memory order of the file, as everything that is compared with it
    for value, part in enumerate(ndimage.find_objects(crop), start=1):
        if part is not None:
            grown = _grow(part, reach, 1, crop.shape)
            contour[grown] |= _band(crop[grown] == value, offsets, reach)
    if ignored is not None:
        contour &= ~ignored
    frames = None
    if full:
        others = tuple(axis for axis in range(crop.ndim) if slice_axis is not None and axis != slice_axis)
        frames = np.asarray((crop > 0).any(axis=others, keepdims=True)) if others else np.ones((1,) * crop.ndim, bool)
        frames = frames if ignored is None else frames & ~ignored
    return Regions(labels.shape, box, crop, contour, (crop > 0) & ~contour, frames)


def plan_regions(labels: NDArray[Any], volume: Volume, plan: Plan, margin: int = 8) -> Regions:
    """Regions of a case as its plan has them; the one way in for training, protecting and verifying.

    Args:
        labels: from :func:`umed.data.masks.read_label`.
        volume: the image, for its spacing.
        plan: with ``spatial_dims`` 2 and a ``slice_axis``, volumes are dilated within their slices only.
        margin: voxels of context around the support.

    Returns:
        The regions, with classes numbered as in ``plan.class_values``.

    Raises:
        InputError: for a class that the plan does not know.
    """
    return make_regions(
        rank(labels, plan.class_values),
        radius=plan.radius,
        radius_unit=plan.radius_unit,
        spacing=volume.spacing if volume.unit == "mm" else None,
        margin=margin,
        slice_axis=plan.slice_axis if plan.spatial_dims == 2 and labels.ndim == 3 else None,
        full=plan.support == "full",
    )


def _steps(
    dimensions: int, radius: float, unit: str, spacing: tuple[float, ...] | None, axis: int | None
) -> tuple[float, ...]:
    """Length of one voxel step along each axis, in the unit of the radius."""
    if not (math.isfinite(radius) and radius >= 0):
        raise ConfigError(f"radius: expected a number of at least 0, got {radius}.")
    if unit not in ("px", "mm"):
        raise ConfigError(f"radius_unit: expected 'px' or 'mm', got {unit!r}.")
    if unit == "mm" and spacing is None:
        raise ConfigError("radius_unit: expected 'px' for files that hold no voxel size, got 'mm'. Set radius_unit=px.")
    steps = [1.0] * dimensions if unit == "px" or spacing is None else [float(size) for size in spacing[:dimensions]]
    if axis is not None:
        steps[axis] = math.inf
    return tuple(steps)


def _bounds(labels: NDArray[Any]) -> tuple[slice, ...] | None:
    """Bounding box of the foreground, without a temporary larger than one mask."""
    mask = labels > 0
    bounds = []
    for axis in range(labels.ndim):
        line = np.flatnonzero(mask.any(axis=tuple(other for other in range(labels.ndim) if other != axis)))
        if not line.size:
            return None
        bounds.append(slice(int(line[0]), int(line[-1]) + 1))
    return tuple(bounds)


def _grow(box: tuple[slice, ...], reach: tuple[int, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box with the reach and a margin around it, cut at the edges of the image."""
    return tuple(
        slice(max(0, part.start - grow - margin), min(size, part.stop + grow + margin))
        for part, grow, size in zip(box, reach, shape, strict=True)
    )


def _ball(reach: tuple[int, ...], steps: tuple[float, ...], radius: float) -> NDArray[np.int64]:
    """Offsets ``(n, axes)`` whose length is at most the radius."""
    grids = np.meshgrid(*[np.arange(-grow, grow + 1) for grow in reach], indexing="ij")
    offsets = np.stack([grid.ravel() for grid in grids], axis=1)
    finite = np.array([step if math.isfinite(step) else 0.0 for step in steps])
    ball: NDArray[np.int64] = offsets[((offsets * finite) ** 2).sum(axis=1) <= radius**2 * (1 + 1e-9)]
    return ball


def _band(mask: NDArray[np.bool_], offsets: NDArray[np.int64], reach: tuple[int, ...]) -> NDArray[np.bool_]:
    """``dilate(mask) AND dilate(NOT mask)``.

    The voxel of a set that is nearest to a point outside it always has a face neighbour outside the set, so it is
    enough to dilate the two layers that face each other. Beyond the edge of the image there is neither mask nor
    background.
    """
    if mask.flags.f_contiguous and not mask.flags.c_contiguous:  # NIfTI: walk along memory, not across it
        turned: NDArray[np.bool_] = _band(mask.T, offsets[:, ::-1], reach[::-1]).T
        return turned
    inner = np.zeros(mask.shape, bool)
    outer = np.zeros(mask.shape, bool)
    for axis, grow in enumerate(reach):
        if grow == 0:
            continue  # radius below one step along this axis
        low = tuple(slice(None, -1) if i == axis else slice(None) for i in range(mask.ndim))
        high = tuple(slice(1, None) if i == axis else slice(None) for i in range(mask.ndim))
        differs = mask[low] != mask[high]
        for here in (low, high):
            inner[here] |= differs & mask[here]
            outer[here] |= differs & ~mask[here]
    return (_scatter(inner, offsets, reach) & ~mask) | (_scatter(outer, offsets, reach) & mask)


def _scatter(layer: NDArray[np.bool_], offsets: NDArray[np.int64], reach: tuple[int, ...]) -> NDArray[np.bool_]:
    """Dilate a thin layer by setting every voxel around each of its voxels."""
    padded = tuple(size + 2 * grow for size, grow in zip(layer.shape, reach, strict=True))
    places = np.nonzero(layer)
    flat = np.ravel_multi_index(tuple(place + grow for place, grow in zip(places, reach, strict=True)), padded)
    strides = np.cumprod((1, *padded[:0:-1]))[::-1]
    out = np.zeros(math.prod(padded), bool)
    for shift in offsets @ strides:
        out[flat + shift] = True
    return out.reshape(padded)[tuple(slice(grow, grow + size) for grow, size in zip(reach, layer.shape, strict=True))]
