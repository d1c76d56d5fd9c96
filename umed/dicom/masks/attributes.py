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
