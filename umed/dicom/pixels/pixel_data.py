# SPDX-License-Identifier: Apache-2.0
"""Stored values of DICOM images: decoded exactly as integers, written in a lossless syntax (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from umed.core.errors import InputError
from umed.dicom.held import has, held, tag_of
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import codecs
from umed.dicom.pixels.codecs import brief
from umed.dicom.read import headers, reader, stream
from umed.dicom.read.headers import integer, text

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


def decode(dataset: Dataset, limits: Limits = LIMITS) -> NDArray[Any]:
    """Stored values of an image.

    Colours in YBR are turned to RGB where that is exact, or where the source was compressed with loss, so that the RGB
    is what every viewer shows. Values that use fewer bits than they have room for are extended by their own sign bit
    (PS3.5 8.1.1). Something else in the bits above BitsStored is refused, unless an old overlay explains it: nobody can
    tell garbage from a wrong BitsStored, which is common, and dropping it would then change the picture.

    Args:
        dataset: from :func:`umed.dicom.read.reader.read` with pixels.
        limits: bounds; the decoded size is checked before anything is decoded.

    Returns:
        ``(frames, rows, columns)`` or with colours ``(frames, rows, columns, 3)``; (u)int8, 16 or 32 as BitsAllocated
        and PixelRepresentation say, in the byte order of this machine.

    Raises:
        InputError: if there are no integer pixel data, they are broken or too large, cannot be represented exactly, or
            a codec is missing.
    """
    with reader.guard(text(dataset, "SOPInstanceUID") or "image"):
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        shape, dtype = expected(dataset)
        total = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if total > limits.pixels_bytes:
            raise InputError(f"expected pixel data of at most {limits.pixels_bytes} bytes, got {total}")
        photometric = text(dataset, "PhotometricInterpretation")
        if photometric.startswith("YBR") and not headers.turns_to_rgb(photometric, syntax):
            raise InputError(f"its colours are {photometric}, which cannot be turned to RGB without loss")
        native = not UID(syntax).is_encapsulated
        values = _native(dataset) if native else _decompress(dataset, shape)
        values = values.reshape(shape)
        if values.dtype.itemsize != dtype.itemsize or values.dtype.kind not in "iu":
            raise InputError(f"expected pixels of {dtype}, got {values.dtype} from the decoder")
        values = values.astype(values.dtype.newbyteorder("="), copy=False).view(dtype)
        return _low_bits(dataset, values, native)


def is_sound(dataset: FileDataset, limits: Limits = LIMITS) -> bool:
    """Whether :func:`encode` would write the very bytes that a file has: grey, native, nothing in unused bits.

    Nobody has to decode, write and compare those. False wherever something is unusual, also where it is wrong.

    Args:
        dataset: from :func:`umed.dicom.read.reader.read` with pixels, as explicit VR, little-endian.
        limits: bounds.
    """
    stored: Any = held(dataset, 0x7FE00010)
    if (
        type(stored) is not RawDataElement
        or type(stored.value) is not bytes
        or dataset.original_encoding != (False, True)
    ):
        return False
    try:
        with reader.guard("image"):
            shape, dtype = expected(dataset)
            bits, plain = integer(dataset, "BitsStored"), text(dataset, "PhotometricInterpretation")
    except InputError:
        return False
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    fits = stored.length == len(stored.value) == size <= limits.pixels_bytes and size % 2 == 0
    usual = (
        len(shape) == 3
        and plain in ("MONOCHROME1", "MONOCHROME2")
        and stored.VR == ("OB" if dtype.itemsize == 1 else "OW")
    )
    offsets = has(dataset, tag_of("ExtendedOffsetTable")) or has(dataset, tag_of("ExtendedOffsetTableLengths"))
    if not (fits and usual) or offsets:
        return False
    values = np.frombuffer(stored.value, dtype.newbyteorder("<"))
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.kind == "i" else (0, (1 << bits) - 1)
    return lowest <= int(values.min()) and int(values.max()) <= highest


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


def _decompress(dataset: Dataset, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of all frames; no frame is held twice."""
    values: NDArray[Any] | None = None
    for number, frame in enumerate(codecs.frames(dataset, shape)):
        if values is None:
            values = np.empty(shape, frame.dtype)
        if frame.dtype != values.dtype:
            raise InputError(f"expected frames of {values.dtype}, got one of {frame.dtype} from the decoder")
        values[number] = frame
    assert values is not None  # there is at least one frame, or frames() has raised
    return values


def _native(dataset: Dataset) -> NDArray[Any]:
    """Values that are not compressed, with all bits as they are."""
    if dataset["PixelData"].is_undefined_length:
        raise InputError("its pixel data are compressed, but its transfer syntax says they are not")
    options: Any = {"raw": True, "correct_unused_bits": False}
    try:
        return np.asarray(get_decoder(UID(dataset.file_meta.TransferSyntaxUID)).as_array(dataset, **options)[0])
    except Exception as error:
        raise InputError(f"the pixel data are broken ({brief(error)})") from error


def _low_bits(dataset: Dataset, values: NDArray[Any], native: bool) -> NDArray[Any]:
    """Extend values by their sign bit, or by zeros; refuse what else is above it."""
    stored, bits = integer(dataset, "BitsStored"), 8 * values.dtype.itemsize
    if stored == bits:
        return values
    raw = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    shift = raw.dtype.type(bits - stored)
    low = (values << values.dtype.type(shift)) >> values.dtype.type(shift)  # arithmetic for signed types
    if native:
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
    elif not np.array_equal(low, values):
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
