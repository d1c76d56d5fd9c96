# SPDX-License-Identifier: Apache-2.0
"""Keeps folders of this machine out of what is written: they may name a machine or a patient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from umed.core.types import Dataset

_ABSOLUTE = re.compile(r"(^|[\s'\"(=])(/[^\s/]+/|[A-Za-z]:[\\/]|\\\\)")


def no_paths(text: str, dataset: Dataset, output: Path) -> str:
    """A message without the machine's folders and memory addresses; the data set's own names stay."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    for root in (dataset.root, dataset.root.resolve(), output, output.resolve()):
        text = text.replace(f"{root}/", "")
    return re.sub(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\s'\":,;]*[\\/])?", "", text)


def refuse_paths(content: Any, what: str) -> None:
    """Make sure that no text or key of nested plain data names an absolute path; else ValueError, led by ``what``."""
    leaks = [text for text in _strings(content) if _ABSOLUTE.search(text)]
    if leaks:
        raise ValueError(f"{what}: expected no path, got {leaks[0]!r}; name files relative to the data set")


def _strings(content: Any) -> Iterable[str]:
    """All strings in nested plain data, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _strings(key)
            yield from _strings(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _strings(value)
