# SPDX-License-Identifier: Apache-2.0
"""An image file as flat pictures that Segment Anything can look at, and the label map that its masks go into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.types import Volume
from umed.data.nifti import NiftiHeader
from umed.methods.unseg.colour_pictures import as_colour
from umed.propose.prompts_file import Extent

PERCENTILES = (0.5, 99.5)
"""Of the whole file: black and white of values without a fixed scale. MedSAM (arXiv 2304.12306) takes the same."""


@dataclass(frozen=True, eq=False)
class Planes:
    """A file as pictures.

    Args:
        volume: the file.
        axis: slices are taken along it; ``None`` for flat images.
        turned: whether the first axis is x, as in NIfTI, and not y, as in pictures.
        low: physical value of each channel that is black.
        high: physical value of each channel that is white.
    """

    volume: Volume
    axis: int | None
    turned: bool
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def extent(self) -> Extent:
        """Size as prompts see it."""
        shape = list(self.volume.spatial_shape)
        slices = None if self.axis is None else shape.pop(self.axis)
        width, height = shape if self.turned else shape[::-1]
        return Extent(width, height, slices)

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, height, width)`` in [0, 1].

        Args:
            place: index along the slice axis, ``None`` for flat images.
        """
        values: NDArray[Any] = self.volume.channels
        if self.axis is not None and place is not None:
            values = np.take(values, place, self.axis + 1)
        code = self.volume.encoding
        image = between(values.astype(np.float64) * code.slope + code.inter, self.low, self.high)
        return np.ascontiguousarray(as_colour(image.swapaxes(1, 2) if self.turned else image))

    def put(self, labels: NDArray[np.uint8], place: int | None, mask: NDArray[np.bool_], value: int) -> None:
        """Write a mask ``(height, width)`` of one picture into a label map of the file's grid.

        Args:
            labels: shape of the file, changed in place.
            place: as in :meth:`picture`.
            mask: the mask.
            value: its class.
        """
        part = labels if self.axis is None or place is None else np.moveaxis(labels, self.axis, 0)[place]
        part[mask.T if self.turned else mask] = value


def open_planes(volume: Volume, slice_axis: int) -> Planes:
    """Look at a file as pictures.

    8-bit pictures and 8-bit colour keep their scale, 0 to 255. All else (16 bit, CT, MR, floats) is scaled by its own
    percentiles: the channels of a colour picture together, others each by itself.

    Args:
        volume: the file.
        slice_axis: 0, 1 or 2; only used for volumes.
    """
    header = volume.header
    turned = isinstance(header, NiftiHeader)
    values, code = volume.channels, volume.encoding
    axis = slice_axis if len(volume.spatial_shape) == 3 else None
    colour = header.colours > 1 if isinstance(header, NiftiHeader) else len(values) == 3
    if code.dtype == "|u1" and (colour or not turned):
        return Planes(volume, axis, turned, np.zeros(len(values)), np.full(len(values), 255.0))
    limits = [_limits(part) for part in ([values] * len(values) if colour else values)]
    ends = np.sort(np.array(limits) * code.slope + code.inter, axis=1)
    return Planes(volume, axis, turned, ends[:, 0], ends[:, 1])


def between(physical: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float32]:
    """Physical values ``(C, ...)`` as grey values in [0, 1]; what is no number is black.

    Args:
        physical: the values.
        low: value of each channel that is black.
        high: value of each channel that is white.
    """
    shape = (-1,) + (1,) * (physical.ndim - 1)
    low, high = low.reshape(shape), high.reshape(shape)
    scaled = np.clip((np.nan_to_num(physical, nan=0.0) - low) / np.where(high > low, high - low, 1), 0, 1)
    return np.where(np.isnan(physical), 0, scaled).astype(np.float32)


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    return float(low), float(high)
