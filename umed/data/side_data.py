# SPDX-License-Identifier: Apache-2.0
"""What an image file holds beside its pixels: text in header fields, and pictures and bytes that no viewer shows.

Read from bytes, within bounds, by readers of our own: a file that hides something need not be a valid one. Fields are
``nifti.*`` (:mod:`umed.data.nifti_fields`), ``metaimage.*`` and ``nrrd.*`` (:mod:`umed.data.itk_fields`), ``png.*``,
``jpeg.*``, ``tiff.*``, ``exif.*`` (:mod:`umed.data.picture_fields`) and ``gzip.*`` (:mod:`umed.data.unpacking`).
"""

from __future__ import annotations

from umed.data import itk, itk_fields, nifti_fields, picture_fields
from umed.data.side_parts import SideData

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins, big ones too."""
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def side_data(data: bytes) -> SideData:
    """Look at a file, whatever its name; gzip must have been unpacked.

    Args:
        data: its bytes.

    Returns:
        What was found; its kind is empty for anything but NIfTI, MetaImage, NRRD, PNG, JPEG and TIFF.
    """
    if nifti_fields.nifti_layout(data) is not None:
        return nifti_fields.nifti_fields(data)
    if itk.is_itk(data):
        return itk_fields.itk_fields(data)
    if data.startswith(PNG):
        return picture_fields.png(data)
    if data.startswith(JPEG):
        return picture_fields.jpeg(data)
    return picture_fields.tiff(data) if data[:4] in TIFF else SideData()
