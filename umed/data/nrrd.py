# SPDX-License-Identifier: Apache-2.0
"""The header of NRRD files, ``.nrrd`` and ``.nhdr``: a magic line, then lines up to an empty one.

They are ``field: value``, ``key:=value`` or ``# comment``. Format: https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from umed.core.errors import InputError
from umed.data.itk_layout import MOST_FIELDS, MOST_HEAD, RESAVE, ItkLayout, Packing, data_name, whole_numbers

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
TYPES = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
"""numpy type of each ``type``."""
_PACKINGS: dict[str, Packing] = {
    "raw": "raw",
    "gz": "gzip",
    "gzip": "gzip",
    "bz2": "bzip2",
    "bzip2": "bzip2",
}
_FIELDS = frozenset(
    "content number type dimension space spacedimension blocksize endian encoding min max oldmin oldmax lineskip "
    "byteskip datafile sampleunits sizes spacings thicknesses axismins axismaxs centers centerings labels units kinds "
    "spacedirections spaceorigin spaceunits measurementframe".split()
)
"""Names of fields, without spaces: NRRD takes both."""
_DOMAINS = {"domain", "space", "time", "???", "none"}
"""Kinds of axes that run over voxels; all others count what a voxel holds."""
_UNITS = {"m": 1e3, "meter": 1e3, "cm": 10.0, "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0}
_UNITS |= {"um": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "\xb5m": 1e-3}
_SEGMENT = re.compile(r"Segment(\d+)_(\w+)")


def is_nrrd(data: bytes) -> bool:
    """Whether bytes begin like an NRRD file."""
    return re.match(rb"NRRD0\d\d\d[ \t]*\r?\n", data) is not None


def parse_nrrd(path: Path, data: bytes) -> ItkLayout:
    """Read a header.

    Args:
        path: what the file is called in errors.
        data: the file, or its beginning; of a header with a data file beside it all of it.

    Raises:
        InputError: for anything that could not be written back exactly.
    """
    fields, end, closed = _lines(path, data)
    found = {name: value for kind, name, value in fields if kind == "field"}
    dims = whole_numbers(path, "dimension", found.get("dimension", ""), 1)[0]
    sizes = whole_numbers(path, "sizes", found.get("sizes", ""), dims)
    kinds = [kind.strip('"').lower() for kind in found.get("kinds", "").split()]
    if kinds and len(kinds) != dims:
        raise InputError(f"{path}: expected {dims} kinds, got {found['kinds'][:60]!r}. Repair its header.")
    vectors = [axis for axis, kind in enumerate(kinds) if kind not in _DOMAINS]
    if len(vectors) > 1 or not 2 <= dims - len(vectors) <= 4:
        raise InputError(
            f"{path}: expected a 2-D to 4-D image with at most one axis of components, got sizes {found['sizes'][:60]} "
            f"of kinds {found.get('kinds', 'unknown')[:80]}. Split it into such files."
        )
    vector = vectors[0] if vectors else None
    _check_segments(path, fields, vector is not None)
    name = data_name(path, "data file", found["datafile"]) if "datafile" in found else ""
    if not name and not closed:
        raise InputError(
            f"{path}: expected an empty line behind the header, got none within {end} bytes. "
            "The file is cut short: fetch it again."
        )
    packing = _PACKINGS.get(found.get("encoding", "").lower())
    if packing is None:
        got = found.get("encoding", "none")[:20]
        raise InputError(f"{path}: expected encoding raw, gzip or bzip2, got {got!r}. {RESAVE}.")
    skips = {field: found.get(field, "0").strip() for field in ("lineskip", "byteskip")}
    exact = packing == "raw" and skips == {"lineskip": "0", "byteskip": "-1"}
    if not exact and set(skips.values()) != {"0"}:
        raise InputError(
            f"{path}: expected voxels at the start of the data, got a line skip or byte skip: other bytes stand before "
            f"them. {RESAVE}."
        )
    return ItkLayout(
        kind="NRRD",
        head=data if name else data[:end],
        end=end,
        sizes=sizes,
        vector=vector,
        dtype=_dtype(path, found),
        packing=packing,
        data_file=name,
        exact=exact,
        measured="spacedirections" in found or _all_known(found.get("spacings", "")),
        placed="spacedirections" in found or "spaceorigin" in found,
        unit=_unit(found.get("spaceunits", "")),
        alpha=vector is not None and kinds[vector] == "rgba-color",
        fields=tuple((name if kind != "comment" else "comment", value) for kind, name, value in fields),
    )


def _lines(path: Path, data: bytes) -> tuple[list[tuple[str, str, str]], int, bool]:
    """Kind, name and value of each line, where the header ends, and whether an empty line ended it."""
    fields: list[tuple[str, str, str]] = []
    place = 0
    seen: set[str] = set()
    while place < min(len(data), MOST_HEAD):
        stop = data.find(b"\n", place, MOST_HEAD)
        raw = data[place : len(data) if stop < 0 else stop].removesuffix(b"\r")
        first, place = place == 0, len(data) if stop < 0 else stop + 1
        line = _text(raw)
        if first:
            if line.strip() not in {f"NRRD000{version}" for version in range(1, 6)}:
                raise InputError(f"{path}: expected NRRD0001 to NRRD0005, got {line[:20]!r}. {RESAVE}.")
            continue
        if not line:
            return fields, place, True
        kind, name, value = _take(path, line)
        if (kind != "comment" and name in seen) or len(fields) == MOST_FIELDS:
            got = f"{name[:60]!r} twice" if name in seen else f"more than {MOST_FIELDS}"
            raise InputError(f"{path}: expected each field and key once, got {got}. Remove one of the two lines.")
        seen.add(name)
        fields.append((kind, name, value))
    return fields, place, False


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _take(path: Path, line: str) -> tuple[str, str, str]:
    """One line; a name that NRRD knows wins over a key."""
    if line.startswith("#"):
        return "comment", "", line.lstrip("# ")
    name, colon, value = line.partition(": ")
    plain = name.lower().replace(" ", "")
    if colon and plain in _FIELDS:
        return "field", {"centerings": "centers"}.get(plain, plain), value.strip()
    key, sign, value = line.partition(":=")
    if not sign or "\0" in line:
        raise InputError(f"{path}: expected lines such as 'type: short' or 'key:=value', got {line[:40]!r}. Repair it.")
    return "key", key, value


def _dtype(path: Path, found: dict[str, str]) -> np.dtype[Any]:
    code = TYPES.get(" ".join(found.get("type", "").lower().split()))
    if code is None:
        raise InputError(
            f"{path}: expected numbers such as type: short or float, got {found.get('type', '')[:40]!r}. {RESAVE}."
        )
    dtype: np.dtype[Any] = np.dtype(code)
    order = found.get("endian", "").lower()
    if dtype.itemsize == 1:
        return dtype
    if order not in ("little", "big"):
        raise InputError(f"{path}: expected endian: little or big, got {order[:20]!r}. Repair its header.")
    ordered: np.dtype[Any] = dtype.newbyteorder("<" if order == "little" else ">")
    return ordered


def _all_known(spacings: str) -> bool:
    """Whether there are spacings, and none is unknown (NaN) but perhaps that of the components."""
    try:
        sizes = [float(word) for word in spacings.split()]
    except ValueError:
        return False
    return bool(sizes) and sum(math.isfinite(size) and size != 0 for size in sizes) >= min(2, len(sizes))


def _unit(text: str) -> float:
    units = set(re.findall(r'"([^"]*)"', text))
    return _UNITS.get(units.pop(), 1.0) if len(units) == 1 else 1.0


def _check_segments(path: Path, fields: list[tuple[str, str, str]], layered: bool) -> None:
    """A segmentation of 3D Slicer is read where it is one map in which each segment has a value of its own."""
    segments: dict[str, dict[str, str]] = {}
    for kind, name, value in fields:
        match = _SEGMENT.fullmatch(name) if kind == "key" else None
        if match is not None:
            segments.setdefault(match[1], {})[match[2]] = value.strip()
    if not segments:
        return
    values = [segment.get("LabelValue", "") for segment in segments.values()]
    layers = {segment.get("Layer", "0") for segment in segments.values()}
    if layered or len(layers) > 1 or "" in values or len(set(values)) < len(values):
        what = "several layers" if layered or len(layers) > 1 else "segments without a LabelValue of their own"
        raise InputError(
            f"{path}: expected a segmentation of one layer, each segment with its own LabelValue, got {what}. Export "
            "it from 3D Slicer as a label map (Segmentations, Export to files, NRRD, single file)."
        )
