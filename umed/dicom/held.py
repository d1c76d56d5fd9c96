# SPDX-License-Identifier: Apache-2.0
"""Looks into a data set without pydicom's conversions of tags and keywords, which cost more than the look itself."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

# Text that pydicom would write as it stands: one blank of padding at most, none elsewhere around a value.
_TEXT = re.compile(rb"(?:[!-[\]-~]+(?: +[!-[\]-~]+)*\\)*[!-[\]-~]+(?: +[!-[\]-~]+)* ?\Z")
_UID = re.compile(rb"[0-9.]+\0?\Z")
_LONGEST = 1024
_TEXTS = frozenset(("CS", "LO", "SH"))


@lru_cache(maxsize=1 << 14)
def number_tag(number: int) -> BaseTag:
    """Tag of a number, the same object for all data sets: dictionaries find that without comparing."""
    return BaseTag(number)


@cache
def tag_of(keyword: str) -> BaseTag:
    """Tag of a keyword of the standard."""
    return number_tag(int(Tag(keyword)))


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
    """As :func:`value_of`, but one unsigned 16-bit number stays bytes in the data set, to be written as they are."""
    stored: Any = dataset._dict.get(tag_of(keyword))
    if type(stored) is RawDataElement and stored.VR == "US" and type(stored.value) is bytes and len(stored.value) == 2:
        return int.from_bytes(stored.value, "little" if stored.is_little_endian else "big")
    return value_of(dataset, keyword)


def texts_at_rest(dataset: Dataset, keyword: str) -> list[str] | None:
    """Values of a text or UID whose bytes are plain and padded as pydicom would write them, which stay as they are.

    ``None`` for all others, and where there is no such attribute.
    """
    stored: Any = dataset._dict.get(tag_of(keyword))
    if type(stored) is not RawDataElement or type(stored.value) is not bytes or len(stored.value) % 2:
        return None
    raw = stored.value
    form = _UID if stored.VR == "UI" else _TEXT if stored.VR in _TEXTS else None
    if form is None or len(raw) > _LONGEST or form.match(raw) is None:
        return None
    return raw.decode("ascii").rstrip("\0 ").split("\\")
