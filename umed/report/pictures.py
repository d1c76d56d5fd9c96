# SPDX-License-Identifier: Apache-2.0
"""The three pictures of a case: original, protected, and difference amplified, with the contours drawn as vectors.

Everything is drawn from the files' values through one display range, so that what the eye compares is what was written.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST = 512
"""Most pixels along the longer side of an embedded picture; larger slices are cropped around the ROI, then thinned."""

WARM, COOL = np.array([255.0, 122.0, 24.0]), np.array([36.0, 138.0, 255.0])
NEUTRAL = np.array([24.0, 26.0, 31.0])


@dataclass(frozen=True)
class Picture:
    """One case, ready for the page.

    Args:
        original: PNG as a data URI.
        protected: PNG as a data URI.
        difference: PNG as a data URI; warm is brighter than before, cool is darker, dark is unchanged.
        size: width and height in pixels.
        contour: SVG path along the borders of the classes.
        support: SVG path along the border of ROI and dilated contour.
        factor: how much the difference is amplified, as a multiple of its size on the display range; colours have half
            of it on either side of grey.
        place: which slice this is, in words.
        colour: whether the case has colours, so that the difference is one in each of them.
    """

    original: str
    protected: str
    difference: str
    size: tuple[int, int]
    contour: str
    support: str
    factor: float
    place: str
    colour: bool = False


def draw_case(
    original: NDArray[Any],
    protected: NDArray[Any],
    labels: NDArray[Any],
    support: NDArray[np.bool_],
    *,
    window: tuple[float, float],
    amplitude: float,
    axis: int | None = None,
    rows_first: bool = False,
    first: int = 0,
    of: int = 0,
) -> Picture:
    """Draw a case; of a volume, the slice with the largest ROI.

    Args:
        original: physical values before, ``(C, *spatial)``; three channels are drawn in colour, else the first one.
        protected: physical values after, same shape.
        labels: class of each voxel, ``(*spatial)``.
        support: where the case may have changed, ``(*spatial)``.
        window: physical values drawn as black and white.
        amplitude: physical difference drawn at full colour: the bound.
        axis: axis to slice a volume along; ``None`` takes the last.
        rows_first: whether the first of the other two axes runs down, as in DICOM, and not to the right.
        first: number of a volume's first slice within its series, from 0.
        of: slices of the whole series; 0 for those that are here.

    Returns:
        The pictures and the paths.
    """
    place = "whole image"
    if labels.ndim == 3:
        axis = 2 if axis is None else axis
        others = tuple(i for i in range(3) if i != axis)
        roi = (labels > 0).sum(axis=others)
        index = int(np.argmax(roi))
        place = (
            f"slice {first + index + 1} of {of or labels.shape[axis]} along axis {axis}, the one with the largest ROI"
        )
        original, protected = (np.take(array, index, axis + 1) for array in (original, protected))
        labels, support = (np.take(array, index, axis) for array in (labels, support))
        if not rows_first:  # voxel axes are (x, y, ...): turn them so that x runs to the right, as viewers do
            original, protected = (array.transpose(0, 2, 1) for array in (original, protected))
            labels, support = labels.T, support.T
    box = _crop(support)
    if box != tuple(slice(0, n) for n in labels.shape):
        place += f", cropped to rows {box[0].start + 1}-{box[0].stop}, columns {box[1].start + 1}-{box[1].stop}"
    stride = max(1, -(-max(part.stop - part.start for part in box) // LONGEST))
    view = tuple(slice(part.start, part.stop, stride) for part in box)
    every = (slice(None), *view)
    before, after = (np.asarray(array[every], dtype=np.float64) for array in (original, protected))
    labels, support = labels[view], support[view]
    low, high = window
    difference = (after - before) / (amplitude or 1.0)
    return Picture(
        original=png(_grey_or_colour((before - low) / (high - low))),
        protected=png(_grey_or_colour((after - low) / (high - low))),
        difference=png(_diverging(difference)),
        size=(labels.shape[1], labels.shape[0]),
        contour=outline(labels),
        support=outline(support),
        factor=(high - low) / amplitude / (2 if len(before) == 3 else 1) if amplitude else 0.0,
        place=place,
        colour=len(before) == 3,
    )


def outline(regions: NDArray[Any]) -> str:
    """Trace the borders between regions along the edges of pixels.

    Args:
        regions: ``(rows, columns)`` of any values; a border runs wherever two neighbours differ.

    Returns:
        Data of an SVG path in pixels; empty where all is one region.

    Example:
        >>> outline(np.array([[0, 1], [0, 1]]))
        'M1 0V2'
    """
    parts = []
    for line, start, stop in runs_down(regions[:, 1:] != regions[:, :-1]):
        parts.append(f"M{line + 1} {start}V{stop}")
    for line, start, stop in runs_down((regions[1:] != regions[:-1]).T):
        parts.append(f"M{start} {line + 1}H{stop}")
    return "".join(parts)


def runs_down(border: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Runs of True down each column, as (column, first row, row after the last)."""
    padded = np.zeros((border.shape[0] + 2, border.shape[1]), np.int8)
    padded[1:-1] = border
    change = np.diff(padded, axis=0).T
    starts, stops = np.argwhere(change == 1), np.argwhere(change == -1)
    return [(int(a[0]), int(a[1]), int(b[1])) for a, b in zip(starts, stops, strict=True)]


def _crop(support: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The whole slice, or a square around the support where that fills less than half of its length and width."""
    rows, columns = support.shape
    found = np.argwhere(support)
    if not len(found):
        return slice(0, rows), slice(0, columns)
    low, high = found.min(0), found.max(0) + 1
    side = max(48, round(1.8 * int((high - low).max())))
    if 2 * side > min(rows, columns) and max(rows, columns) <= LONGEST:
        return slice(0, rows), slice(0, columns)
    centre = (low + high) // 2
    starts = [int(np.clip(centre[i] - side // 2, 0, max(0, n - side))) for i, n in enumerate(support.shape)]
    return slice(starts[0], min(rows, starts[0] + side)), slice(starts[1], min(columns, starts[1] + side))


def _grey_or_colour(unit: NDArray[np.float64]) -> NDArray[np.uint8]:
    """``(C, rows, columns)`` in [0, 1] to ``(rows, columns[, 3])`` bytes."""
    chosen = np.moveaxis(unit, 0, -1) if len(unit) == 3 else unit[0]
    return np.rint(255 * np.clip(np.nan_to_num(chosen), 0, 1)).astype(np.uint8)


def _diverging(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Differences as a share of the bound to colours: per channel for RGB, warm and cool else."""
    share = np.clip(np.nan_to_num(share), -1, 1)
    if len(share) == 3:
        return np.rint(127.5 + 127.5 * np.moveaxis(share, 0, -1)).astype(np.uint8)
    size = np.abs(share[0])[..., None]
    mixed: NDArray[np.float64] = NEUTRAL * (1 - size) + np.where(share[0][..., None] > 0, WARM, COOL) * size
    return np.rint(mixed).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> str:
    """A picture of ``(rows, columns[, 3])`` bytes as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
