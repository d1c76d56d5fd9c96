# SPDX-License-Identifier: Apache-2.0
"""NIfTI volumes and pictures as masks of a DICOM series: volumes by their geometry, pictures by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import GeometryError, InputError
from umed.core.types import Encoding, Volume
from umed.data import formats
from umed.data.layouts import LABEL_SUFFIXES
from umed.data.mask_values import present
from umed.data.masks import read_label
from umed.dicom.masks import grids, layers
from umed.dicom.masks.grids import MaskPlane
from umed.dicom.masks.layers import MOST, Mask
from umed.dicom.objects import Geometry, Series

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI counts x and y the other way round than DICOM


def fits(volume: Volume, series: Series) -> bool:
    """Whether a NIfTI label lies on the whole grid of a series, in whatever order of axes."""
    geometry, affine = series.geometry, _affine(volume)
    if geometry is None or affine is None or sorted(_grid(volume)) != sorted(geometry.shape):
        return False
    seen: set[int] = set()
    for plane in grids.planes(affine, _grid(volume), geometry.normal)[1]:
        place = grids.locate(geometry, plane)
        if place is None or place.corner != (0, 0):
            return False
        seen.update(place.slices)
    return len(seen) == geometry.shape[0]


def read_volume(volume: Volume, name: str, series: Series, label: str = "class") -> Mask:
    """Classes of a NIfTI label on a series; axes are swapped and reversed as the two geometries say.

    ``label`` is what to call the classes, which keep the numbers of the file. InputError if the series or the file has
    no geometry, or the file holds no whole class numbers; GeometryError if foreground lies beside the voxels of the
    series.
    """
    geometry, affine = series.geometry, _affine(volume)
    if geometry is None:
        raise InputError(f"{name}: expected a series with positions, got {series.id}, which has none. Use a PNG mask.")
    if affine is None:
        raise InputError(
            f"{name}: expected a qform or sform that says where the label lies, got neither. Save it with the affine "
            "of the series; umed does not guess orientations."
        )
    if volume.channels_last:
        raise InputError(
            f"{name}: expected a 2-D or 3-D label map, got shape {volume.stored.shape}. Merge the classes."
        )
    axis, planes = grids.planes(affine, _grid(volume), geometry.normal)
    stored = np.moveaxis(volume.stored.reshape(_grid(volume)), axis, 0)  # a view: taking a plane copies only that plane
    step = float(abs(affine[:3, axis] @ geometry.normal))
    seen: set[int] = set()

    def laid() -> Iterator[tuple[int, NDArray[np.int16]]]:
        for index, plane in enumerate(planes):
            classes = _whole(stored[index], volume.encoding, name)
            seen.update(np.unique(classes).tolist())
            place = grids.locate(geometry, plane)
            if place is None:
                if classes.any():
                    raise _misfit(name, series.id, geometry, planes, step)
                continue
            placed, beyond = grids.put(place, classes, geometry.shape[1:])
            if beyond:
                raise _misfit(name, series.id, geometry, planes, step)
            for k in place.slices:
                yield k, placed

    if not any(grids.locate(geometry, plane) for plane in planes):
        raise _misfit(name, series.id, geometry, planes, step)
    mask = layers.build(name, {}, geometry.shape, laid())
    return layers.Mask(name, _names(seen, label), mask.shape, mask.packed)


def read_pictures(pictures: Sequence[tuple[Path, str]], name: str, series: Series) -> Mask:
    """Classes of PNG or TIFF masks, given as path and name, one a slice, on a series.

    They are matched by the first of these that fits all of them: the only picture and the only slice; SOPInstanceUID;
    file name of the slice; InstanceNumber (frame number from 1 for one multi-frame file) at the end of the name. Slices
    without a picture are background, and a note says how many. InputError if a picture has no slice, or two have the
    same; GeometryError if a picture has another size than the slices.
    """
    slices = _match([other for _, other in pictures], name, series)
    size = series.instances[0].shape[1:]
    seen: set[int] = set()

    places = [f"slice {k + 1} of {series.id}" for k in slices]
    planes = [_plane(path, size, place) for (path, _), place in zip(pictures, places, strict=True)]
    white = {255, 65535} & {value for plane in planes for value in present(plane)}
    only = len(white) == 1 and all(set(present(plane)) <= {0, *white} for plane in planes)

    def laid() -> Iterator[tuple[int, NDArray[np.int16]]]:
        for plane, k in zip(planes, slices, strict=True):
            classes = (plane > 0).astype(np.int16) if only else _whole(plane, Encoding("<i4"), name)
            seen.update(np.unique(classes).tolist())
            yield k, classes

    shape = (len(series.slices), *size)
    mask = layers.build(name, {}, shape, laid())
    missing = shape[0] - len(slices)
    notes = (f"{name}: {missing} of {shape[0]} slices of {series.id} have no picture",) if missing else ()
    return layers.Mask(name, _names(seen, "class"), shape, mask.packed, notes)


def _plane(path: Path, size: tuple[int, ...], of: str) -> NDArray[Any]:
    """Values of one picture; InputError if it is no mask."""
    grid = Volume(np.broadcast_to(np.uint8(0), size), Encoding("|u1"), (1.0, 1.0), "px", False, Path(of))
    try:
        return np.asarray(read_label(path, grid))
    except GeometryError:
        raise
    except InputError as error:
        also = (
            " These options are for data sets of files: of DICOM series, save the mask anew."
            if "--" in str(error)
            else ""
        )
        raise InputError(f"{error}{also}") from error


def name_pictures(series: Series, slices: Sequence[int]) -> list[str]:
    """Names of PNG masks that :func:`read_pictures` takes for just these slices.

    With the frame number of a multi-frame file, else the InstanceNumber where that tells the slices apart, else the
    SOPInstanceUID; InputError if there are no such names.
    """
    numbers = [_numbers(series, k)[0].removeprefix("#") for k in slices]
    uids = [series.instances[series.slices[k][0]].sop_uid for k in slices]
    for stems in ([f"slice_{number}" for number in numbers], uids):
        names = [f"{stem}.png" for stem in stems]
        with suppress(InputError):
            if _match(names, series.id, series) == list(slices):
                return names
    raise InputError(f"{series.id}: expected slices that can be told apart by name, got others. Repair the files.")


def describe(volume: Volume) -> str:
    """Geometry of a NIfTI label in words for a message."""
    affine = _affine(volume)
    if affine is None:
        return f"shape {volume.spatial_shape} without qform or sform"
    axis, planes = grids.planes(affine, _grid(volume), np.array([0.0, 0.0, 1.0]))
    return grids.of_planes(planes, float(np.linalg.norm(affine[:3, axis])))


def stems_of(name: str) -> list[str]:
    """Name of a label file without folders and ending; then without a suffix such as ``_mask``.

    >>> stems_of("a/case_7_mask.png")
    ['case_7_mask', 'case_7']
    """
    last = PurePosixPath(name).name
    stem = last[: len(last) - len(formats.ending(Path(last)))]
    return [stem, *(stem.removesuffix(suffix) for suffix in LABEL_SUFFIXES if suffix and stem.endswith(suffix))]


def _match(names: list[str], name: str, series: Series) -> list[int]:
    """Slice number of each picture."""
    if len(names) == len(series.slices) == 1:
        return [0]
    found = "none of them"
    for what, key in _KEYS.items():
        keys = [key(series, k) for k in range(len(series.slices))]
        table = {entry: k for k, entries in enumerate(keys) for entry in entries}
        if sum(len(entries) for entries in keys) != len(table):
            continue  # the same for two slices
        slices = [next((table[form] for form in _forms(other) if form in table), -1) for other in names]
        if min(slices) >= 0 and len(set(slices)) == len(slices):
            return slices
        if max(slices) >= 0:
            bad = next((other for other, k in zip(names, slices, strict=True) if k < 0), "two of the same slice")
            found = f"no such slice for {bad} by {what}"
    raise InputError(
        f"{name}: expected pictures named by SOPInstanceUID, file name or InstanceNumber of the slices of {series.id}, "
        f"got {found}. Rename them."
    )


def _file_names(series: Series, k: int) -> list[str]:
    instance = series.instances[series.slices[k][0]]
    last = PurePosixPath(instance.name.rsplit("!", 1)[-1])
    return list(dict.fromkeys([last.name, last.stem])) if instance.shape[0] <= 1 else []


def _numbers(series: Series, k: int) -> list[str]:
    index, frame = series.slices[k]
    return [f"#{frame + 1 if len(series.instances) == 1 else series.instances[index].number}"]


_KEYS: dict[str, Callable[[Series, int], list[str]]] = {
    "SOPInstanceUID": lambda series, k: [series.instances[series.slices[k][0]].sop_uid],
    "file name": _file_names,
    "InstanceNumber": _numbers,
}


def _forms(name: str) -> list[str]:
    """What a picture may be known by: its stem, without a suffix such as ``_mask``, and the number at its end."""
    stems = stems_of(name)
    number = re.search(r"(\d{1,9})$", stems[-1])
    return stems + ([f"#{int(number[1])}"] if number else [])


def _affine(volume: Volume) -> NDArray[np.float64] | None:
    """Voxel index to LPS millimetres."""
    affine = getattr(volume.header, "affine", None)
    return None if affine is None or not np.isfinite(affine).all() else np.asarray(RAS @ affine, np.float64)


def _grid(volume: Volume) -> tuple[int, int, int]:
    x, y, z = (*volume.spatial_shape, 1, 1)[:3]
    return x, y, z


def _whole(values: NDArray[np.generic], encoding: Encoding, name: str) -> NDArray[np.int16]:
    """Class numbers of a plane: scaled if the header says so, whole, and not negative."""
    scaled = values.astype(np.float64) * encoding.slope + encoding.inter
    rounded = np.rint(scaled)
    off = ~((np.abs(scaled - rounded) <= 1e-3) & (rounded >= 0) & (rounded <= MOST))
    if off.any():
        raise InputError(
            f"{name}: expected whole class numbers from 0 to {MOST}, got {float(scaled[off].flat[0]):g}. "
            "Threshold probabilities and renumber classes first."
        )
    return rounded.astype(np.int16)


def _names(seen: set[int], label: str) -> dict[int, str]:
    classes = sorted(seen - {0})
    return {number: label if label != "class" and len(classes) == 1 else f"{label} {number}" for number in classes}


def _misfit(name: str, series: str, geometry: Geometry, planes: list[MaskPlane], step: float) -> GeometryError:
    return grids.misfit(name, series, geometry, grids.of_planes(planes, step), "label")
