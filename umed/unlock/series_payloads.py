# SPDX-License-Identifier: Apache-2.0
"""Payloads of DICOM files: the pixels of the original under the header of the release.

What a de-identification took out stays out: the header is the one that was published, and so are rectangles that were
blanked out of the picture. The payload names no file of the source and holds nothing of its header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from umed.core.errors import InputError
from umed.data import files
from umed.dicom.members import FileRef
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import pixel_data, writing
from umed.dicom.read import reader
from umed.unlock.file_payloads import CHANGED, free_place, not_the_original
from umed.unlock.payload import PIXELS, Payload
from umed.unlock.residual import pack_difference, unpack_difference


def make_series_payload(
    original: FileRef, published: Path, path: str, boxes: Sequence[Sequence[int]], limits: Limits = LIMITS
) -> Payload | None:
    """What gives the pixels of a DICOM file back from the one that was published for it.

    Args:
        original: the source.
        published: what was written for it.
        path: of that, relative to the output.
        boxes: rectangles that were blanked out, as top, left, height and width: they stay so.
        limits: bounds against hostile files.

    Returns:
        The payload; ``None`` where no pixel differs.

    Raises:
        InputError: when one cannot be read, or the pixels cannot be brought back exactly.
    """
    dataset = reader.read(published, limits, pixels=True)
    after = pixel_data.decode(dataset, limits)
    before = np.array(pixel_data.decode(reader.read(original, limits, pixels=True), limits))
    if before.shape != after.shape or before.dtype != after.dtype:
        raise InputError(f"{path}: expected pixels {before.shape} {before.dtype}, got {after.shape} {after.dtype}.")
    for top, left, height, width in boxes:
        part = (slice(None), slice(top, top + height), slice(left, left + width))
        before[part] = after[part]
    if np.array_equal(before, after):
        return None
    digest = pixels_digest(dataset, before)
    pixel_data.encode(dataset, before, _syntax(dataset, path))
    if pixels_digest(dataset, pixel_data.decode(dataset, limits)) != digest:
        raise InputError(
            f"{path}: expected a header that new pixels leave as it is, got another one. Leave --recipients out, and "
            "report this."
        )
    return Payload(PIXELS, path, files.sha256(published), digest, path, before.nbytes, pack_difference(before, after))


def pixels_digest(dataset: FileDataset, values: NDArray[Any]) -> str:
    """SHA-256 of the bytes of a DICOM file around its pixels, and of stored values.

    Args:
        dataset: with pixels, which stay in it.
        values: as :func:`umed.dicom.pixels.pixel_data.decode` gives them.

    Returns:
        Hexadecimal.
    """
    element = dataset["PixelData"]
    del dataset["PixelData"]
    try:
        digest = hashlib.sha256(b"".join(writing.chunks(dataset)))
    finally:
        dataset["PixelData"] = element
    digest.update(f"{values.dtype.newbyteorder('<').str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def restore_series_file(payload: Payload, published: Path, folder: Path, limits: Limits = LIMITS) -> list[str]:
    """Write a published DICOM file with the pixels of its original, and make sure that it is that.

    Args:
        payload: of kind pixels.
        published: the file that it belongs to.
        folder: root of the originals; nothing in it is written over.
        limits: bounds against hostile files.

    Returns:
        The name of the file, relative to ``folder``.

    Raises:
        InputError: when the published file is not the one that the payload is bound to, or the payload is damaged.
        VerificationError: when what was written is not the original.
    """
    target = free_place(folder, payload.path)
    if files.sha256(published) != payload.sha256:
        raise InputError(f"{published}: {CHANGED}")
    dataset = reader.read(published, limits, pixels=True)
    after = pixel_data.decode(dataset, limits)
    if payload.size != after.nbytes:
        raise InputError(f"{payload.path}: expected a payload for this image, got one for another. Fetch it again.")
    pixel_data.encode(dataset, unpack_difference(payload.data, after), _syntax(dataset, payload.path))
    with open(target, "wb") as file:
        file.writelines(writing.chunks(dataset))
    back = reader.read(target, limits, pixels=True)
    if pixels_digest(back, pixel_data.decode(back, limits)) != payload.digest:
        raise not_the_original(payload.path)
    return [payload.path]


def _syntax(dataset: FileDataset, path: str) -> str:
    """Name of the transfer syntax in which a file was published."""
    uid = str(dataset.file_meta.TransferSyntaxUID)
    found = next((name for name, known in pixel_data.SYNTAXES.items() if known == uid), None)
    if found is None:
        raise InputError(f"{path}: expected a transfer syntax of {', '.join(pixel_data.SYNTAXES)}, got {uid}.")
    return found
