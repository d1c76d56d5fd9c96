# SPDX-License-Identifier: Apache-2.0
"""Stored values of DICOM images: decoded exactly as integers, written in a lossless syntax (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from umed.dicom import codecs, files, headers, stream
from umed.dicom.archives import printable
from umed.dicom.headers import integer, text
from umed.dicom.types import Instance, Limits, Series
from umed.errors import InputError

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


def decode(
    dataset: Dataset, limits: Limits | None = None, *, frame: int | None = None, drop_high_bits: bool = False
) -> NDArray[Any]:
    """Stored values of an image.

    Colours in YBR are turned to RGB where that is exact, or where the source was compressed with loss, so that the RGB
    is what every viewer shows. Values that use fewer bits than they have room for are extended by their own sign bit
    (PS3.5 8.1.1).

    Args:
        dataset: from :func:`umed.dicom.files.read` with pixels.
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
    name = text(dataset, "SOPInstanceUID") or "image"
    with files.guard(name):
        return _decode(dataset, limits or Limits(), frame, drop_high_bits)


def _decode(dataset: Dataset, limits: Limits, frame: int | None, drop_high_bits: bool) -> NDArray[Any]:
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape, dtype = _expected(dataset)
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


def _expected(dataset: Dataset) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the header announces."""
    if "PixelData" not in dataset:
        floating = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        raise InputError("its pixels are floating point numbers" if floating else "has no pixel data")
    bits, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    signed, samples = integer(dataset, "PixelRepresentation"), integer(dataset, "SamplesPerPixel", 1)
    if bits not in (8, 16, 32) or not 1 <= stored <= bits or signed not in (0, 1) or samples not in (1, 3):
        raise InputError(f"{stored} of {bits} bits and {samples} samples a pixel are not supported")
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
        raise InputError(f"the pixel data are broken ({_last_line(error)})") from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__, 160)


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
    with files.guard(name):
        _encode(dataset, values, syntax, name)


def _encode(dataset: FileDataset, values: NDArray[Any], syntax: str, name: str) -> None:
    shape, dtype = _expected(dataset)
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
        reason = f"no codec for {syntax}. {codecs.INSTALL}" if missing else f"{syntax} failed: {_last_line(error)}"
        raise InputError(f"{name}: {reason}") from error
    again = _decode(dataset, Limits(pixels_bytes=max(values.nbytes, 1)), None, False)
    if not np.array_equal(again, values):
        raise InputError(f"{name}: {syntax} does not give back the same values; write explicit-le")


def swap_words(dataset: FileDataset) -> None:
    """Turn the words of binary attributes of a big-endian data set around, before it is written little-endian.

    pydicom turns numbers around, but keeps OW, OL, OF, OD and OV as bytes. Pixel data are left to :func:`encode`. Does
    nothing for other syntaxes.

    Args:
        dataset: changed in place; its syntax becomes Explicit VR Little Endian.
    """
    if str(dataset.file_meta.TransferSyntaxUID) != stream.BIG:
        return
    widths = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
    for element in dataset.iterall():  # looks at every value, so that none is left in the old byte order
        width = widths.get(element.VR, 1)
        if width > 1 and isinstance(element.value, bytes) and element.tag not in stream.PIXELS:
            element.value = np.frombuffer(element.value, f">u{width}").astype(f"<u{width}").tobytes()
    dataset.file_meta.TransferSyntaxUID = UID(SYNTAXES["explicit-le"])
    for part in _nested(dataset):
        part.set_original_encoding(False, True, part.original_character_set)


def _nested(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and all that are nested in it."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _nested(item)


def untouchable(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Voxels that hold padding, not anatomy, and must keep their values (PS3.3 C.7.5.1.1.2).

    Args:
        dataset: the header.
        values: stored values from :func:`decode`.

    Returns:
        True at PixelPaddingValue, or from it to PixelPaddingRangeLimit; ``None`` where the header names none.
    """
    with files.guard(text(dataset, "SOPInstanceUID") or "image"):
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


def read_slices(series: Series, start: int, stop: int, limits: Limits | None = None) -> NDArray[Any]:
    """Stored values of some slices of a series, one file open at a time.

    Args:
        series: an image series of :func:`umed.dicom.scan.scan`.
        start: first slice.
        stop: one past the last one.
        limits: bounds.

    Returns:
        ``(stop - start, rows, columns)``, with colours ``(..., 3)``; see :func:`decode`.

    Raises:
        InputError: as :func:`decode`, with the path; or if the series has no such slices.
    """
    limits = limits or Limits()
    if not 0 <= start < stop <= len(series.slices):
        raise InputError(f"{series.id}: expected slices within 0 to {len(series.slices)}, got {start} to {stop}")
    out: NDArray[Any] | None = None
    for number in range(start, stop):
        instance, frame = series.slices[number]
        values = _one(series.instances[instance], frame, limits)
        if out is None:
            out = np.empty((stop - start, *values.shape), values.dtype)
        if values.shape != out.shape[1:] or values.dtype != out.dtype:
            found = f"{values.shape} {values.dtype}"
            raise InputError(f"{series.instances[instance].path}: expected {out.shape[1:]} {out.dtype}, got {found}")
        out[number - start] = values
    assert out is not None
    return out


_OPEN: OrderedDict[tuple[str, int, int], FileDataset] = OrderedDict()
"""The last multi-frame file, still compressed; most callers want many of its frames."""


def _one(instance: Instance, frame: int, limits: Limits) -> NDArray[Any]:
    """One frame of one file."""
    try:
        if instance.shape[0] == 1:
            return np.asarray(decode(files.read(instance.path, limits, pixels=True), limits)[0])
        state = instance.path.stat()
        key = (str(instance.path), state.st_mtime_ns, state.st_size)
        if key not in _OPEN:
            _OPEN.clear()
            _OPEN[key] = files.read(instance.path, limits, pixels=True)
        return np.asarray(decode(_OPEN[key], limits, frame=frame)[0])
    except OSError as error:
        raise InputError(f"{instance.path}: cannot be read ({error.strerror})") from error
    except InputError as error:
        message = str(error)
        raise InputError(message if str(instance.path) in message else f"{instance.path}: {message}") from error
