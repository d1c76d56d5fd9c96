# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of images, labels and data sets; never imports torch.

A new format is one module with ``read(path) -> Volume`` and ``write(volume, stored, path)`` and its endings here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import GeometryError, InputError
from umed.core.types import Volume
from umed.data import itk, nifti, raster
from umed.data.declared_size import check_mask

READERS: dict[str, ModuleType] = {
    ".nii.gz": nifti,
    ".nii": nifti,
    ".seg.nrrd": itk,
    ".nrrd": itk,
    ".nhdr": itk,
    ".mha": itk,
    ".mhd": itk,
    ".png": raster,
    ".tif": raster,
    ".tiff": raster,
    ".jpg": raster,
    ".jpeg": raster,
}
"""Module for each ending, longest ending first."""
VOLUMES = tuple(known for known, module in READERS.items() if module is not raster)
"""Endings of formats that know axes x, y, z and a place in space."""

_ANALYZE = "convert the Analyze or header/image pair to .nii.gz with nibabel"
KNOWN_BUT_REFUSED = {
    ".dcm": "give a folder of DICOM files itself as INPUT, without dataset.json, images/ and masks/ of other files",
    ".mgz": "convert it with mri_convert in.mgz out.nii.gz",
    ".mgh": "convert it with mri_convert in.mgh out.nii.gz",
    ".mnc": "convert it with mnc2nii",
    ".hdr": _ANALYZE,
    ".img": _ANALYZE,
    ".img.gz": _ANALYZE,
    ".par": "convert it with dcm2niix",
    ".rec": "convert it with dcm2niix",
    ".gipl": "convert it to .nii.gz or .mha with SimpleITK",
    ".gipl.gz": "convert it to .nii.gz or .mha with SimpleITK",
    ".bmp": "convert it to PNG",
    ".gif": "convert it to PNG",
    ".webp": "convert it to PNG",
}
"""Image formats that are recognised but not read, and what to do with them."""


def ending(path: Path) -> str:
    """Image ending of a file name in lower case (``".nii.gz"``, ``".png"`` ...), ``""`` if it has none that is read.

    >>> from pathlib import Path
    >>> ending(Path("case.NII.gz")), ending(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((known for known in READERS if name.endswith(known) and name != known), "")


def looks_like_image(path: Path) -> bool:
    """True for every file that holds or may hold an image, read or refused."""
    return bool(ending(path) or _cure(path))


def _cure(path: Path) -> str:
    """What to do with an image format that is known but not read; empty for anything else."""
    name = path.name.lower()
    return next((step for known, step in KNOWN_BUT_REFUSED.items() if name.endswith(known) and name != known), "")


def is_volume(volume: Volume) -> bool:
    """Whether an image came from a format of volumes, with axes x, y, z and a place in space; a picture did not."""
    return isinstance(volume.header, nifti.NiftiHeader | itk.ItkHeader)


def companions(path: Path) -> tuple[str, ...]:
    """Names of the files that lie beside an image and belong to it: the voxels of an ``.mhd`` or ``.nhdr`` header.

    None for a file that holds all of its image, that is not there, or whose header cannot be read.
    """
    return itk.companions(path) if READERS.get(ending(path)) is itk and path.is_file() else ()


def with_companions(root: Path, name: Path, like: Path | None = None) -> tuple[Path, ...]:
    """An image and all files that belong to it, relative to their root.

    Args:
        root: where the image lies.
        name: of the image, relative to it.
        like: another name for the image, as in an output; its companions keep their own names beside it.
    """
    target = name if like is None else like
    return (target, *(target.with_name(other) for other in companions(root / name)))


def read(path: Path) -> Volume:
    """Read one image file as it is stored.

    Args:
        path: a NIfTI, MetaImage, NRRD, PNG, TIFF or JPEG file.

    Returns:
        The volume; ``stored`` is read-only.

    Raises:
        InputError: if it is missing, unsupported, or could not be written back exactly.
    """
    kind = ending(path)
    if not kind:
        step = _cure(path) or "convert it to .nii.gz, PNG or TIFF"
        raise InputError(f"{path}: expected one of {', '.join(READERS)}, got {path.suffix or 'no ending'}; {step}.")
    if not path.is_file():
        raise InputError(f"{path}: expected a file, got nothing there. Check the name, or drop it from the data set.")
    volume: Volume = READERS[kind].read(path)
    return volume


def check_mask_size(path: Path, grids: Sequence[tuple[str, int]]) -> None:
    """Make sure by the header of a mask that is a volume that it is not much larger than what it may be a mask of.

    Args:
        path: the mask; pictures have limits of their own, and of a header that cannot be read :func:`read` says why.
        grids: name and number of voxels of each image that it may belong to.

    Raises:
        GeometryError: before anything is unpacked.
    """
    reader = READERS.get(ending(path))
    try:
        if reader is nifti or reader is itk:
            shape, values = reader.declared_shape(path)
            check_mask(path, shape, values, grids)
    except GeometryError:
        raise
    except (InputError, OSError):
        return


def write(volume: Volume, stored: NDArray[Any], path: Path, *, mark: str = "") -> None:
    """Write new stored values with everything else as in the source; the same input gives the same bytes.

    Args:
        volume: from :func:`read`.
        stored: new stored values, same shape and dtype.
        path: target file.
        mark: text for PNG and TIFF to carry, such as :data:`umed.data.mark.MARK`; the others have no room for it.

    Raises:
        InputError: if the format of ``path`` or ``stored`` does not fit the source.
    """
    kind, source = ending(path), ending(volume.source)
    if READERS.get(kind) is not READERS[source] or (READERS[kind] is itk and kind[-5:] != source[-5:]):
        raise InputError(f"{path}: expected an ending of the same kind as {volume.source.name}, got {path.suffix}.")
    if stored.shape != volume.stored.shape or stored.dtype.str != volume.stored.dtype.str:
        raise InputError(
            f"{path}: expected stored values {volume.stored.shape} {volume.stored.dtype.str}, got {stored.shape} "
            f"{stored.dtype.str}. Return the array in the shape and dtype of Volume.stored."
        )
    if READERS[kind] is raster:
        raster.write(volume, stored, path, mark=mark)
    else:
        READERS[kind].write(volume, stored, path)


def header_difference(source: Volume, written: Volume, *, mark: bool = False) -> str:
    """Say how two files differ in anything but voxels, or ``""``.

    NIfTI, MetaImage and NRRD: every byte before and after the voxels but how many are packed, and how they are packed.
    PNG and TIFF: every chunk and tag that does not say where the pixels lie, and nothing new; a JPEG's fields as chunks
    of a PNG.

    Args:
        source: the source.
        written: what was written.
        mark: a PNG or TIFF must carry the mark of :mod:`umed.data.mark` once.
    """
    before, after = source.header, written.header
    if isinstance(before, nifti.NiftiHeader) and isinstance(after, nifti.NiftiHeader):
        if before.zipped != after.zipped:
            return f"expected {'gzipped' if before.zipped else 'plain'} bytes, got the other"
        if before.head != after.head:
            pairs = zip(before.head, after.head, strict=False)
            place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before.head), len(after.head)))
            return f"expected identical header bytes, got a difference at byte {place}"
        return "" if before.tail == after.tail else "expected identical bytes after the voxels, got other ones"
    if isinstance(before, itk.ItkHeader) and isinstance(after, itk.ItkHeader):
        return itk.header_difference(before, after)
    if isinstance(before, raster.RasterHeader) and isinstance(after, raster.RasterHeader):
        if not mark and written.sha256 == source.sha256 != "":  # a copy
            return ""
        return raster.difference(before, after, mark=mark)
    return f"expected {type(before).__name__}, got {type(after).__name__}"


def notes(volume: Volume) -> tuple[str, ...]:
    """What a user should know about a file that is otherwise fine, for example that qform and sform differ."""
    found: tuple[str, ...] = getattr(volume.header, "notes", ())
    if volume.encoding.dtype[1:2] == "f" and not np.isfinite(volume.stored).all():
        found += ("holds NaN or infinite values, which stay as they are",)
    if ending(volume.source) in raster.JPEG:
        found += ("is lossy and is written as PNG",)
    turned = getattr(volume.header, "orientation", 1)
    if turned != 1:
        found += (f"is shown turned (orientation {turned}), which stays; its mask must fit the stored pixels",)
    left = not_kept(volume)
    return (*found, f"without what would give the original back or fits only it: {', '.join(left)}") if left else found


def not_kept(volume: Volume) -> tuple[str, ...]:
    """What of a file's side data is not written again, such as ``"EXIF thumbnail"``; quotes nothing of the file."""
    found: tuple[str, ...] = getattr(volume.header, "dropped", ())
    return found
