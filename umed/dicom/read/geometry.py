# SPDX-License-Identifier: Apache-2.0
"""Where slices lie: planes from the header of a file, their order, and the grid they make (PS3.3 C.7.6.2, C.7.6.16)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from umed.dicom.held import has, tag_of, value_of
from umed.dicom.objects import Geometry

SAME_POSITION = 1e-3
"""Millimetres below which two slices are at the same place."""
SAME_DIRECTION = 2e-3
"""Difference of direction cosines below which two slices are parallel; headers round them to few digits."""
_UNEVEN_MM, _UNEVEN_PART = 1e-2, 1e-2
"""A step may differ from the mean one by this much, in millimetres or as a part of it, and still count as equal."""


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """Plane of one slice.

    Args:
        position: ``(3,)`` ImagePositionPatient, mm.
        orientation: ``(2, 3)`` ImageOrientationPatient, unit vectors.
        spacing: between rows and between columns, mm.
        thickness: distance to the next slice as the header says, mm; used where there is no next slice.
        time: what orders slices at the same place: temporal position or the like.
    """

    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float
    time: tuple[float, ...] = ()

    @property
    def normal(self) -> NDArray[np.float64]:
        """``(3,)`` unit vector across the slice."""
        return np.asarray(np.cross(self.orientation[0], self.orientation[1]), dtype=np.float64)


def planes(dataset: Dataset, frames: int) -> tuple[SlicePlane, ...] | None:
    """Planes of the frames of an image, in frame order.

    ``None`` where the header does not place all of them in the patient (a picture, a mosaic of slices, tiles of a
    slide, multi-frame images without functional groups).
    """
    if frames == 1 and not has(dataset, tag_of("PerFrameFunctionalGroupsSequence")):
        single = _plane(dataset, dataset, dataset, _time(dataset))
        return None if single is None else (single,)
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != frames or "TotalPixelMatrixRows" in dataset:
        return None
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    found = []
    for group in groups:
        place = group_item(group, shared, "PlanePositionSequence")
        direction = group_item(group, shared, "PlaneOrientationSequence")
        measures = group_item(group, shared, "PixelMeasuresSequence")
        content = group_item(group, shared, "FrameContentSequence")
        plane = _plane(place, direction, measures, _time(content))
        if plane is None:
            return None
        found.append(plane)
    return tuple(found)


def group_item(group: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """First item of a functional group, the frame's own before the shared one; an empty one where there is none."""
    for place in (group, shared):
        items = value_of(place, keyword)
        if items:
            return items[0]  # type: ignore[no-any-return]
    return Dataset()


_NUMBERS = frozenset(("DS", "IS"))


def unread(dataset: Dataset, keyword: str, vrs: Collection[str]) -> list[str] | None:
    """Stripped values of an attribute that nobody has looked at yet, straight from its bytes: ten times as fast.

    ``vrs`` are those that may be taken as plain ASCII. ``None`` where pydicom has to look at it, or there is none.
    """
    stored: Any = dataset._dict.get(tag_of(keyword))
    if not isinstance(stored, RawDataElement) or stored.VR not in vrs:
        return None
    value = stored.value
    if type(value) is not bytes or not value.isascii() or b"\x1b" in value:
        return None
    parts = [part.strip("\0 ") for part in value.decode("ascii").split("\\")]
    return parts if any(parts) else None


def _short(dataset: Dataset, keyword: str) -> int | None:
    """One unsigned 16-bit number that nobody has looked at yet."""
    stored: Any = dataset._dict.get(tag_of(keyword))
    if not isinstance(stored, RawDataElement) or stored.VR != "US" or type(stored.value) is not bytes:
        return None
    order: Literal["little", "big"] = "little" if stored.is_little_endian else "big"
    return int.from_bytes(stored.value, order) if len(stored.value) == 2 else None


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Finite numbers of an attribute, ``None`` where it is absent, broken or of another count."""
    value: Any = unread(dataset, keyword, _NUMBERS)
    if value is None:
        value = _short(dataset, keyword)
    if value is None:
        value = value_of(dataset, keyword)
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        listed = tuple(float(item) for item in (value if hasattr(value, "__len__") else (value,)))
    except (TypeError, ValueError):
        return None
    return listed if len(listed) == count and all(map(isfinite, listed)) else None


def _plane(place: Dataset, direction: Dataset, measures: Dataset, time: tuple[float, ...]) -> SlicePlane | None:
    position = numbers(place, "ImagePositionPatient", 3)
    cosines = numbers(direction, "ImageOrientationPatient", 6)
    if position is None or cosines is None:
        return None
    orientation = np.array(cosines, np.float64).reshape(2, 3)
    lengths = np.linalg.norm(orientation, axis=1)
    if not _close(lengths, np.ones(2), atol=0.05) or abs(float(orientation[0] @ orientation[1])) > 0.05:
        return None  # no rotation: an image cannot be placed with it
    spacing = numbers(measures, "PixelSpacing", 2)
    if spacing is None or min(spacing) <= 0:
        return None
    thickness = 1.0
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = numbers(measures, keyword, 1)
        if value is not None and value[0] != 0:
            thickness = abs(value[0])
            break
    return SlicePlane(np.array(position), orientation / lengths[:, None], (spacing[0], spacing[1]), thickness, time)


def _time(dataset: Dataset) -> tuple[float, ...]:
    """What tells slices at the same place apart, in the order in which they were taken."""
    keywords = ("TemporalPositionIndex", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber")
    values = [numbers(dataset, keyword, 1) for keyword in keywords]
    return tuple(0.0 if value is None else value[0] for value in values)


def parallel(first: SlicePlane, second: SlicePlane) -> bool:
    """Whether two planes have the same orientation and pixel spacing, so that they can be slices of one volume."""
    return _close(first.orientation, second.orientation, atol=SAME_DIRECTION) and _close(
        np.array(first.spacing), np.array(second.spacing), rtol=1e-3, atol=1e-6
    )


def _close(one: NDArray[np.float64], other: NDArray[np.float64], rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """What ``numpy.allclose`` says of a few finite numbers, in a fifth of its time."""
    return bool((np.abs(one - other) <= atol + rtol * np.abs(other)).all())


def order(slices: Sequence[SlicePlane]) -> list[list[int]]:
    """Order parallel slices along their normal; gives indices as passes.

    The first pass holds the first slice at each place, the second the second one (by time) at those that have two, and
    so on. One pass for a series without doubles.
    """
    normal = slices[0].normal
    along = [float(plane.position @ normal) for plane in slices]
    by_place = sorted(range(len(slices)), key=lambda index: (along[index], slices[index].time, index))
    passes: list[list[int]] = []
    places: list[list[int]] = []
    for index in by_place:
        if places and _close(slices[places[-1][0]].position, slices[index].position, 0, SAME_POSITION):
            places[-1].append(index)
        else:
            places.append([index])
    for place in places:
        for number, index in enumerate(sorted(place, key=lambda index: (slices[index].time, index))):
            if number == len(passes):
                passes.append([])
            passes[number].append(index)
    return passes


def build(slices: Sequence[SlicePlane], rows: int, columns: int) -> tuple[Geometry, tuple[str, ...]]:
    """The grid of parallel slices that are in order, and what is odd about it in words."""
    first = slices[0]
    positions = np.stack([plane.position for plane in slices])
    normal = first.normal
    steps = np.diff(positions, axis=0)
    problems: list[str] = []
    uniform, tilted = True, False
    step = normal * first.thickness
    if len(slices) > 1:
        distances = np.asarray(steps @ normal)
        same = int((np.linalg.norm(steps, axis=1) < SAME_POSITION).sum())
        back = int((distances < -SAME_POSITION).sum())
        moving = steps[distances > SAME_POSITION]
        if len(moving):
            # a missing slice must not pull the step: take the median, and the mean only when all steps are equal
            middle = np.median(moving, axis=0)
            tolerance = max(_UNEVEN_MM, _UNEVEN_PART * float(np.linalg.norm(middle)))
            uniform = bool((np.abs(steps - middle).max(axis=1) <= tolerance).all())
            mean = (positions[-1] - positions[0]) / (len(slices) - 1)
            step = np.asarray(mean if uniform else middle)
            across = step - (step @ normal) * normal
            tilted = bool(np.linalg.norm(across) > max(_UNEVEN_MM, 5e-3 * float(np.linalg.norm(step))))
        else:
            uniform = False
        if same:
            problems.append(
                f"{same + 1} slices have the same position" if not len(moving) else f"{same} doubled slices"
            )
        if back:
            problems.append(f"the stack is passed {back + 1} times (several time points or contrasts in one file)")
        problems.extend(_uneven(distances, float(step @ normal), uniform))
    if tilted:
        problems.append("the slices are tilted against the stack (gantry tilt)")
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[1] * first.spacing[0]
    affine[:3, 2] = first.orientation[0] * first.spacing[1]
    affine[:3, 3] = positions[0]
    spacing = (abs(float(step @ normal)), *first.spacing)
    shape = (len(slices), rows, columns)
    return Geometry(shape, affine, positions, first.orientation, spacing, uniform, tilted), tuple(problems)


def _uneven(distances: NDArray[np.float64], step: float, uniform: bool) -> list[str]:
    """Words for steps that differ from the usual one."""
    if uniform or step < SAME_POSITION:
        return []
    odd = [d for d in distances if d > SAME_POSITION and abs(d - step) > max(_UNEVEN_MM, _UNEVEN_PART * step)]
    if not odd:
        return []
    missing = all(abs(d / step - round(d / step)) < 0.05 and d > step for d in odd)
    ending = f" (about {sum(round(d / step) - 1 for d in odd)} slices are missing)" if missing else ""
    size = f"{min(odd):.3g} mm" if len(odd) == 1 else f"{min(odd):.3g} to {max(odd):.3g} mm"
    return [f"{len(odd)} of {len(distances)} steps are {size} instead of {step:.3g} mm{ending}"]
