# SPDX-License-Identifier: Apache-2.0
"""What a file says, apart from how it is packed, as one checksum: by it an unlocked file is known to be the original.

NIfTI: every byte, unpacked. MetaImage and NRRD: every byte, unpacked, but for the number of packed bytes in a header.
PNG and TIFF: pixels, chunks and tags in their order, and how the pixels lie. DICOM: pixels, and every byte around them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.core.types import Volume
from umed.data import itk, nifti, png_chunks, raster, tiff
from umed.data.metaimage import with_packed_size


def content_digest(volume: Volume, stored: NDArray[Any] | None = None) -> str:
    """SHA-256 of what an image file says.

    Args:
        volume: from :func:`umed.data.formats.read`.
        stored: values in place of its own, of the same shape and dtype.

    Returns:
        Hexadecimal.

    Raises:
        InputError: for a format that is not known here.
    """
    values = volume.stored if stored is None else stored
    header = volume.header
    digest = hashlib.sha256()
    if isinstance(header, nifti.NiftiHeader):
        for piece in nifti.pieces(replace(volume, header=replace(header, zipped=False)), values):
            digest.update(piece)
        return digest.hexdigest()
    if isinstance(header, itk.ItkHeader):
        layout = header.layout
        head = layout.head if layout.packed is None else with_packed_size(layout.head, 0)
        parts: tuple[bytes, ...] = (head, layout.packing.encode(), header.tail)
    elif isinstance(header, raster.RasterHeader):
        parts = (repr((header.samples, header.kept)).encode(), repr(header.layout).encode())
    else:
        raise InputError(f"{volume.source}: expected NIfTI, MetaImage, NRRD, PNG or TIFF, got another. Report this.")
    for part in (*parts, f"{values.dtype.str} {values.shape}".encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def without_mark(volume: Volume) -> Volume:
    """The same image without the mark that ``--mark`` put into it; others as they are."""
    header = volume.header
    if not isinstance(header, raster.RasterHeader):
        return volume
    if header.layout is not None:
        kept: tuple[Any, ...] = tiff.without_marks(header.kept)
    else:
        kept = tuple(chunk for chunk in header.kept if not png_chunks.is_mark_chunk(chunk))
    return replace(volume, header=replace(header, kept=kept))
