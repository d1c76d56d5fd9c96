# SPDX-License-Identifier: Apache-2.0
"""DICOM segmentations: BINARY, FRACTIONAL and LABELMAP frames to voxels of their series (PS3.3 A.51, C.8.20, C.8.31).

Every frame is placed by its plane position and orientation, and, where it names its source images, checked against
them; without a position the reference alone decides. A file of which some attribute is missing that has nothing to do
with the pixels is read, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import GeometryError, InputError
from umed.dicom.masks import grids, layers, seg_file
from umed.dicom.masks.grids import Place
from umed.dicom.masks.layers import MOST, Mask
from umed.dicom.masks.seg_file import Frame
from umed.dicom.objects import LIMITS, Limits, Series

_BEYOND, _FREE = 16, 1 << 24
"""A frame may be so many times as large as a slice of its series, or have so many pixels."""


def read(ds: Any, name: str, series: Series, limits: Limits = LIMITS) -> Mask:
    """Voxels of all segments of a segmentation on one series.

    Classes are the segment numbers, or 1, 2, ... where one of them does not fit in int16. Background is, in a label
    map, PixelPaddingValue, a segment described as background (125040, DCM), and 0 unless another segment has it. Notes
    say what was left out. InputError if the file is broken or a frame cannot be decoded; GeometryError if a frame lies
    on another grid, or on another slice than the image that it refers to; but a frame that refers only to images
    outside the series is left out with a note.
    """
    labels, background = seg_file.segments(ds, name)
    rows, columns = int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)
    frames = seg_file.frames(ds, name)
    if not 0 < rows * columns * len(frames) <= limits.pixels_bytes * 8:
        raise InputError(
            f"{name}: expected 1 to {limits.pixels_bytes * 8} voxels, got {len(frames)} frames of {rows} x {columns}. "
            "Split the segmentation."
        )
    shape = series.geometry.shape if series.geometry else (len(series.slices), *series.instances[0].shape[1:])
    if rows * columns > max(_BEYOND * shape[1] * shape[2], _FREE):  # before a frame is unpacked
        raise _misfit(frames, name, series)
    placed, absent = _place(frames, name, series, (rows, columns))
    if not placed:
        raise _misfit(frames, name, series)
    least = seg_file.threshold(ds, name)
    numbers = {segment: segment for segment in labels}
    if any(not 0 < segment <= MOST for segment in labels):
        numbers = {segment: number for number, segment in enumerate(sorted(labels), start=1)}
    table = _table(numbers, background)
    get = seg_file.reader(ds, name)

    def planes() -> Iterator[tuple[int, NDArray[np.int16]]]:
        for frame, place in placed:
            values = get(frame.index)
            if values.shape != (rows, columns):
                raise InputError(f"{name}: expected frames of {rows} x {columns}, got {values.shape}. Export it again.")
            if frame.segment is None:
                classes = _translate(values, table, name)
            elif frame.segment in numbers:
                classes = (values >= least).astype(np.int16) * np.int16(numbers[frame.segment])
            else:
                raise InputError(f"{name}: expected one of segments {sorted(labels)}, got {frame.segment} in a frame.")
            plane, beyond = grids.put(place, classes, shape[1:])
            if beyond:
                raise _misfit([frame], name, series)
            for k in place.slices:
                yield k, plane

    notes = []
    if absent:
        notes.append(f"{name}: {absent} frames on slices that are not in {series.id} were left out")
    classes = {numbers[segment]: label for segment, label in labels.items()}
    return layers.build(name, classes, shape, _by_slice(planes()), notes)


def _by_slice(planes: Iterator[tuple[int, NDArray[np.int16]]]) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Join planes that follow each other on the same slice, so that each slice is packed once."""
    for k, group in groupby(planes, key=itemgetter(0)):
        yield k, reduce(np.maximum, (plane for _, plane in group))


def _place(
    frames: list[Frame], name: str, series: Series, size: tuple[int, int]
) -> tuple[list[tuple[Frame, Place]], int]:
    """Frames with their places, in slice order, and how many refer only to images that are not in the series."""
    here: dict[tuple[str, int | None], set[int]] = {}
    for k, (index, number) in enumerate(series.slices):
        uid = series.instances[index].sop_uid
        here.setdefault((uid, number), set()).add(k)
        here.setdefault((uid, None), set()).add(k)
    placed, absent = [], 0
    for frame in frames:
        named = set().union(*(here.get(reference, set()) for reference in frame.references))
        place = None
        if frame.plane is not None and series.geometry is not None:
            place = grids.locate(series.geometry, frame.plane)
        elif named and size == series.instances[0].shape[1:]:
            place = Place(tuple(sorted(named)))
        if place is None:
            if frame.references and not named:
                absent += 1
                continue
            raise _misfit(frames, name, series)
        if named and not named & set(place.slices):
            where = f" ({grids.of_series(series.geometry)})" if series.geometry else ""
            raise GeometryError(
                f"{name}: expected frame {frame.index + 1} on slice {min(named) + 1} of {series.id}, the image that it "
                f"refers to, got the position of slice {place.slices[0] + 1}{where}. Export the segmentation again."
            )
        slices = tuple(k for k in place.slices if k in named) if named else place.slices
        placed.append((frame, Place(slices, place.swap, place.flip, place.corner)))
    return sorted(placed, key=lambda entry: (entry[1].slices, entry[0].index)), absent


def _misfit(frames: list[Frame], name: str, series: Series) -> GeometryError:
    """The error for a segmentation on another grid."""
    planes = [frame.plane for frame in frames if frame.plane is not None]
    if series.geometry is None or not planes:
        rows, columns = series.instances[0].shape[1:]
        got = f"{len(frames)} frames" + (" with positions" if planes else " without position or fitting reference")
        return GeometryError(
            f"{name}: expected frames for {series.id}, {len(series.slices)} images of {rows} x {columns}"
            f"{'' if series.geometry else ' without positions'}, got {got}. Export the segmentation on these images."
        )
    origins = np.unique(np.round([plane.origin for plane in planes], 3), axis=0)
    normal = np.cross(planes[0].row, planes[0].column)
    normal /= max(float(np.linalg.norm(normal)), 1e-12)
    along = np.unique(np.round(origins @ normal, 3))
    step = float(np.median(np.diff(along))) if len(along) > 1 else 0.0
    start = min(planes, key=lambda plane: float(plane.origin @ normal))
    count = [start] * len(along)
    return grids.misfit(name, series.id, series.geometry, grids.of_planes(count, step), "segmentation")


def _table(numbers: dict[int, int], background: set[int]) -> NDArray[np.int32]:
    """Class of each stored value of a label map, -1 where no segment has it."""
    table = np.full(1 << 16, -1, np.int32)
    table[list(background)] = 0
    for segment, number in numbers.items():
        table[segment] = number
    return table


def _translate(values: NDArray[np.integer[Any]], table: NDArray[np.int32], name: str) -> NDArray[np.int16]:
    """Classes of a frame of a label map."""
    classes = table[values]
    if (classes < 0).any():
        unknown = int(values[classes < 0].flat[0])
        raise InputError(f"{name}: expected values of described segments, got {unknown}. Describe it or remove it.")
    found: NDArray[np.int16] = classes.astype(np.int16)
    return found
