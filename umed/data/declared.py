# SPDX-License-Identifier: Apache-2.0
"""What ``dataset.json`` declares of the masks: classes, nnU-Net's regions and its ignore label, the background."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from umed.core.config import Settings
from umed.core.mask_rules import MaskRules, make_rules
from umed.core.types import Dataset


@dataclass(frozen=True)
class Declared:
    """Mask values by what they are called.

    Args:
        values: of the classes, sorted; regions are taken apart, neither background nor ignored values are among them.
        ignore: value of the label called ``ignore``, ``None`` where there is none.
        background: value of the label called ``background``, ``None`` where none is called so.
    """

    values: tuple[int, ...]
    ignore: int | None = None
    background: int | None = None


def read_declared(root: Path) -> Declared | None:
    """Read the labels of ``dataset.json``, in Decathlon's form (value to name) or nnU-Net's (name to value or values).

    Args:
        root: folder of the data set.

    Returns:
        What is declared; ``None`` without the file, or where it names no classes in these forms.
    """
    try:
        named = list(_named(_index(root)["labels"]))
    except (ValueError, KeyError, TypeError):
        return None  # no dataset.json, or one without class names: the labels themselves say it
    special = {name: value for name, value in named if name in ("ignore", "background")}
    ignore, background = special.get("ignore"), special.get("background")
    values = {value for _, value in named} - {ignore, 0 if background is None else background}
    return Declared(tuple(sorted(values)), ignore, background) if named else None


def declared_channels(root: Path) -> tuple[str, ...]:
    """What ``dataset.json`` calls the channels, in their order; empty where it does not say."""
    index = _index(root)
    return next((found for key in ("channel_names", "modality") if (found := channel_names(index.get(key)))), ())


def channel_names(names: object) -> tuple[str, ...]:
    """Channel names in channel order.

    >>> channel_names({"1": "PET", "0": "CT"}), channel_names("CT"), channel_names(["T1", "T2"])
    (('CT', 'PET'), ('CT',), ('T1', 'T2'))
    """
    if isinstance(names, str) and names:
        return (names,)
    if isinstance(names, list):
        return tuple(map(str, names))
    if not isinstance(names, dict):
        return ()
    return tuple(str(names[key]) for key in sorted(names, key=lambda key: (len(str(key)), str(key))))


def declared_rules(root: Path) -> MaskRules:
    """How masks are read as far as ``dataset.json`` says it: what to ignore, and a background that is not 0."""
    found = read_declared(root)
    if found is None:
        return MaskRules()
    return MaskRules(background=(found.background,) if found.background else (), ignore=found.ignore)


def ruled(dataset: Dataset, settings: Settings | None) -> Dataset:
    """A data set whose masks are read as settings say, and as ``dataset.json`` says where they leave it open.

    ConfigError when both cannot hold.
    """
    if settings is None:
        return dataset
    said = dataset.rules
    background = settings.mask_background or said.background
    ignore = said.ignore if settings.mask_ignore is None else settings.mask_ignore
    return replace(dataset, rules=make_rules(settings.mask_values, background, ignore))


def _index(root: Path) -> dict[str, Any]:
    """``dataset.json``, also with the mark that Windows puts in front; empty where it cannot be read."""
    path = root / "dataset.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}  # a pipe would be waited for
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _named(labels: Any) -> Iterator[tuple[str, int]]:
    """Name in lower case and value, one a value; ValueError or TypeError for what is in neither form."""
    if not isinstance(labels, dict):
        return
    by_value = all(re.fullmatch(r"-?\d+", str(key)) for key in labels)
    for key, entry in labels.items():
        name, values = (entry, [key]) if by_value else (key, entry if isinstance(entry, list) else [entry])
        for value in values:
            yield str(name).strip().lower(), int(value)
