# SPDX-License-Identifier: Apache-2.0
"""Windows in which networks see an image, so that memory depends on the window and not on the image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from umed.core.types import Regions

SLICES_AT_ONCE = 8
PICTURE_WINDOW = 512
HALO = 4
"""Voxels around what is kept of a window; also the product of the generators' poolings."""


def tiles(
    shape: Sequence[int], window: int, slice_axis: int | None = None
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Cut an image into windows of about the same size, so that memory depends on the window and not on the image.

    Args:
        shape: of the volume or picture.
        window: largest edge of what is seen at once.
        slice_axis: cut into slabs of :data:`SLICES_AT_ONCE` whole slices along this axis instead.

    Yields:
        What the generators see, and the part of it that is kept: without a rim of :data:`HALO` voxels, where a window
        ends inside the image. Windows start at multiples of :data:`HALO`, in step with the generators' poolings.

    Example:
        >>> [(seen[0], kept[0]) for seen, kept in tiles((60,), 48)]
        [(slice(0, 36, None), slice(0, 32, None)), (slice(28, 60, None), slice(32, 60, None))]
    """
    axes = []
    for axis, size in enumerate(shape):
        if slice_axis is not None:
            step, rim = (SLICES_AT_ONCE, 0) if axis == slice_axis else (size, 0)
        elif size <= window:
            step, rim = size, 0
        else:
            count = math.ceil(size / (window - 2 * HALO))
            step, rim = HALO * math.ceil(size / count / HALO), HALO
        starts = range(0, size, step)
        kept = [slice(start, min(start + step, size)) for start in starts]
        axes.append([(slice(max(0, k.start - rim), min(size, k.stop + rim)), k) for k in kept])
    for chosen in itertools.product(*axes):
        yield tuple(seen for seen, _ in chosen), tuple(kept for _, kept in chosen)


def by_windows(
    image: Tensor,
    regions: Regions,
    window: int,
    slice_axis: int | None,
    look: Callable[[tuple[slice, ...]], Tensor],
) -> Tensor:
    """Put a direction together from its windows; those without support stay 0.

    Args:
        image: shape ``(C, *box)``.
        regions: of the same box.
        window: as :func:`tiles` takes it.
        slice_axis: the same.
        look: gives the direction ``(C, ...)`` of what is seen in one window.

    Returns:
        Direction of the image's shape.
    """
    out = torch.zeros_like(image)
    for seen, kept in tiles(image.shape[1:], window, slice_axis):
        if regions.part(kept).support.any():
            inner = (slice(k.start - s.start, k.stop - s.start) for k, s in zip(kept, seen, strict=True))
            target, centre = (slice(None), *kept), (slice(None), *inner)
            out[target] = look(seen)[centre]
    return out
