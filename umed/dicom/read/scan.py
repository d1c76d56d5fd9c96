# SPDX-License-Identifier: Apache-2.0
"""Looks at every header below a folder and groups files to series of one grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import FileDataset

from umed.core.errors import InputError
from umed.core.progress import counted
from umed.core.time_limit import limited
from umed.core.types import Progress
from umed.dicom.held import value_of
from umed.dicom.members import FileRef, digest_of
from umed.dicom.objects import LIMITS, Instance, Limits, Scan, Series
from umed.dicom.read import geometry, headers, reader
from umed.dicom.read.geometry import SlicePlane

See = Callable[[FileDataset, Instance], None]
"""Called with a header and what it says."""
_Planes = tuple[SlicePlane, ...] | None
_Member = tuple[Instance, _Planes, tuple[float, float]]


def scan(root: Path, limits: Limits = LIMITS, progress: Progress | None = None, see: See | None = None) -> Scan:
    """Find the series below a folder, or in a zip, from headers only.

    Args:
        root: folder, zip or single file.
        limits: bounds.
        progress: called with ``"scan"`` for each file.
        see: called with each header that can be read, also of files that are refused, in the order of their names.

    Returns:
        Series and refused files. One broken file never stops a scan.

    Raises:
        InputError: if ``root`` does not exist or holds too many files.
    """
    found, refused = reader.find(root, limits)
    members: list[_Member] = []
    for path, name in counted(found, "scan", progress):
        try:
            member = _look(path, name, limits, see)
            if member[0].kind == "refused":
                refused.append((name, member[0].reason))
            else:
                members.append(member)
        except InputError as error:
            refused.append((name, str(error).removeprefix(f"{path}: ")))
    unique, doubles = _without_doubles(members)
    return Scan(root, _series(unique), tuple(sorted(refused + doubles)))


def _look(path: FileRef, name: str, limits: Limits, see: See | None) -> _Member:
    """One file."""
    with limited(limits.seconds), reader.guard(path):
        dataset = reader.read(path, limits, pixels=False)
        frames = headers.integer(dataset, "NumberOfFrames", 1)
        if frames > limits.frames:  # a number in a header must not become as many objects
            raise InputError(f"expected at most {limits.frames} frames, got {frames}")
        instance, planes = headers.describe(dataset, path, name)
        spacing = _picture_spacing(dataset)
        if see is not None:
            see(dataset, instance)
        return instance, planes, spacing


def _picture_spacing(dataset: FileDataset) -> tuple[float, float]:
    """Millimetres between rows and columns of a picture without a position, ones where not known."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        value = geometry.numbers(dataset, keyword, 2)
        if value is not None and min(value) > 0:
            return value[0], value[1]
    regions = value_of(dataset, "SequenceOfUltrasoundRegions") or []
    if (
        len(regions) == 1
        and regions[0].get("PhysicalUnitsXDirection") == regions[0].get("PhysicalUnitsYDirection") == 3
    ):
        delta = [geometry.numbers(regions[0], f"PhysicalDelta{axis}", 1) for axis in "YX"]
        if delta[0] and delta[1] and delta[0][0] and delta[1][0]:
            return abs(delta[0][0]) * 10, abs(delta[1][0]) * 10  # centimetres, PS3.3 C.8.5.5.1.15
    return 1.0, 1.0


def _without_doubles(members: Sequence[_Member]) -> tuple[list[_Member], list[tuple[str, str]]]:
    """Drop copies; of files that claim the same SOP instance and differ, drop all, as nobody knows which is right."""
    by_uid: dict[str, list[_Member]] = defaultdict(list)
    for member in members:
        by_uid[member[0].sop_uid].append(member)
    kept: list[_Member] = []
    refused: list[tuple[str, str]] = []
    for group in by_uid.values():
        first = group[0][0]
        try:
            same = len(group) == 1 or len({digest_of(instance.path) for instance, _, _ in group}) == 1
        except (InputError, OSError):
            same = False
        if same:
            kept.append(group[0])
            refused.extend((instance.name, f"is a copy of {first.name}") for instance, _, _ in group[1:])
            continue
        for instance, _, _ in group:
            other = next(entry[0].name for entry in group if entry[0] is not instance)
            refused.append((instance.name, f"has the SOPInstanceUID of {other} but other content; keep one of them"))
    return kept, refused


def _series(members: Sequence[_Member]) -> tuple[Series, ...]:
    """Group files to series, sorted and numbered so that the same files get the same ids."""
    groups: dict[tuple[str, ...], list[_Member]] = defaultdict(list)
    for member in sorted(members, key=lambda member: member[0].sop_uid):
        groups[_key(*member[:2])].append(member)
    found: list[Series] = []
    for key in sorted(groups, key=lambda key: (min(member[0].study_uid for member in groups[key]), key)):
        if groups[key][0][1] is None:
            found.append(_unplaced(groups[key]))
            continue
        for cluster in _clusters(groups[key]):
            found.extend(_stacks(cluster))
    width = max(4, len(str(len(found))))
    return tuple(replace(series, id=f"series_{number:0{width}d}") for number, series in enumerate(found, 1))


def _key(instance: Instance, planes: _Planes) -> tuple[str, ...]:
    """What files of one series share, but for the orientation, which is compared with a tolerance."""
    key = [instance.series_uid, instance.kind]
    if instance.kind != "image":
        return tuple(key)
    if planes is None or len(planes) > 1:  # a picture, or a volume in one file
        key += [f"{instance.number:012d}", instance.sop_uid]
    dtype = instance.encoding.dtype if instance.encoding else ""
    shape = f"{instance.shape[1]:06d} {instance.shape[2]:06d} {instance.samples}"
    return (*key, shape, dtype, instance.photometric, instance.frame_of_reference, instance.modality)


def _clusters(members: Sequence[_Member]) -> list[list[_Member]]:
    """Split single slices by orientation and pixel spacing; a multi-frame file comes alone and stays whole."""
    clusters: list[list[_Member]] = []
    for member in members:
        assert member[1] is not None
        for cluster in clusters:
            other = cluster[0][1]
            if other is not None and geometry.parallel(other[0], member[1][0]):
                cluster.append(member)
                break
        else:
            clusters.append([member])
    return clusters


def _unplaced(members: list[_Member]) -> Series:
    """Files without a position: one picture, or all segmentations, structure sets or others of a series."""
    members.sort(key=lambda member: (member[0].number, member[0].sop_uid))
    instances = tuple(instance for instance, _, _ in members)
    first = instances[0]
    slices = tuple((0, frame) for frame in range(first.shape[0])) if first.kind == "image" else ()
    return Series(first.series_uid, "", first.modality, first.kind, instances, slices, spacing=members[0][2])


def _stacks(members: list[_Member]) -> list[Series]:
    """Volumes of parallel slices: several where each place has the same number of slices (time points, contrasts)."""
    if len(members) == 1 and len(members[0][1] or ()) > 1:
        return [_multi_frame(members[0])]
    planes = [entry[0] for _, entry, _ in members if entry]
    passes = geometry.order(planes)
    volumes = len(passes) > 1 and len(passes[0]) > 1 and len({len(part) for part in passes}) == 1
    if not volumes:
        normal = planes[0].normal
        everything = [index for part in passes for index in part]
        passes = [sorted(everything, key=lambda i: (round(float(planes[i].position @ normal), 3), planes[i].time, i))]
    found = []
    for number, part in enumerate(passes, 1):
        instances = tuple(members[index][0] for index in part)
        slices = tuple((index, 0) for index in range(len(part)))
        note = (f"volume {number} of {len(passes)} at the same place",) if volumes else ()
        found.append(_placed(instances, slices, [planes[index] for index in part], note))
    return found


def _multi_frame(member: _Member) -> Series:
    """One file with many placed frames."""
    instance, planes, _ = member
    assert planes is not None
    if not all(geometry.parallel(planes[0], plane) for plane in planes):
        return replace(_unplaced([member]), problems=("its frames have different orientations",))
    order = [index for part in geometry.order(planes) for index in part]
    return _placed((instance,), tuple((0, frame) for frame in order), [planes[index] for index in order])


def _placed(
    instances: tuple[Instance, ...],
    slices: tuple[tuple[int, int], ...],
    planes: Sequence[SlicePlane],
    note: tuple[str, ...] = (),
) -> Series:
    """A volume of parallel slices in order."""
    first = instances[0]
    grid, odd = geometry.build(planes, *first.shape[1:])
    problems, spacing = (*note, *odd), (grid.spacing[1], grid.spacing[2])
    return Series(first.series_uid, "", first.modality, first.kind, instances, slices, grid, problems, spacing)
