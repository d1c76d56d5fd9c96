# SPDX-License-Identifier: Apache-2.0
"""Where a plane of another file lies on the grid of a series: exactly on its voxels, or an error.

Nothing is ever resampled. A plane of a segmentation or of a NIfTI label is accepted when each of its pixel centres
falls on a voxel centre of one slice: its axes may be swapped or reversed, it may be a part of the slice or reach
beyond it, and slices may come in any order; everything else is another grid. All coordinates are millimetres in the
patient's LPS system (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import GeometryError
from umed.dicom.objects import Geometry

TOLERANCE = 0.1
"""How far, in voxels along each axis, two grids may lie apart and still count as the same; as for NIfTI labels."""
_UNIT = 1e-3  # how far direction cosines of a plane may be off before any corner is looked at

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MaskPlane:
    """A plane of pixels in space.

    Args:
        origin: ``(3,)`` centre of its first pixel.
        row: ``(3,)`` from a pixel to the one with the next row index.
        column: ``(3,)`` from a pixel to the one with the next column index.
        shape: rows and columns.
    """

    origin: Vector
    row: Vector
    column: Vector
    shape: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a plane lies on a series.

    Args:
        slices: slice numbers; more than one where a series has several slices at one position.
        swap: whether rows and columns change places; comes first.
        flip: whether rows, columns are reversed; after the swap.
        corner: row and column of the slice on which the first pixel then lies; may be negative.
    """

    slices: tuple[int, ...]
    swap: bool = False
    flip: tuple[bool, bool] = (False, False)
    corner: tuple[int, int] = (0, 0)


def locate(geometry: Geometry, plane: MaskPlane) -> Place | None:
    """Find the slice, or slices, of a series whose voxels a plane lies on.

    ``None`` when it lies between voxels or slices, is rotated, or has another spacing.
    """
    normal, inverse = geometry.normal, geometry.to_pixels
    matrix = inverse @ np.stack([plane.row, plane.column], axis=1)
    whole = np.rint(matrix)
    reach = np.array(plane.shape) - 1
    signed = (np.abs(whole).sum(axis=0) == 1).all() and (np.abs(whole).sum(axis=1) == 1).all()
    if not signed or not (np.abs(matrix - whole) @ np.maximum(reach, 1) <= TOLERANCE).all():
        return None
    lean = np.abs([normal @ plane.row, normal @ plane.column]) @ reach
    apart = (plane.origin - geometry.positions) @ normal
    near = np.flatnonzero(np.abs(apart) + lean <= TOLERANCE * geometry.step)
    if not near.size:
        return None
    closest = np.abs(apart[near]).min()
    near = near[np.abs(apart[near]) <= closest + _UNIT * geometry.step]
    swap = bool(abs(whole[0, 1]) == 1)
    first = inverse @ (plane.origin - geometry.positions[near[0]])
    corner = np.rint(first)
    if not (np.abs(first - corner) <= TOLERANCE).all():
        return None
    ends = whole @ reach  # a reversed axis starts at its last pixel
    begin = np.minimum(corner, corner + ends).astype(int)
    return Place(
        tuple(int(number) for number in near),
        swap,
        (bool(whole[0].sum() < 0), bool(whole[1].sum() < 0)),
        (int(begin[0]), int(begin[1])),
    )


def put(place: Place, plane: NDArray[np.int16], shape: tuple[int, int]) -> tuple[NDArray[np.int16], int]:
    """Lay the classes of a plane onto a slice of ``shape``, where :func:`locate` has placed it.

    Gives the classes of the slice, ``(rows, columns)``, and how many foreground pixels fell beyond it.
    """
    if place.swap:
        plane = plane.T
    plane = plane[:: -1 if place.flip[0] else 1, :: -1 if place.flip[1] else 1]
    if plane.shape == shape and place.corner == (0, 0):
        return plane, 0
    out = np.zeros(shape, np.int16)
    target, source = [], []
    for begin, size, room in zip(place.corner, plane.shape, shape, strict=True):
        low, high = max(begin, 0), max(min(begin + size, room), 0)
        target.append(slice(low, max(high, low)))
        source.append(slice(low - begin, max(high, low) - begin))
    inside = plane[tuple(source)]
    out[tuple(target)] = inside
    return out, int(np.count_nonzero(plane)) - int(np.count_nonzero(inside))


def planes(affine: NDArray[np.float64], shape: tuple[int, int, int], normal: Vector) -> tuple[int, list[MaskPlane]]:
    """Cut a volume into planes along the axis that leads across the slices of a series.

    ``affine`` takes voxel index to LPS, ``normal`` ``(3,)`` is that of the slices. Gives the number of that axis, and
    the plane of each index along it; its rows and columns are the two other axes in order.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    axis = int(np.argmax(np.abs(normal @ affine[:3, :3]) / np.maximum(lengths, 1e-12)))
    row, column = (number for number in range(3) if number != axis)
    origins = affine[:3, 3] + np.arange(shape[axis])[:, None] * affine[:3, axis]
    made = [MaskPlane(origin, affine[:3, row], affine[:3, column], (shape[row], shape[column])) for origin in origins]
    return axis, made


def describe(shape: tuple[int, ...], spacing: tuple[float, ...], origin: Vector, directions: Vector) -> str:
    """Geometry in words for a message: slices, rows, columns; their spacing in mm; LPS origin; direction cosines."""
    sizes = " x ".join(f"{size:.4g}" for size in spacing)
    place = ", ".join(f"{value:.6g}" for value in origin)
    axes = "; ".join(", ".join(f"{value + 0.0:.3g}" for value in axis) for axis in np.round(directions, 4))
    return f"shape {tuple(int(size) for size in shape)}, spacing {sizes} mm, origin ({place}), directions [{axes}]"


def of_series(geometry: Geometry) -> str:
    """Geometry of a series in words for a message."""
    return describe(geometry.shape, geometry.spacing, geometry.positions[0], geometry.orientation)


def of_planes(found: list[MaskPlane], step: float) -> str:
    """Geometry of a stack of planes, ``step`` mm apart, in words for a message."""
    first = found[0]
    sizes = tuple(float(np.linalg.norm(axis)) for axis in (first.row, first.column))
    units = [axis / max(size, 1e-12) for axis, size in zip((first.column, first.row), reversed(sizes), strict=True)]
    return describe((len(found), *first.shape), (step, *sizes), first.origin, np.stack(units))


def misfit(name: str, series: str, expected: Geometry, got: str, what: str = "mask") -> GeometryError:
    """The error for a mask that lies on another grid than its series, whose geometry ``got`` says in words."""
    return GeometryError(
        f"{name}: expected a {what} on the grid of {series}, {of_series(expected)}, got {got}. Resample it onto the "
        "series (nearest neighbour) where it was made, or give the mask that belongs to this series."
    )
