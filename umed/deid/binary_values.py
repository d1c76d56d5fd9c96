# SPDX-License-Identifier: Apache-2.0
"""Binary attributes: what may hold text is replaced by a neutral value or removed; numbers must be numbers.

No search for words decides here. A lookup table stays where it is a curve, which no text is; colours of a palette lose
their low bits, and with them every letter; a colour profile becomes that of sRGB; numbers stay within bounds that four
or eight letters, read as a number, do not keep. Bytes of unknown meaning go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from umed.deid.elements import element, text_of
from umed.deid.policy import Decision
from umed.deid.refusals import Quarantine

Verdict = Literal["kept", "replaced", "removed"]

ICC_PROFILE, COLOR_SPACE = 0x00282000, 0x00282002
LUT_DATA, LUT_DESCRIPTOR = 0x00283006, 0x00283002
MODALITY_LUTS = 0x00283000
PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
PALETTES = range(0x00281201, 0x00281205)  # red, green, blue, alpha; their descriptors lie at 0028,1101 and so on
SEGMENTED = range(0x00281221, 0x00281225)
# Bulk of numbers: meshes, tracks, deformation fields, maps of surfaces and compensators, places of compressed frames.
NUMBERS = frozenset(
    (0x00181638, 0x003A032E, 0x00640009, 0x00660016, 0x00660021, 0x00660022, 0x00660040, 0x00660041, 0x00660042,
     0x00660043, 0x00660125, 0x00660129, 0x006A0011, 0x0070150D, 0x00701A07, 0x00800010, 0x00800011, 0x300A0664,
     0x300A0665, 0x300A066B, 0x7FE00001, 0x7FE00002)
)  # fmt: skip
_KINDS = {"FD": "f8", "OD": "f8", "FL": "f4", "OF": "f4", "UL": "u4", "OL": "u4", "SL": "i4", "US": "u2", "SS": "i2",
          "UV": "u8", "OV": "u8", "SV": "i8", "AT": "u2"}  # fmt: skip
_LARGEST = {"f8": 1e15, "f4": 1e9, "u4": 2.0**29, "i4": 2.0**29, "u8": 2.0**48, "i8": 2.0**48}
_SMALLEST = 1e-28  # doubles that end in a digit are smaller, rounding errors are not
_NONE = 0xFFFFFFFF  # "not applicable" in UL
_LEAST_ENTRIES = 16
_STEEPEST = 0.25  # of the range of a lookup table from one entry to the next
_COLOUR_BITS = 0xF8  # 32 steps a channel
_LETTERS = 4
_PROSE = 16  # bytes of several fractions that are all printable are text


def settle_binary(dataset: Dataset, tag: int, stored: DataElement | RawDataElement, decision: Decision) -> Verdict:
    """Decide on an attribute of a binary VR, and put the neutral value in where there is one.

    Raises:
        Quarantine: when the picture needs a value that may hold text.
    """
    number = int(tag)
    if number in PIXELS:
        return "kept"
    if number == ICC_PROFILE:
        return _profile(dataset, tag)
    if number in PALETTES:
        return _palette(dataset, tag, _order(dataset, stored))
    if number in SEGMENTED:
        if text_of(dataset, 0x00280004) == "PALETTE COLOR" and number - 0x20 not in dataset:
            raise Quarantine("its palette is stored in segments, which may hold text; put aside. Write it as a table.")
        return "removed"
    if number == LUT_DATA:
        return _curve(dataset, tag, _order(dataset, stored))
    if decision.bulk and number not in NUMBERS:
        return "removed"
    vr = (
        stored.VR
        if stored.VR in _KINDS
        else decision.vr or next((one for one in sorted(decision.vrs) if one in _KINDS), "")
    )
    return "kept" if _are_numbers(stored, vr, decision) else "removed"


def check_modality_luts(items: Any) -> None:
    """Refuse tables that turn stored values into physical ones and may hold text: a neutral one would be wrong.

    Raises:
        Quarantine: when one of the tables is no curve.
    """
    for item in items:
        if LUT_DATA in item and not _is_curve(item, _order(item, item.get_item(LUT_DATA))):
            raise Quarantine(
                "its modality lookup table is no curve and may hold text; put aside. Apply it, or leave it out."
            )


@cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB, as Pillow's ImageCms (LittleCMS) makes it, dated 2000-01-01; 588 bytes."""
    return resources.files("umed.deid").joinpath("srgb.icc").read_bytes()


def _profile(dataset: Dataset, tag: int) -> Verdict:
    if text_of(dataset, 0x00280002) == "1" and text_of(dataset, 0x00280004) != "PALETTE COLOR":
        return "removed"  # grey pictures have no colours
    dataset[tag] = element(tag, "OB", srgb_profile())
    if COLOR_SPACE in dataset:
        dataset[COLOR_SPACE] = element(COLOR_SPACE, "CS", "SRGB")
    return "replaced"


def _descriptor(dataset: Dataset, tag: int) -> tuple[int, int]:
    """Entries of a lookup table and bits of each; nothing where it is not said."""
    found = dataset[tag].value if tag in dataset else None
    if found is None or isinstance(found, bytes | str) or len(found) != 3:
        return 0, 0
    return int(found[0]) % 65536 or 65536, int(found[2])


def _order(dataset: Dataset, stored: Any) -> str:
    """Byte order of a stored value, as numpy names it; files are written in little endian, whatever they were."""
    encoding = getattr(dataset, "original_encoding", (None, True))[1]
    return ">" if getattr(stored, "is_little_endian", encoding) is False else "<"


def _words(dataset: Dataset, tag: int, order: str) -> NDArray[Any]:
    """Values of a table as words, whatever they are stored as."""
    value = dataset[tag].value
    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) // 2 * 2], order + "u2")
    return np.array(value if hasattr(value, "__iter__") else [value], np.int64)


def _palette(dataset: Dataset, tag: int, order: str) -> Verdict:
    """Round the colours of a palette that fits its descriptor."""
    entries, bits = _descriptor(dataset, tag - 0x100)
    value = dataset[tag].value
    if not isinstance(value, bytes) or not entries or bits not in (8, 16):
        return "removed"
    if len(value) == 2 * entries:
        words = _words(dataset, tag, order)
        high = words >> 8
        if bits == 8 or not high.any():  # a byte in each word, at either end
            high = np.maximum(high, words & 0xFF)
            rounded = (high & _COLOUR_BITS).astype("<u2")
        else:
            rounded = ((high & _COLOUR_BITS) * 257).astype("<u2")
        new = rounded.tobytes()
    elif bits == 8 and len(value) == entries + entries % 2:
        kept = np.frombuffer(value, np.uint8) & _COLOUR_BITS
        kept[entries:] = 0
        new = kept.tobytes()
    else:
        return "removed"
    dataset[tag] = element(tag, "OW", new)
    return "replaced" if new != value else "kept"


def _curve(dataset: Dataset, tag: int, order: str) -> Verdict:
    """Keep a lookup table that is a curve, else put a straight line in its place."""
    if _is_curve(dataset, order):
        if order == ">" and isinstance(dataset[tag].value, bytes):
            dataset[tag] = element(tag, "OW", _words(dataset, tag, order).astype("<u2").tobytes())
        return "kept"
    entries, bits = _descriptor(dataset, LUT_DESCRIPTOR)
    if not entries or not 1 <= bits <= 16:
        return "removed"
    line = np.round(np.linspace(0, (1 << bits) - 1, entries)).astype("<u2")
    dataset[tag] = element(tag, "OW", line.tobytes())
    return "replaced"


def _is_curve(dataset: Dataset, order: str) -> bool:
    """Whether LUTData has as many entries as it says, in order and without jumps."""
    entries, _ = _descriptor(dataset, LUT_DESCRIPTOR)
    words = _words(dataset, LUT_DATA, order).astype(np.int64)
    if len(words) * 2 == entries + entries % 2:  # bytes
        words = np.ravel(np.column_stack([words & 0xFF, words >> 8]))[:entries]
    if len(words) != entries or entries < _LEAST_ENTRIES:
        return False
    steps = np.diff(words)
    ordered = bool((steps >= 0).all() or (steps <= 0).all())
    return ordered and bool(np.abs(steps).max() <= max(1, _STEEPEST * np.abs(words[-1] - words[0])))


def _are_numbers(stored: DataElement | RawDataElement, vr: str, decision: Decision) -> bool:
    """Whether values are as many as DICOM allows, and such as text is not when it is read as numbers."""
    kind = _KINDS.get(vr)
    value = stored.value
    if kind is None:
        return value is None or value == b""
    if isinstance(value, bytes):
        size = int(kind[1])
        if len(value) % size:
            return False
        if _is_readable(value, kind):
            return False
        order = "<" if getattr(stored, "is_little_endian", True) is not False else ">"
        numbers = np.frombuffer(value, order + kind)
    else:
        try:
            listed = value if hasattr(value, "__iter__") else [value] if value is not None else []
            numbers = np.array(listed, kind if kind[0] == "f" or kind[1] == "8" else "i8")
        except (ValueError, OverflowError, TypeError):
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            if _is_readable(numbers.astype("<" + kind).tobytes(), kind):
                return False
    count = len(numbers) // (2 if vr == "AT" else 1)
    if not decision.bulk and decision.most and count > decision.most:
        return False
    return _PLAUSIBLE[kind[0]](numbers, kind)


def _is_readable(value: bytes, kind: str) -> bool:
    """Whether bytes are nothing but text, and more of it than a number is by chance."""
    bare = value.strip(b"\0 ")
    if len(bare) <= _LETTERS or not bare.isascii():
        return False
    text = bare.decode("ascii")
    if kind[0] != "f" or not text.isprintable():
        return text.isprintable()
    # fractions may be printable, even of letters and digits alone: 38.4 is "333333C@"
    if len(text) >= _PROSE and len(set(text)) > _LETTERS + 2:
        return True
    return sum(one.isalnum() or one in " ^" for one in text) > 0.8 * len(text) and len(set(text)) > _LETTERS


def _floats(numbers: NDArray[Any], kind: str) -> bool:
    nan = np.isnan(numbers)
    if nan.any():  # the bits of a NaN may say anything
        usual = np.array([np.nan], numbers.dtype).view(f"u{kind[1]}").tolist()[0] & (1 << (8 * int(kind[1]) - 1)) - 1
        bits = numbers[nan].astype(kind).view(f"u{kind[1]}") & ((1 << (8 * int(kind[1]) - 1)) - 1)
        if (bits != usual).any():
            return False
    sizes = np.abs(numbers[np.isfinite(numbers)])
    small = kind == "f8" and bool(((sizes > 0) & (sizes < _SMALLEST)).any())
    return not small and not (sizes > _LARGEST[kind]).any()


def _integers(numbers: NDArray[Any], kind: str) -> bool:
    if kind in _LARGEST and bool(((np.abs(numbers.astype(np.float64)) >= _LARGEST[kind]) & (numbers != _NONE)).any()):
        return False
    few = len(numbers) < _LETTERS or bool((np.abs(numbers.astype(np.float64)) > 0x7E).any())
    if few:
        return True
    texts = "".join(chr(abs(int(one))) for one in numbers[:1024])
    letters = sum(one.isalpha() for one in texts)
    steps = np.diff(numbers.astype(np.int64))
    ordered = bool((steps >= 0).all() or (steps <= 0).all())
    return ordered or letters < max(_LETTERS, len(texts) * 2 // 3)


_PLAUSIBLE: dict[str, Callable[[NDArray[Any], str], bool]] = {"f": _floats, "u": _integers, "i": _integers}
