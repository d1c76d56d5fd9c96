# SPDX-License-Identifier: Apache-2.0
"""The header of MetaImage files, ``.mha`` and ``.mhd``: lines of ``Field = value``.

The last of them says where the voxels are. Format: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from umed.core.errors import InputError
from umed.data.itk_layout import MOST_FIELDS, MOST_HEAD, RESAVE, ItkLayout, data_name, whole_numbers

TYPES = {
    "CHAR": "i1",
    "UCHAR": "u1",
    "SHORT": "i2",
    "USHORT": "u2",
    "INT": "i4",
    "UINT": "u4",
    "LONG": "i4",  # four bytes in MetaIO on every system
    "ULONG": "u4",
    "LONG_LONG": "i8",
    "ULONG_LONG": "u8",
    "FLOAT": "f4",
    "DOUBLE": "f8",
}
"""numpy type of each ``ElementType``, without ``MET_``."""
_PLACES = {"TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin"}
_UNITS = {"um": 1e-3, "mm": 1.0, "cm": 10.0}
_FIRST = re.compile(rb"\s*[A-Za-z][\w|.\[\] -]{0,80}?[ \t]*[=:][^\0\n]{0,2000}\n")
_LAST = re.compile(rb"\n[ \t]*ElementDataFile[ \t]*[=:]")
_SIZE = re.compile(rb"(?m)^([ \t]*CompressedDataSize[ \t]*[=:][ \t]*)\d+")


def is_metaimage(data: bytes) -> bool:
    """Whether bytes begin like a MetaImage header."""
    start = data[:MOST_HEAD]
    last = _LAST.search(start) if _FIRST.match(start) else None
    return last is not None and b"\0" not in start[: last.start()]


def with_packed_size(head: bytes, size: int) -> bytes:
    """The header of a compressed image for other packed bytes: only the number changes.

    >>> with_packed_size(b"CompressedDataSize = 7", 1234)
    b'CompressedDataSize = 1234'
    """
    return _SIZE.sub(rb"\g<1>%d" % size, head, count=1)


def parse_metaimage(path: Path, data: bytes) -> ItkLayout:
    """Read a header.

    Args:
        path: what the file is called in errors.
        data: the file, or its beginning; of a header with a data file beside it all of it.

    Raises:
        InputError: for anything that could not be written back exactly.
    """
    fields, end = _fields(path, data)
    found = dict(fields)
    if found.get("ObjectType", "Image") != "Image":
        kind = found["ObjectType"][:40]
        raise InputError(
            f"{path}: expected ObjectType = Image, got {kind!r}. Save the image in it as a file of its own."
        )
    dims = whole_numbers(path, "NDims", found.get("NDims", ""), 1)[0]
    if not 2 <= dims <= 4:
        raise InputError(f"{path}: expected a 2-D to 4-D image, got NDims = {dims}. Split it into such files.")
    grid = whole_numbers(path, "DimSize", found.get("DimSize", ""), dims)
    components = whole_numbers(path, "ElementNumberOfChannels", found.get("ElementNumberOfChannels", "1"), 1)[0]
    if not _flag(path, found, "BinaryData", default=True):
        raise InputError(f"{path}: expected binary voxels, got BinaryData = False (numbers as text). {RESAVE}.")
    if found.get("HeaderSize", "0") not in ("0", "-1"):
        raise InputError(
            f"{path}: expected voxels at the start of the data, got HeaderSize = {found['HeaderSize'][:20]}: other "
            f"bytes stand before them. {RESAVE}."
        )
    target = found["ElementDataFile"]
    name = "" if target.upper() == "LOCAL" else data_name(path, "ElementDataFile", target)
    packed = None
    compressed = _flag(path, found, "CompressedData", default=False)
    if compressed and "CompressedDataSize" in found:
        packed = whole_numbers(path, "CompressedDataSize", found["CompressedDataSize"], 1)[0]
    elif compressed and not name:
        raise InputError(f"{path}: expected CompressedDataSize beside CompressedData, got none. {RESAVE}.")
    units = found.get("DistanceUnits", "mm")
    return ItkLayout(
        kind="MetaImage",
        head=data[:end] if not name else data,
        end=end,
        sizes=grid if components == 1 else (components, *grid),
        vector=None if components == 1 else 0,
        dtype=_dtype(path, found),
        packing="zlib" if compressed else "raw",
        data_file=name,
        packed=packed,
        exact=found.get("HeaderSize") == "-1",
        measured=_spacing_is_known(path, found, dims),
        placed=bool(_PLACES & found.keys()),
        unit=_UNITS.get(units, 1.0),
        fields=tuple(fields),
    )


def _fields(path: Path, data: bytes) -> tuple[list[tuple[str, str]], int]:
    """Fields in order, and where the header ends: behind the line of ElementDataFile."""
    fields: list[tuple[str, str]] = []
    seen: set[str] = set()
    place = 0
    while place < min(len(data), MOST_HEAD):
        stop = data.find(b"\n", place, MOST_HEAD)
        stop = min(len(data), MOST_HEAD) if stop < 0 else stop + 1
        line = data[place:stop].decode("latin-1").strip()
        place = stop
        if not line:
            continue
        sign = re.search(r"[=:]", line)
        name, value = ("", "") if sign is None else (line[: sign.start()].rstrip(), line[sign.end() :].lstrip())
        if not name or not line.replace("\t", " ").isprintable():
            raise InputError(f"{path}: expected lines such as NDims = 3, got {line[:40]!r}. Repair its header.")
        if name in seen or len(seen) == MOST_FIELDS:
            got = f"{name[:60]} twice" if name in seen else f"more than {MOST_FIELDS}"
            raise InputError(f"{path}: expected each field once, got {got}. Remove one of the two lines.")
        seen.add(name)
        fields.append((name, value))
        if name == "ElementDataFile":
            return fields, place
    raise InputError(
        f"{path}: expected a MetaImage header that ends with ElementDataFile, got none within {place} bytes. "
        "The file is cut short or of another kind: fetch it again."
    )


def _flag(path: Path, found: dict[str, str], field: str, *, default: bool) -> bool:
    text = found.get(field)
    if text is not None and text.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"{path}: expected {field} = True or False, got {text[:20]!r}. Repair its header.")
    return default if text is None else text.lower() in ("true", "1")


def _dtype(path: Path, found: dict[str, str]) -> np.dtype[Any]:
    """Type of a value, with its byte order; a file that does not say it is little-endian, as on every common system."""
    named = found.get("ElementType", "")
    code = TYPES.get(named.removeprefix("MET_").removesuffix("_ARRAY"))
    if code is None or not named.startswith("MET_"):
        known = ", ".join(f"MET_{name}" for name in TYPES)
        raise InputError(f"{path}: expected an ElementType of {known}, got {named[:40]!r}. {RESAVE}.")
    orders = {
        _flag(path, found, field, default=False)
        for field in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
        if field in found
    }
    if len(orders) > 1:
        raise InputError(
            f"{path}: expected one byte order, got BinaryDataByteOrderMSB and ElementByteOrderMSB that differ. "
            "Remove the wrong line."
        )
    dtype: np.dtype[Any] = np.dtype(code)
    ordered: np.dtype[Any] = dtype.newbyteorder(">" if orders == {True} else "<")
    return ordered


def _spacing_is_known(path: Path, found: dict[str, str], dims: int) -> bool:
    """Whether there is a size of a voxel; one that is none is refused, as SimpleITK does."""
    for field in ("ElementSpacing", "ElementSize"):
        if field not in found:
            continue
        try:
            sizes = [float(word) for word in found[field].split()]
        except ValueError:
            sizes = []
        if len(sizes) != dims or not all(math.isfinite(size) and size != 0 for size in sizes):
            raise InputError(
                f"{path}: expected {dims} sizes above 0 in {field}, got {found[field][:60]!r}. Repair its header."
            )
    return "ElementSpacing" in found or "ElementSize" in found
