# SPDX-License-Identifier: Apache-2.0
"""Stored values of DICOM images, decoded exactly as integers (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from umed.core.errors import InputError
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import codecs
from umed.dicom.pixels.codecs import brief
from umed.dicom.read import headers, reader
from umed.dicom.read.headers import integer, text


def decode(
    dataset: Dataset, limits: Limits = LIMITS, *, frame: int | None = None, drop_high_bits: bool = False
) -> NDArray[Any]:
    """Stored values of an image.

    Colours in YBR are turned to RGB where that is exact, or where the source was compressed with loss, so that the RGB
    is what every viewer shows. Values that use fewer bits than they have room for are extended by their own sign bit
    (PS3.5 8.1.1).

    Args:
        dataset: from :func:`umed.dicom.read.reader.read` with pixels.
        limits: bounds; the decoded size is checked before anything is decoded.
        frame: decode only this one, from 0.
        drop_high_bits: accept values with something in the bits above BitsStored, and drop that. By default such a file
            is refused, unless an old overlay explains them: nobody can tell garbage from a wrong BitsStored, which is
            common, and dropping would then change the picture.

    Returns:
        ``(frames, rows, columns)`` or with colours ``(frames, rows, columns, 3)``; (u)int8, 16 or 32 as BitsAllocated
        and PixelRepresentation say, in the byte order of this machine; one frame only with ``frame``.

    Raises:
        InputError: if there are no integer pixel data, they are broken or too large, cannot be represented exactly, or
            a codec is missing.
    """
    with reader.guard(text(dataset, "SOPInstanceUID") or "image"):
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        shape, dtype = expected(dataset)
        count = shape[0] if frame is None else 1
        total = int(np.prod(shape[1:], dtype=object)) * count * dtype.itemsize
        if total > limits.pixels_bytes:
            raise InputError(f"expected pixel data of at most {limits.pixels_bytes} bytes, got {total}")
        if frame is not None and not 0 <= frame < shape[0]:
            raise InputError(f"expected a frame from 0 to {shape[0] - 1}, got {frame}")
        photometric = text(dataset, "PhotometricInterpretation")
        if photometric.startswith("YBR") and not headers.turns_to_rgb(photometric, syntax):
            raise InputError(f"its colours are {photometric}, which cannot be turned to RGB without loss")
        native = not UID(syntax).is_encapsulated
        if native:
            values = _native(dataset, frame)
        else:
            values = np.stack(list(codecs.frames(dataset, shape, frame)))
        values = values.reshape(count, *shape[1:])
        if values.dtype.itemsize != dtype.itemsize or values.dtype.kind not in "iu":
            raise InputError(f"expected pixels of {dtype}, got {values.dtype} from the decoder")
        values = values.astype(values.dtype.newbyteorder("="), copy=False).view(dtype)
        return _low_bits(dataset, values, drop_high_bits, native)


def expected(dataset: Dataset) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the stored values that the header announces.

    InputError if there are none, or the header contradicts itself or is not supported.
    """
    if "PixelData" not in dataset:
        floating = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        raise InputError("its pixels are floating point numbers" if floating else "has no pixel data")
    bits, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    signed, samples = integer(dataset, "PixelRepresentation"), integer(dataset, "SamplesPerPixel", 1)
    if bits not in (8, 16, 32) or not 1 <= stored <= bits or signed not in (0, 1) or samples not in (1, 3):
        what = "packed single bits" if bits == 1 else f"{stored} of {bits} bits and {samples} samples a pixel"
        raise InputError(f"expected pixels of 8, 16 or 32 bits and 1 or 3 samples, got {what}, which are not decoded")
    if integer(dataset, "HighBit", stored - 1) != stored - 1:
        raise InputError(f"expected the high bit {stored - 1}, got {integer(dataset, 'HighBit')}")
    frames = max(integer(dataset, "NumberOfFrames", 1), 1)
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if rows <= 0 or columns <= 0:
        raise InputError(f"expected rows and columns, got {rows} x {columns}")
    shape = (frames, rows, columns) if samples == 1 else (frames, rows, columns, samples)
    return shape, np.dtype(f"{'i' if signed else 'u'}{bits // 8}")


def _native(dataset: Dataset, frame: int | None) -> NDArray[Any]:
    """Values that are not compressed, with all bits as they are."""
    if dataset["PixelData"].is_undefined_length:
        raise InputError("its pixel data are compressed, but its transfer syntax says they are not")
    options: dict[str, Any] = {"raw": True, "index": frame, "correct_unused_bits": False}
    try:
        decoder = get_decoder(UID(dataset.file_meta.TransferSyntaxUID))
        return np.asarray(decoder.as_array(dataset, **options)[0])
    except Exception as error:
        raise InputError(f"the pixel data are broken ({brief(error)})") from error


def _low_bits(dataset: Dataset, values: NDArray[Any], drop: bool, native: bool) -> NDArray[Any]:
    """Extend values by their sign bit, or by zeros; refuse what else is above it."""
    stored, bits = integer(dataset, "BitsStored"), 8 * values.dtype.itemsize
    if stored == bits:
        return values
    raw = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    shift = raw.dtype.type(bits - stored)
    low = (values << values.dtype.type(shift)) >> values.dtype.type(shift)  # arithmetic for signed types
    if native and not drop:
        high = raw >> raw.dtype.type(stored)
        allowed = (high == 0) | (values == low)  # zero bits, or the sign repeated
        for bit in _overlay_bits(dataset):
            if stored <= bit < bits:
                high = high & ~raw.dtype.type(1 << (bit - stored))
        if not (allowed | (high == 0)).all():
            raise InputError(
                f"some pixels use bits above the {stored} of BitsStored, with no overlay that explains them; "
                "the file may be right or its BitsStored wrong"
            )
    elif not native and not drop and not np.array_equal(low, values):
        raise InputError(f"some pixels use bits above the {stored} of BitsStored")
    return np.asarray(low)


def _overlay_bits(dataset: Dataset) -> list[int]:
    """Bits of the pixel values that hold overlays (retired: OverlayBitPosition without OverlayData)."""
    found = []
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0102) in dataset and (group, 0x3000) not in dataset:
            value = dataset[group, 0x0102].value
            if isinstance(value, int):
                found.append(value)
    return found
