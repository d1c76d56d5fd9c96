# SPDX-License-Identifier: Apache-2.0
"""Attributes of segmentations and structure sets, whatever may be missing there."""

from __future__ import annotations

from typing import Any


def items(ds: Any, keyword: str) -> list[Any]:
    """Items of a sequence, none where it is absent."""
    return list(ds.get(keyword) or [])


def text(ds: Any, keyword: str) -> str:
    """One value as text without blanks around it, ``""`` where it is absent."""
    value = ds.get(keyword)
    return "" if value is None else str(value).strip()


def several(value: Any) -> list[Any]:
    """All values of an attribute, however many it has."""
    if value is None or isinstance(value, str | bytes):
        return [value] if value else []
    return list(value) if hasattr(value, "__iter__") else [value]
