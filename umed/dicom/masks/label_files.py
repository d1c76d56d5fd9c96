# SPDX-License-Identifier: Apache-2.0
"""A mask of a DICOM series as files that are found again by their names: NIfTI on its grid, else a PNG a slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.data import png
from umed.data.nifti import gzip_packer, head_bytes
from umed.dicom.masks import grids, labels
from umed.dicom.masks.layers import Mask
from umed.dicom.objects import Geometry, Series

_MOST_CLASS = 255
MOST_SIDE = 32767
"""Most voxels along a side of a NIfTI file."""


def write_mask(series: Series, mask: Mask, folder: Path) -> list[str]:
    """Write a mask so that :func:`umed.dicom.masks.series_masks.find` gives it back for this series.

    Args:
        series: image series.
        mask: of it, not empty, classes up to 255.
        folder: that will be given as ``--masks``.

    Returns:
        Names relative to it: ``<series id>.nii.gz`` (axes column, row, slice) where all slices lie on one regular
        grid; else ``<series id>.png`` for a single slice, and ``<series id>/*.png`` for each slice with a mask.

    Raises:
        InputError: if the classes do not fit, or slices cannot be told apart.
    """
    if max(mask.classes, default=0) > _MOST_CLASS:
        raise InputError(f"{series.id}: expected classes up to {_MOST_CLASS}, got {max(mask.classes)}. Renumber them.")
    affine = nifti_affine(series)
    if affine is not None:
        name = f"{series.id}.nii.gz"
        _write_nifti(mask, affine, folder / name)
        return [name]
    filled = [k for k, plane in enumerate(mask.packed) if plane]
    names = [f"{series.id}.png"]
    if len(series.slices) > 1:
        names = [f"{series.id}/{name}" for name in labels.name_pictures(series, filled)]
    for name, k in zip(names, filled, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(png.encode(mask.slices(k, k + 1)[0].astype(np.uint8)))
    return names


def nifti_affine(series: Series) -> NDArray[np.float64] | None:
    """Where a NIfTI volume of column, row and slice lies that has the voxels of a series: to RAS mm, ``(4, 4)``.

    ``None`` where there is none: pictures without positions, slices that are missing, doubled or turned, more pixels
    along a side than NIfTI can count.
    """
    geometry = series.geometry
    if geometry is None or max(geometry.shape) > MOST_SIDE:
        return None
    affine = np.asarray(labels.RAS @ geometry.affine[:, [2, 1, 0, 3]], np.float32).astype(
        np.float64
    )  # as a file holds it
    return affine if _exact(geometry, affine) else None


def _exact(geometry: Geometry, affine: NDArray[np.float64]) -> bool:
    """Whether each plane of the volume falls on its own slice and no other, pixel on pixel."""
    slices, rows, columns = geometry.shape
    axis, planes = grids.planes(labels.RAS @ affine, (columns, rows, slices), geometry.normal)
    places = [grids.locate(geometry, plane) for plane in planes]
    return axis == 2 and all(
        place is not None and place.slices == (k,) and place.swap and place.flip == (False, False)
        and place.corner == (0, 0)
        for k, place in enumerate(places)
    )  # fmt: skip


def volume_header(shape: tuple[int, ...], affine: NDArray[np.float64], dtype: Any) -> Nifti1Header:
    """Header of a NIfTI file, for :func:`umed.data.nifti.head_bytes`.

    Args:
        shape: of its voxels, at most :data:`MOST_SIDE` along a side.
        affine: from their indices to RAS mm, ``(4, 4)``.
        dtype: of their stored values.
    """
    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    header.set_qform(affine, 1)  # also sets the voxel size
    if not np.allclose(header.get_qform(), affine, rtol=0, atol=1e-3):
        header["qform_code"] = 0  # a gantry tilt, which only the sform can say
    header.set_sform(affine, 1)
    return header


def _write_nifti(mask: Mask, affine: NDArray[np.float64], path: Path) -> None:
    """Slice by slice; the same mask gives the same bytes."""
    slices, rows, columns = mask.shape
    header = volume_header((columns, rows, slices), affine, np.uint8)
    packer = gzip_packer()
    with open(path, "wb") as file:
        file.write(packer.compress(head_bytes(header)))
        for k in range(slices):
            file.write(packer.compress(mask.slices(k, k + 1)[0].astype(np.uint8).tobytes()))
        file.write(packer.flush())
