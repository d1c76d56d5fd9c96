# SPDX-License-Identifier: Apache-2.0
"""One training and its figures: what decides a cell, what came of it, and the JSON file that holds both."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umed.cases.records import write_text
from umed.core.config import from_mapping
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.data.files import TEMPORARY, out_of_reach

FORMAT = 1
"""Goes into every key: to be raised when the same settings would give other figures."""
CLEAN = "clean"
"""The method that leaves the training cases as they are: the control beside every figure."""
NONE = "none"
"""The countermeasure of a thief who just trains."""
CHOICES = ("last", "best_clean", "best_protected")
"""Which checkpoint is judged: the last, or the best on clean or on protected validation cases."""

Table = tuple[tuple[float | None, ...], ...]
"""One row a test case, one figure a foreground class; ``None`` where a case has no such class."""


@dataclass(frozen=True)
class Spec:
    """What decides a cell.

    Args:
        data: name of the data set in the grid.
        method: label of the protection, ``"clean"`` for none; ``"random distribution=gaussian"``.
        victim: label of the victim.
        countermeasure: label of what the thief tries, ``"none"``, ``"jpeg quality=30"``, ``"blur sigma=1 + augment"``.
        seed: the victim's seed.
        settings: everything that the labels stand for, resolved, as plain values: ``inputs`` (hashes), ``protection``
            (``None`` for clean), ``victim``, ``countermeasures`` (list of ``{"name", "options"}``), ``tolerance``.
    """

    data: str
    method: str
    victim: str
    countermeasure: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of all that decides the figures, 12 hex digits; labels do not, what they stand for does."""
        return digest([FORMAT, self.seed, self.settings], 12)

    @property
    def file(self) -> str:
        """Name of the cell's JSON file: readable labels, and the key that makes it unique."""
        labels = (self.data, self.method, self.victim, self.countermeasure)
        return "__".join([*(slug(one)[:40] for one in labels), f"seed{self.seed}", self.key]) + ".json"

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.data}: {self.method}, {self.victim}, {self.countermeasure}, seed {self.seed}"


@dataclass(frozen=True)
class Scores:
    """How one checkpoint does on the clean test cases.

    Args:
        step: optimiser step of the checkpoint.
        dsc: Dice similarity coefficient in [0, 1] of each case and foreground class; ``None`` without that class.
        hd95: 95th percentile of the Hausdorff distance in ``Cell.unit``; ``None`` also where nothing was found.
        nsd: normalized surface dice in [0, 1] at the tolerance in the settings; ``None`` without that class.
    """

    step: int
    dsc: Table
    hd95: Table = ()
    nsd: Table = ()


@dataclass(frozen=True)
class Cell:
    """The figures of one training.

    Args:
        spec: what decides them.
        classes: names of the foreground classes.
        cases: ids of the clean test cases, in the order of the tables.
        choices: scores of each of :data:`CHOICES` that there is.
        loss: mean training loss of each fiftieth of the training; ``None`` where it was not finite.
        flat: whether the training loss was flat at the end.
        validation: step, mean DSC on clean and on protected validation cases (``None`` without) of each checkpoint.
        seconds: wall time: ``total``, and of it ``train`` and ``predict`` (the victim's own) and ``score``.
        environment: ``umed``, ``python``, ``torch``, ``monai``, ``hardware``, ``threads``, ``commit``, ``date``.
        unit: of ``hd95``, ``"mm"`` or ``"px"``.
        pictures: file with predictions on test cases, relative to the benchmark's folder; empty for none.
        notes: what a reader must know, such as how an external victim was shortened.
        broken: choices whose weights were not finite, since the training had diverged: their scores count nowhere.
        chance: mean DSC on the test cases of the best picture of one class; ``None`` in cells of before 0.2.
    """

    spec: Spec
    classes: tuple[str, ...]
    cases: tuple[str, ...]
    choices: dict[str, Scores]
    loss: tuple[float | None, ...] = ()
    flat: bool = False
    validation: tuple[tuple[int, float | None, float | None], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    unit: str = "px"
    pictures: str = ""
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    chance: float | None = None

    def write(self, folder: Path) -> Path:
        """Write the cell's JSON, whole or not at all.

        Args:
            folder: of all cells.

        Returns:
            The file.
        """
        path = folder / self.spec.file
        content = {"format": FORMAT, "key": self.spec.key, **dataclasses.asdict(self)}
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
        return path


def read_cell(path: Path) -> Cell:
    """Read what :meth:`Cell.write` wrote.

    Args:
        path: JSON file.

    Returns:
        The cell.

    Raises:
        InputError: when it is no cell, or its settings are not those that its key was made from.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        form, key = content.pop("format"), content.pop("key")
        if form != FORMAT:
            raise ValueError(f"format {form}")
        for name in ("spec", "choices"):
            if not isinstance(content[name], Mapping):
                raise ValueError(f"{name} is no mapping")
        content["choices"] = {name: from_mapping(Scores, one, name) for name, one in content["choices"].items()}
        cell = from_mapping(Cell, content)
        if cell.spec.key != key:
            raise ValueError(f"its settings have the key {cell.spec.key}, not {key}")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ConfigError) as error:
        if out_of_reach(error):
            raise  # it may be whole
        raise InputError(
            f"{path}: expected a cell of format {FORMAT}, got: {error}. Delete it; it is redone."
        ) from error
    return cell


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a folder, sorted by file name."""
    return [read_cell(path) for path in json_files(folder)]


def json_files(folder: Path) -> list[Path]:
    """The JSON files of a folder, sorted; what a run is writing, or was when it was killed, is none yet."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith(TEMPORARY))


def finite(values: Sequence[float], digits: int = 4) -> tuple[float | None, ...]:
    """Rounded numbers; ``None`` for what JSON has no number for.

    >>> finite([0.12345, float("nan")])
    (0.1235, None)
    """
    return tuple(round(value, digits) if math.isfinite(value) else None for value in values)


def label(name: str, options: Mapping[str, Any]) -> str:
    """A name with its options, as tables show it.

    >>> label("jpeg", {"quality": 30}), label("umed", {})
    ('jpeg quality=30', 'umed')
    """
    return " ".join([name, *(f"{key}={_short(value)}" for key, value in options.items())])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "-".join(map(_short, value))
    return str(value)


def slug(text: str) -> str:
    """Text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "_", text).strip("_")[:60]


def digest(content: Any, length: int = 10) -> str:
    """Hash of plain values, the first ``length`` hex digits."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
