# SPDX-License-Identifier: Apache-2.0
"""Label files, read onto the grid of their image or refused."""

from __future__ import annotations

import io as streams
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from umed.core.errors import GeometryError, InputError, VerificationError
from umed.core.types import Volume
from umed.data import formats, nifti, png, raster

TOLERANCE = 0.1
"""How far, in voxels, the corners of two grids may lie apart and still count as the same grid."""
MOST_CLASSES = 64
"""A picture with more distinct values than this is no mask but an anti-aliased or lossy one."""


def read_label(path: Path, volume: Volume) -> NDArray[Any]:
    """Read the label map of an image.

    Masks of 0 and 255 (or 0 and 65535) become 0 and 1, palette masks give their index, all else is taken as class
    numbers.

    Args:
        path: NIfTI, PNG or TIFF label file.
        volume: the image it belongs to.

    Returns:
        Class of each voxel, integers, shape ``volume.spatial_shape``.

    Raises:
        InputError: if the file is no label map.
        GeometryError: if it lies on another grid than the image.
    """
    kind = formats.ending(path)
    if kind in raster.JPEG:
        raise InputError(f"{path}: expected a lossless mask, got JPEG, which blurs classes. Save the mask as PNG.")
    affine = None
    if kind == ".png":
        labels = _picture(path, _read_png_mask(path))
    else:
        label = formats.read(path)
        if isinstance(label.header, nifti.NiftiHeader):
            labels, affine = _whole(path, label), label.header.affine
        else:
            labels = _picture(path, label.stored)
    _check_grid(volume, path, labels.shape, affine)
    if labels.size and (int(labels.max()) > 32767 or int(labels.min()) < -32768):
        raise InputError(f"{path}: expected classes up to 32767, got {int(labels.max())}. Renumber the classes.")
    return labels


def read_labels(paths: Sequence[Path], classes: Sequence[int], volume: Volume) -> NDArray[Any]:
    """Read the label files of one image into one class map.

    Args:
        paths: one or more label files.
        classes: class number of each file where every file is one class: all that it labels is of that class. Empty
            where each file is a label map of its own; these are united, since each may be an instance.
        volume: the image they belong to.

    Returns:
        Class of each voxel, integers, shape ``volume.spatial_shape``; the largest class number where files overlap.

    Raises:
        InputError: if a file is no label map.
        GeometryError: if a file lies on another grid than the image.
    """
    if len(paths) == 1 and not classes:
        return read_label(paths[0], volume)
    united: NDArray[np.int16] = np.zeros(volume.spatial_shape, np.int16)
    for path, number in zip(paths, classes or [0] * len(paths), strict=True):
        label = read_label(path, volume)
        np.maximum(united, np.where(label != 0, number, 0) if classes else label, out=united, casting="unsafe")
    return united


def label_ending(volume: Volume) -> str:
    """Ending of a mask that is made for an image: NIfTI as the image's, PNG for pictures."""
    kind = formats.ending(volume.source)
    return kind if isinstance(volume.header, nifti.NiftiHeader) else ".png"


def write_label(volume: Volume, labels: NDArray[np.uint8], path: Path) -> None:
    """Write a label map for an image and read it again.

    Args:
        volume: the image.
        labels: class of each voxel, shape ``volume.spatial_shape``, 0 is background.
        path: target, which ends in :func:`label_ending`.

    Raises:
        VerificationError: when the written file does not say what was meant.
    """
    meant: NDArray[Any] = labels
    if isinstance(volume.header, nifti.NiftiHeader):
        nifti.write_labels(volume, labels, path)
    else:
        path.write_bytes(png.encode(labels))
        meant = labels > 0 if set(np.unique(labels).tolist()) <= {0, 255} else labels  # read as 0 and 1
    if not np.array_equal(read_label(path, volume), meant):
        raise VerificationError(f"{path.name}: expected the labels that were written, got others. Check the disk.")


def check_channels(volumes: list[Volume]) -> None:
    """Make sure that the channel files of one case lie on the same grid.

    Args:
        volumes: one a channel.

    Raises:
        GeometryError: naming both geometries.
    """
    for other in volumes[1:]:
        _check_grid(volumes[0], other.source, other.spatial_shape, getattr(other.header, "affine", None))


def _check_grid(
    image: Volume, path: Path, other_shape: tuple[int, ...], other_affine: NDArray[np.float64] | None
) -> None:
    """Make sure that a label or another channel lies on the grid of an image; GeometryError names both geometries."""
    shape, affine = image.spatial_shape, getattr(image.header, "affine", None)
    if shape != other_shape:
        raise GeometryError(
            f"{path}: expected the grid of {image.source.name}, shape {shape}, got shape {other_shape}. "
            "Resample the label onto the image's grid (nearest neighbour), or pair the right files."
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
            f"{_rows(other_affine)}; corners lie {apart:.3g} mm apart. Resample the label onto the image's grid, or "
            "repair the wrong header."
        )


def _rows(affine: NDArray[np.float64]) -> str:
    return str(np.round(affine[:3], 3).tolist()).replace(" ", "")


def _whole(path: Path, label: Volume) -> NDArray[Any]:
    """Class numbers of a NIfTI label: scaled if its header says so, and whole."""
    if label.channels_last:
        raise InputError(
            f"{path}: expected a 2-D or 3-D label map, got shape {label.stored.shape}. Merge the classes into one map."
        )
    values = label.stored
    encoding = label.encoding
    plain = encoding.slope == 1 and encoding.inter == 0
    if plain and encoding.is_integer:
        return values
    scaled = values if plain else values.astype(np.float64) * encoding.slope + encoding.inter
    with np.errstate(invalid="ignore"):
        rounded = np.rint(scaled)
        off = ~(np.abs(scaled - rounded) <= 1e-3)
    if off.any():
        raise InputError(
            f"{path}: expected whole class numbers, got {float(scaled[off].flat[0]):g}. "
            "Threshold the probabilities or round the map first."
        )
    if rounded.size and float(np.abs(rounded).max()) > 32767:
        raise InputError(f"{path}: expected classes up to 32767, got {float(rounded.max()):g}. Renumber the classes.")
    return rounded.astype(np.int16)


def _read_png_mask(path: Path) -> NDArray[Any]:
    """Pixels of a PNG mask: palette index, or grey value as stored whatever the bit depth."""
    try:
        data = path.read_bytes()
        with Image.open(streams.BytesIO(data)) as image:
            pixels = np.array(image)
    except UnidentifiedImageError as error:  # whose own message names an address in memory
        raise InputError(f"{path}: expected a PNG mask, got bytes of another kind. Check the file.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a PNG mask, got: {error}. Check the file.") from error
    depth, colour = data[24], data[25]
    if colour == 0 and depth in (2, 4):  # Pillow spreads low bit depths over 0..255
        pixels = pixels // (255 // (2**depth - 1))
    return pixels


def _picture(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
    """Class numbers of a picture."""
    if pixels.ndim == 3:
        opaque = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
        if (opaque != opaque[..., :1]).any():
            raise InputError(
                f"{path}: expected one class number a pixel, got colours. "
                "Save the mask as grey values or with a palette."
            )
        pixels = np.ascontiguousarray(opaque[..., 0])
    if pixels.dtype.kind == "f":
        raise InputError(f"{path}: expected whole class numbers, got {pixels.dtype}. Save the mask as 8-bit grey.")
    pixels = pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels
    values = np.unique(pixels)
    if len(values) > MOST_CLASSES:
        raise InputError(
            f"{path}: expected at most {MOST_CLASSES} classes, got {len(values)} distinct values. "
            "This looks like an anti-aliased or lossy mask: threshold it first."
        )
    if values.size and values[-1] in (255, 65535) and set(values.tolist()) <= {0, int(values[-1])}:
        return (pixels > 0).astype(np.uint8)
    return pixels
