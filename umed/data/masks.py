# SPDX-License-Identifier: Apache-2.0
"""Label files, read onto the grid of their image or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import GeometryError, InputError, VerificationError
from umed.core.mask_rules import AS_DRAWN, MaskRules
from umed.core.types import Volume
from umed.data import formats, itk, nifti, png, raster
from umed.data.mask_pictures import flat, read_picture, whole
from umed.data.mask_values import IGNORED, Drawn, to_classes

TOLERANCE = 0.1
"""How far, in voxels, the corners of two grids may lie apart and still count as the same grid."""
PICTURES = (".png", *raster.TIFF)


def read_label(path: Path, volume: Volume, rules: MaskRules = AS_DRAWN) -> NDArray[Any]:
    """Read the label map of an image: the values that occur are the classes, of palettes the indices.

    Args:
        path: label file, a volume (NIfTI, MetaImage, NRRD) or a picture (PNG, TIFF).
        volume: the image it belongs to.
        rules: of the data set.

    Returns:
        Class of each voxel, integers, shape ``volume.spatial_shape``, see :func:`umed.data.mask_values.to_classes`:
        above 0 is foreground, 0 background, below ignored.

    Raises:
        InputError: if the file is no label map, or it is not clear what it means.
        GeometryError: if it lies on another grid than the image.
    """
    kind = formats.ending(path)
    if kind in raster.JPEG:
        raise InputError(f"{path}: expected a lossless mask, got JPEG, which blurs classes. Save the mask as PNG.")
    placed, image = False, volume.header
    if kind in PICTURES:
        drawn, stored = read_picture(path, rules)
        affine = None
    else:
        label = formats.read(path)
        drawn, stored, affine = _volume(path, label, rules), label.stored, label.header.affine
        placed = isinstance(label.header, itk.ItkHeader)
    values = drawn.values
    if (placed and isinstance(image, raster.RasterHeader)) or (kind in PICTURES and isinstance(image, itk.ItkHeader)):
        values, stored = values.T, stored.swapaxes(0, 1)  # SimpleITK counts a picture's columns first
    raster.check_upright(volume, values.shape, path)
    _check_grid(volume, path, values.shape, affine)
    if not (rules.values or rules.background):
        _check_other(path, stored, volume)
    return to_classes(path, replace(drawn, values=values), rules)


def read_labels(
    paths: Sequence[Path], classes: Sequence[int], volume: Volume, rules: MaskRules = AS_DRAWN
) -> NDArray[Any]:
    """Read the label files of one image into one class map.

    Args:
        paths: one or more label files.
        classes: class number of each file where every file is one class: all that it labels is of that class. Empty
            where each file is a label map of its own; these are united, since each may be an instance.
        volume: the image they belong to.
        rules: of the data set.

    Returns:
        Class of each voxel, integers, shape ``volume.spatial_shape``; the largest class number where files overlap, and
        below 0 what any of them ignores.

    Raises:
        InputError: if a file is no label map.
        GeometryError: if a file lies on another grid than the image.
    """
    if len(paths) == 1 and not classes:
        return read_label(paths[0], volume, rules)
    united: NDArray[np.int32] = np.zeros(volume.spatial_shape, np.int32)
    ignored = np.zeros(volume.spatial_shape, bool)
    for path, number in zip(paths, classes or [0] * len(paths), strict=True):
        label = read_label(path, volume, rules)
        ignored |= label < 0
        np.maximum(united, np.where(label > 0, number, 0) if classes else label, out=united, casting="unsafe")
    united[ignored] = IGNORED
    return united


def label_ending(volume: Volume) -> str:
    """Ending of a mask that is made for an image: of a volume as the image's, in one file; PNG for pictures."""
    kind = formats.ending(volume.source)
    return {".mhd": ".mha", ".nhdr": ".nrrd"}.get(kind, kind) if formats.is_volume(volume) else ".png"


def write_label(volume: Volume, labels: NDArray[np.uint8], path: Path) -> None:
    """Write a label map for an image and read it again.

    Args:
        volume: the image.
        labels: class of each voxel, shape ``volume.spatial_shape``, 0 is background.
        path: target, which ends in :func:`label_ending`.

    Raises:
        VerificationError: when the written file does not say what was meant.
    """
    if isinstance(volume.header, nifti.NiftiHeader):
        nifti.write_labels(volume, labels, path)
    elif isinstance(volume.header, itk.ItkHeader):
        itk.write_labels(volume, labels, path)
    else:
        path.write_bytes(png.encode(labels))
    named = MaskRules(background=(0,))
    if not np.array_equal(read_label(path, volume, named), labels):
        raise VerificationError(f"{path.name}: expected the labels that were written, got others. Check the disk.")


def check_channels(volumes: list[Volume]) -> None:
    """Make sure that the channel files of one case lie on the same grid.

    Args:
        volumes: one a channel.

    Raises:
        GeometryError: naming both geometries.
    """
    for other in volumes[1:]:
        affine = getattr(other.header, "affine", None)
        _check_grid(volumes[0], other.source, other.spatial_shape, affine, cure=_OTHER_CHANNEL)


_OTHER_LABEL = "Resample the label onto the image's grid (nearest neighbour), or pair the right files."
_OTHER_CHANNEL = (
    "The channels of a case share one grid: resample it, take it out of the case's folder, or name the channels with "
    "--layout map.yaml."
)


def _check_grid(
    image: Volume,
    path: Path,
    other_shape: tuple[int, ...],
    other_affine: NDArray[np.float64] | None,
    *,
    cure: str = _OTHER_LABEL,
) -> None:
    """Make sure that a label or another channel lies on the grid of an image; GeometryError names both geometries."""
    shape, affine = image.spatial_shape, getattr(image.header, "affine", None)
    if shape != other_shape:
        turned = len(shape) == len(other_shape) and sorted(shape) == sorted(other_shape)
        raise GeometryError(
            f"{path}: expected the grid of {image.source.name}, shape {shape}, got shape {other_shape}"
            f"{', the same with its axes swapped: transpose it' if turned else ''}. {cure}"
        )
    if affine is None or other_affine is None:
        return
    size = np.ones(3)
    size[: min(3, len(shape))] = shape[:3]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in size], [1], indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm((affine - other_affine)[:3] @ corners, axis=0).max()
    smallest = np.linalg.norm(affine[:3, :3], axis=0).min()
    if not apart <= TOLERANCE * max(smallest, 1e-6):
        raise GeometryError(
            f"{path}: expected the grid of {image.source.name}, affine {_rows(affine)}, got affine "
            f"{_rows(other_affine)}; corners lie {apart:.3g} mm apart. Repair the wrong header, or: {cure}"
        )


def _rows(affine: NDArray[np.float64]) -> str:
    return str(np.round(affine[:3], 3).tolist()).replace(" ", "")


def _volume(path: Path, label: Volume, rules: MaskRules) -> Drawn:
    """Values of a volume: scaled if its header says so, and whole."""
    values, encoding = label.stored, label.encoding
    if label.channels_last and getattr(label.header, "colours", 1) > 1:
        return flat(path, values, rules, picture=False)
    if label.channels_last:
        raise InputError(
            f"{path}: expected a 2-D or 3-D label map, got shape {values.shape}{_layers(values)}. Merge the classes "
            "into one map."
        )
    plain = encoding.slope == 1 and encoding.inter == 0
    if plain and encoding.is_integer:
        return Drawn(values)
    return Drawn(whole(path, values if plain else values.astype(np.float64) * encoding.slope + encoding.inter))


def _layers(values: NDArray[Any]) -> str:
    """What channels of a label look like, as the rest of a sentence."""
    if not ((values == 0) | (values == 1)).all():
        return ""
    taken = values.astype(np.int16).sum(axis=-1)
    if (taken == 1).all():
        return " of 0 and 1, just one 1 a voxel: one-hot classes with the background (numpy: label.argmax(axis=-1))"
    if (taken <= 1).all():
        return " of 0 and 1 that do not overlap: one-hot classes (numpy: (label * range(1, C + 1)).sum(axis=-1))"
    return " of 0 and 1 that overlap: regions; the smallest must be drawn last"


def _check_other(path: Path, stored: NDArray[Any], volume: Volume) -> None:
    """The label is not the image itself."""
    image = volume.stored
    if stored.shape != image.shape or stored.dtype.kind != image.dtype.kind or stored.size < 2:
        return
    some = (slice(None, None, max(1, stored.shape[0] // 16)),)
    if np.array_equal(stored[some], image[some]) and np.array_equal(stored, image) and (stored != stored.flat[0]).any():
        raise InputError(
            f"{path}: expected the mask of {volume.source.name}, got the values of the image itself. Put the mask in "
            "its place; if the image is one, name its foreground with --mask-values."
        )
