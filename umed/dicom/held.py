# SPDX-License-Identifier: Apache-2.0
"""Looks into a data set without pydicom's conversions of tags and keywords, which cost more than the look itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag


@cache
def tag_of(keyword: str) -> BaseTag:
    """Tag of a keyword of the standard."""
    return Tag(keyword)


def held(dataset: Dataset, tag: int) -> DataElement | RawDataElement | None:
    """What a data set holds under a tag, as pydicom's ``get_item`` gives it: bytes where nobody has looked yet."""
    stored = dataset._dict.get(tag)  # type: ignore[call-overload]  # hashes and compares as its number
    if type(stored) is RawDataElement and stored.value is None:
        return dataset.get_item(tag)
    return stored  # type: ignore[no-any-return]


def has(dataset: Dataset, tag: int) -> bool:
    """Whether a data set has an attribute."""
    return tag in dataset._dict


def value_of(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """Value of an attribute as pydicom converts it, ``default`` where it is absent; for keywords of the standard."""
    tag = tag_of(keyword)
    try:
        return dataset[tag].value if tag in dataset._dict else default
    except AttributeError:  # as dataset.get(keyword) does
        return default


def value_at_rest(dataset: Dataset, keyword: str) -> Any:
    """As :func:`value_of`, but one unsigned 16-bit number stays bytes in the data set, which can be written as they are."""
    stored: Any = dataset._dict.get(tag_of(keyword))
    if type(stored) is RawDataElement and stored.VR == "US" and type(stored.value) is bytes and len(stored.value) == 2:
        return int.from_bytes(stored.value, "little" if stored.is_little_endian else "big")
    return value_of(dataset, keyword)
