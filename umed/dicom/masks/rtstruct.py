# SPDX-License-Identifier: Apache-2.0
"""RT Structure Sets: closed planar contours to voxels (PS3.3 A.19.3, C.8.8.5, C.8.8.6).

A voxel belongs to a contour when its centre lies inside; a centre exactly on an edge belongs to the side of the
growing row or column index, so that contours which share an edge neither overlap nor leave a gap. All closed contours
of one ROI in one plane are combined by exclusive or, which gives holes both for a keyhole contour, for one contour
inside another, and for CLOSEDPLANAR_XOR (C.8.8.6.3). Where a contour lies is decided by its coordinates, not by the
image it refers to; the reference only chooses between several slices at one position, and excuses contours of slices
that are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.dicom.masks import grids, layers
from umed.dicom.masks.attributes import items, several, text
from umed.dicom.masks.layers import Mask
from umed.dicom.objects import Geometry, Series

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_SAME_PLANE = 0.1  # contours closer than this many slice steps are in one plane
_DIGITS = 4  # of a pixel: below what a decimal string of 16 characters holds, above rounding noise


@dataclass(frozen=True, eq=False)
class _Contour:
    points: NDArray[np.float64]  # (n, 3) LPS
    references: frozenset[str]


@dataclass(frozen=True, eq=False)
class _Roi:
    label: str
    external: bool
    contours: list[_Contour]


def _fill_box(
    contours: list[NDArray[np.float64]], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Even-odd fill of closed polygons ``(n, 2)`` of row and column, where whole numbers are voxel centres.

    Gives the box around them, so that many small ones on a large slice stay cheap, and True in it where a voxel centre
    lies inside an odd number of turns.
    """
    rounded = [np.round(points, _DIGITS) for points in contours]
    every = np.concatenate(rounded)
    first = np.clip(np.floor(every.min(axis=0)), 0, shape).astype(np.int64)
    last = np.clip(np.ceil(every.max(axis=0)) + 1, first, shape).astype(np.int64)
    size = last - first
    crossings = np.zeros((size[0], size[1] + 1), np.int32)
    for points in rounded:
        y, x = (points - first).T
        y_next, x_next = np.roll(y, -1), np.roll(x, -1)
        # an edge crosses the rows from its upper end (included) to its lower end (left out)
        low = np.clip(np.ceil(np.minimum(y, y_next)), 0, size[0]).astype(np.int64)
        high = np.clip(np.ceil(np.maximum(y, y_next)), 0, size[0]).astype(np.int64)
        count = high - low
        edge = np.repeat(np.arange(len(points)), count)
        rows = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + low[edge]
        at = x[edge] + (rows - y[edge]) * (x_next - x)[edge] / (y_next - y)[edge]
        columns = np.clip(np.ceil(np.round(at, _DIGITS)), 0, size[1]).astype(np.int64)
        np.add.at(crossings, (rows, columns), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossings[:, :-1], axis=1) % 2 == 1
    return (slice(first[0], last[0]), slice(first[1], last[1])), inside


def read(ds: Any, name: str, series: Series) -> Mask:
    """Voxels of all regions of interest of a structure set on one series with a geometry.

    Classes are numbered 1, 2, ... by ROI number, EXTERNAL ones (the outline of the body) first, so that they do not
    hide the others. Notes say what was left out. InputError if it holds no closed contour, or broken coordinates;
    GeometryError if a contour lies off every slice by more than half a step, is not parallel to the slices, or none
    touches a voxel; but a contour that refers only to images outside the series is left out with a note.
    """
    geometry = series.geometry
    if geometry is None:
        raise InputError(f"{name}: expected a series with positions, got {series.id}, which has none. Use a PNG mask.")
    rois, notes = _rois(ds, name)
    here = _slices_of(series)
    classes = {number: roi.label for number, roi in enumerate(rois, start=1)}
    stacks: dict[int, dict[int, list[tuple[float, NDArray[np.float64]]]]] = {}  # slice -> class -> contours
    absent = 0
    for number, roi in enumerate(rois, start=1):
        for contour in roi.contours:
            slices, apart = _nearest(geometry, contour, here)
            if not slices:
                if contour.references and not contour.references & here.keys():
                    absent += 1
                    continue
                raise grids.misfit(name, series.id, geometry, _words(contour, apart, roi.label), "contour")
            for k in slices:
                points = (contour.points - geometry.positions[k]) @ geometry.to_pixels.T
                stacks.setdefault(k, {}).setdefault(number, []).append((apart, points))
    seen: set[int] = set()
    mask = layers.build(name, classes, geometry.shape, _planes(stacks, geometry, seen))
    if not seen:
        contour = rois[0].contours[0]
        raise grids.misfit(name, series.id, geometry, _words(contour, 0.0, rois[0].label), "contour")
    notes += [f"{name}: {label!r} holds no voxel of {series.id}" for n, label in classes.items() if n not in seen]
    if absent:
        notes.append(f"{name}: {absent} contours on slices that are not in {series.id} were left out")
    return replace(mask, notes=tuple(notes))


def _planes(
    stacks: dict[int, dict[int, list[tuple[float, NDArray[np.float64]]]]], geometry: Geometry, seen: set[int]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Classes of each slice that has contours, and in ``seen`` the classes that hold a voxel."""
    for k, regions in sorted(stacks.items()):
        plane = np.zeros(geometry.shape[1:], np.int16)
        for number, stack in sorted(regions.items()):
            for group in _in_plane(stack, _SAME_PLANE * geometry.step):
                box, inside = _fill_box(group, geometry.shape[1:])
                if inside.any():
                    seen.add(number)
                    plane[box][inside] = number
        yield k, plane


def references(ds: Any) -> tuple[set[str], set[str], set[str]]:
    """Images, series and frames of reference that a structure set names, as sets of UIDs."""
    images: set[str] = set()
    series: set[str] = set()
    frames: set[str] = set()
    for frame in items(ds, "ReferencedFrameOfReferenceSequence"):
        frames.add(text(frame, "FrameOfReferenceUID"))
        for study in items(frame, "RTReferencedStudySequence"):
            for item in items(study, "RTReferencedSeriesSequence"):
                series.add(text(item, "SeriesInstanceUID"))
                images |= {text(image, "ReferencedSOPInstanceUID") for image in items(item, "ContourImageSequence")}
    for roi in items(ds, "StructureSetROISequence"):
        frames.add(text(roi, "ReferencedFrameOfReferenceUID"))
    for roi in items(ds, "ROIContourSequence"):
        for contour in items(roi, "ContourSequence"):
            images |= {text(image, "ReferencedSOPInstanceUID") for image in items(contour, "ContourImageSequence")}
    return images - {""}, series - {""}, frames - {""}


def _rois(ds: Any, name: str) -> tuple[list[_Roi], list[str]]:
    """Regions with closed contours, EXTERNAL first, then by number; and what was left out."""
    labels = {text(item, "ROINumber"): text(item, "ROIName") for item in items(ds, "StructureSetROISequence")}
    kinds = {
        text(item, "ReferencedROINumber"): text(item, "RTROIInterpretedType").upper()
        for item in items(ds, "RTROIObservationsSequence")
    }
    found: dict[tuple[bool, int, str], _Roi] = {}
    left: dict[str, int] = {}
    for item in items(ds, "ROIContourSequence"):
        number = text(item, "ReferencedROINumber")
        label = labels.get(number) or f"ROI {number}"
        contours = []
        for contour in items(item, "ContourSequence"):
            kind = text(contour, "ContourGeometricType").upper()
            points = _points(contour, name, label)
            if kind not in CLOSED or len(points) < 3:
                left[kind or "no type"] = left.get(kind or "no type", 0) + 1
                continue
            images = items(contour, "ContourImageSequence")
            named = frozenset(text(image, "ReferencedSOPInstanceUID") for image in images)
            contours.append(_Contour(points, named - {""}))
        if contours:
            external = kinds.get(number) == "EXTERNAL"
            key = (not external, int(number) if number.lstrip("-").isdigit() else 0, number)
            if key in found:
                contours = found[key].contours + contours
            found[key] = _Roi(label, external, contours)
    notes = [f"{name}: {count} contours of type {kind} hold no area" for kind, count in sorted(left.items())]
    if not found:
        got = "; ".join(notes) or "none"
        raise InputError(f"{name}: expected a structure set with closed planar contours, got {got}. Remove the file.")
    return [found[key] for key in sorted(found)], notes


def _points(contour: Any, name: str, label: str) -> NDArray[np.float64]:
    """Corners of a contour, ``(n, 3)``."""
    try:
        data = np.array([float(value) for value in several(contour.get("ContourData"))], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers as contour of {label!r}, got: {error}. Export it again.") from error
    if len(data) % 3 or not np.isfinite(data).all() or (np.abs(data) > 1e6).any():
        raise InputError(
            f"{name}: expected x, y, z of each corner of {label!r} in mm, got {len(data)} numbers"
            f"{'' if len(data) % 3 else ' beyond 1 km or not finite'}. Export the structure set again."
        )
    return data.reshape(-1, 3)


def _nearest(geometry: Geometry, contour: _Contour, here: dict[str, list[int]]) -> tuple[list[int], float]:
    """Slices at the position of a contour, and how far its plane is from them, mm; none if there is no such slice."""
    along = contour.points @ geometry.normal
    middle, spread = float(np.median(along)), float(np.ptp(along))
    apart = middle - geometry.positions @ geometry.normal
    distance = np.abs(apart)
    half = 0.5 * geometry.step
    least = float(distance.min())
    if least > half * 1.001 or spread > half:
        return [], max(least, spread)
    near = np.flatnonzero(distance <= least + 1e-3 * half)
    named = {k for uid in contour.references for k in here.get(uid, ())}
    chosen = [int(k) for k in near if k in named]
    if not chosen:  # between two slices at the same distance, the lower one; several at one position: all
        chosen = [int(k) for k in near if abs(apart[k] - apart[near[0]]) <= 2e-3 * half]
    return chosen, float(apart[chosen[0]])


def _in_plane(stack: list[tuple[float, NDArray[np.float64]]], apart: float) -> Iterator[list[NDArray[np.float64]]]:
    """Contours of one region on one slice, plane by plane: a finer structure set has several planes in a slice."""
    stack = sorted(stack, key=lambda entry: entry[0])
    group = [stack[0][1]]
    for (before, _), (now, points) in zip(stack, stack[1:], strict=False):
        if now - before > apart:
            yield group
            group = []
        group.append(points)
    yield group


def _slices_of(series: Series) -> dict[str, list[int]]:
    """Slice numbers of each SOPInstanceUID."""
    found: dict[str, list[int]] = {}
    for k, (index, _) in enumerate(series.slices):
        found.setdefault(series.instances[index].sop_uid, []).append(k)
    return found


def _words(contour: _Contour, apart: float, label: str) -> str:
    low, high = contour.points.min(axis=0), contour.points.max(axis=0)
    box = ", ".join(f"{a:.6g} to {b:.6g}" for a, b in zip(low, high, strict=True))
    off = f", {abs(apart):.3g} mm off the nearest slice or out of plane" if apart else ", beside the voxels"
    return f"a contour of {label!r} at x, y, z {box} mm{off}"
