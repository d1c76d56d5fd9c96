# SPDX-License-Identifier: Apache-2.0
"""Stored values of DICOM images: decoded exactly as integers, written in a lossless syntax (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from umed.core.errors import InputError
from umed.dicom.objects import Limits
from umed.dicom.pixels import codecs
from umed.dicom.pixels.codecs import brief
from umed.dicom.pixels.decoding import decode, expected
from umed.dicom.pixels.slices import read_slices
from umed.dicom.read import reader, stream
from umed.dicom.read.headers import integer, text

__all__ = ["SYNTAXES", "decode", "encode", "read_slices", "swap_words", "untouchable"]

SYNTAXES = {
    "explicit-le": "1.2.840.10008.1.2.1",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg2000-lossless": "1.2.840.10008.1.2.4.90",
    "jpegls": "1.2.840.10008.1.2.4.80",
}
"""Transfer syntaxes that images can be written in: names for people and UIDs. All are lossless."""
_MOST_BITS = {"rle": 16, "jpeg2000-lossless": 16, "jpegls": 16}
_LEAST_SIDE = {"jpeg2000-lossless": 32}  # five wavelet levels, which openjpeg does not lower
_MOST_SIDE = {"jpegls": 65535, "jpeg2000-lossless": 65535}


def encode(dataset: FileDataset, values: NDArray[Any], syntax: str = "explicit-le") -> None:
    """Put stored values into a data set, in place; no UID changes, nothing is lost, the lossy record stays.

    Args:
        dataset: a data set whose image has the same shape and type, as :func:`decode` gives them.
        values: ``(frames, rows, columns)`` or ``(frames, rows, columns, 3)``.
        syntax: a name of :data:`SYNTAXES`.

    Raises:
        InputError: if the values do not fit the header, the syntax cannot hold them, its codec is missing, or what was
            written decodes to something else.
    """
    if syntax not in SYNTAXES:
        raise InputError(f"expected a transfer syntax of {', '.join(SYNTAXES)}, got {syntax!r}")
    name = text(dataset, "SOPInstanceUID") or "image"
    with reader.guard(name):
        _encode(dataset, values, syntax, name)


def _encode(dataset: FileDataset, values: NDArray[Any], syntax: str, name: str) -> None:
    shape, dtype = expected(dataset)
    if values.shape != shape or values.dtype != dtype:
        raise InputError(f"{name}: expected values {shape} {dtype}, got {values.shape} {values.dtype}")
    stored = integer(dataset, "BitsStored")
    lowest, highest = (-(1 << stored - 1), (1 << stored - 1) - 1) if dtype.kind == "i" else (0, (1 << stored) - 1)
    if values.size and not lowest <= int(values.min()) <= int(values.max()) <= highest:
        raise InputError(f"{name}: expected values from {lowest} to {highest}, got {values.min()} to {values.max()}")
    sides = shape[1:3]
    small = min(sides) < _LEAST_SIDE.get(syntax, 1)
    if 8 * dtype.itemsize > _MOST_BITS.get(syntax, 32) or max(sides) > _MOST_SIDE.get(syntax, 1 << 32) or small:
        found = f"{sides[0]} x {sides[1]} and {8 * dtype.itemsize} bits"
        raise InputError(f"{name}: {syntax} cannot hold images of {found}; write explicit-le or deflated")
    swap_words(dataset)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)
    if len(shape) == 4:
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    raw = np.ascontiguousarray(values, dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if dtype.itemsize == 1 else "OW"
    dataset["PixelData"].is_undefined_length = False
    uid = UID(SYNTAXES[syntax])
    dataset.file_meta.TransferSyntaxUID = uid if syntax == "deflated" else UID(SYNTAXES["explicit-le"])
    if syntax in ("explicit-le", "deflated"):
        return
    try:
        plugin = "pyjpegls" if syntax == "jpegls" else "pylibjpeg"
        dataset.compress(uid, encoding_plugin=plugin, generate_instance_uid=False)
    except Exception as error:
        missing = "plugin" in str(error) and "available" in str(error) and "exception" not in str(error)
        reason = f"no codec for {syntax}. {codecs.INSTALL}" if missing else f"{syntax} failed: {brief(error)}"
        raise InputError(f"{name}: {reason}") from error
    again = decode(dataset, Limits(pixels_bytes=max(values.nbytes, 1)))
    if not np.array_equal(again, values):
        raise InputError(f"{name}: {syntax} does not give back the same values; write explicit-le")


def swap_words(dataset: FileDataset) -> None:
    """Turn the words of binary attributes of a big-endian data set around, before it is written little-endian.

    pydicom turns numbers around, but keeps OW, OL, OF, OD and OV as bytes. Pixel data are left to :func:`encode`. The
    syntax becomes Explicit VR Little Endian. Does nothing for other syntaxes.
    """
    if str(dataset.file_meta.TransferSyntaxUID) != stream.BIG:
        return
    widths = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
    for part in _nested(dataset):
        for element in part:  # looks at every value, so that none is left in the old byte order
            width = widths.get(element.VR, 1)
            if width > 1 and isinstance(element.value, bytes) and element.tag not in stream.PIXELS:
                element.value = np.frombuffer(element.value, f">u{width}").astype(f"<u{width}").tobytes()
        part.set_original_encoding(False, True, part.original_character_set)
    dataset.file_meta.TransferSyntaxUID = UID(SYNTAXES["explicit-le"])


def _nested(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and all that are nested in it."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _nested(item)


def untouchable(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Voxels that hold padding, not anatomy, and must keep their values (PS3.3 C.7.5.1.1.2).

    True where :func:`decode` gave PixelPaddingValue, or from it to PixelPaddingRangeLimit; ``None`` where the header
    names none.
    """
    with reader.guard(text(dataset, "SOPInstanceUID") or "image"):
        limits = []
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            value: Any = dataset.get(keyword)
            if isinstance(value, bytes) and len(value) == 2:  # VR lost: written as UN
                value = int.from_bytes(value, "little")
            if isinstance(value, int):
                bits = 16 if values.dtype.itemsize <= 2 else 32
                value &= (1 << bits) - 1  # US or SS by PixelRepresentation, but files mix them up
                limits.append(value - (1 << bits) if values.dtype.kind == "i" and value >> (bits - 1) else value)
            elif keyword == "PixelPaddingValue":
                return None
    return np.asarray((values >= min(limits)) & (values <= max(limits)))
