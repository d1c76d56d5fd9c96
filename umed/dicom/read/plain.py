# SPDX-License-Identifier: Apache-2.0
"""Splits a plain file (Explicit VR Little Endian, defined lengths) into raw elements, in half of pydicom's time.

Only how pydicom's reader would split it; what the values mean stays pydicom's. Whatever is not plain is left to it.
"""

from __future__ import annotations

import io
from struct import Struct

from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from umed.dicom.held import number_tag

_HEAD, _LENGTH = Struct("<HH2sH"), Struct("<L")
_LONG = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
_SHORT = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}
_UNDEFINED = 0xFFFFFFFF
_PREAMBLE = 128
_META, _DELIMITERS = 0x0002, 0xFFFE


def split(data: bytes, start: int, end: int) -> FileDataset | None:
    """The data set of a file that is in memory, with its values as bytes.

    Args:
        data: the file from its first byte, with a preamble; what is behind ``end`` is not looked at.
        start: where the data set begins, behind the file meta information.
        end: where it ends.

    Returns:
        What ``pydicom.dcmread`` would return; ``None`` where anything is unusual.
    """
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return None
    meta = _elements(data, _PREAMBLE + 4, start)
    found = _elements(data, start, end)
    if not meta or not found or any(tag >> 16 != _META for tag in meta) or min(found) >> 16 <= _META:
        return None
    about = FileMetaDataset(meta)
    about.set_original_encoding(False, True, default_encoding)
    dataset = FileDataset(io.BytesIO(), found, data[:_PREAMBLE], about, False, True)
    dataset.set_original_encoding(False, True, dataset._character_set)
    return dataset


def _elements(data: bytes, start: int, end: int) -> dict[BaseTag, DataElement | RawDataElement] | None:
    """Elements of one level; ``None`` where the lengths do not lead to its end, or one is undefined."""
    found: dict[BaseTag, DataElement | RawDataElement] = {}
    if not start <= end <= len(data):
        return None
    at = start
    while at + 8 <= end:
        group, number, letters, length = _HEAD.unpack_from(data, at)
        at += 8
        vr = _SHORT.get(letters)
        if vr is None:
            vr = _LONG.get(letters)
            if vr is None or at + 4 > end:
                return None
            (length,) = _LENGTH.unpack_from(data, at)
            at += 4
        if length == _UNDEFINED or at + length > end or group == _DELIMITERS:
            return None
        tag = number_tag(group << 16 | number)
        value = data[at : at + length] if length else empty_value_for_VR(vr, raw=True)
        found[tag] = RawDataElement(tag, vr, length, value, at, False, True)  # type: ignore[arg-type]
        at += length
    return found if at == end else None
