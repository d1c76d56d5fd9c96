# SPDX-License-Identifier: Apache-2.0
"""A grid: data sets x methods x victims x countermeasures x seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umed.benchmark.grid.yaml_lines import Lines, Place
from umed.benchmark.results.cells import NONE
from umed.core.config import require
from umed.core.errors import ConfigError

AXES = ("data", "methods", "victims", "countermeasures", "seeds")
BY_DIMENSION = ("2d", "3d")
Step = tuple[str, dict[str, Any]]
"""Name and options of one countermeasure."""


@dataclass(frozen=True)
class DataSource:
    """Where a data set comes from and how it is cut.

    Args:
        path: folder in any layout that umed reads, relative to the grid's own folder; ``None`` for the phantom.
        cases: how many of its labelled cases, drawn once by ``seed``; all if ``None``.
        fewer: whether a folder with fewer cases is taken, too, all of it and with a warning; else it is refused.
        part: ``[k, n]`` takes the k-th of n parts that have no case in common.
        resize: side in pixels to which pictures are shrunk first; that is then the data set that is protected.
        seed: of the draw and of the split.
        test: share of the cases that judge; never protected, never used for a choice.
        validation: share of the others that choose a checkpoint.
        phantom: arguments of :func:`umed.data.phantom.make_phantom` for a data set without a path.
        training: changes to the victims' recipes on this data set.
        protection: settings laid over the grid's ``protection`` on this data set.
    """

    path: str | None = None
    cases: int | None = None
    fewer: bool = False
    part: tuple[int, int] | None = None
    resize: int | None = None
    seed: int = 0
    test: float = 0.25
    validation: float = 0.1
    phantom: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    protection: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.cases is None or self.cases >= 4, "cases", "at least 4", self.cases)
        require(self.resize is None or self.resize >= 16, "resize", "at least 16 px", self.resize)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(0 < self.test < 1, "test", "a share in (0, 1)", self.test)
        require(0 < self.validation < 1, "validation", "a share in (0, 1)", self.validation)
        good = self.part is None or 0 <= self.part[0] < self.part[1]
        require(good, "part", "[k, n] with 0 <= k < n", self.part)
        require(self.path is None or not self.phantom, "phantom", "no phantom beside a path", self.phantom)


@dataclass(frozen=True)
class Protection:
    """One way to protect.

    Args:
        method: name in the registry.
        options: of the method.
        settings: laid over the grid's ``protection`` for this one, such as ``{"support": "full"}``.
        generators: folder or file of trained generators, relative to the grid's own folder; nothing is trained then.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    generators: str | None = None


@dataclass(frozen=True)
class Block:
    """A part of the grid: the full product of its axes, all as labels.

    Args:
        data: names of data sets.
        methods: labels of protections, without ``"clean"``, which is always there.
        victims: labels of victims.
        countermeasures: labels of countermeasures.
        seeds: of the victims.
    """

    data: tuple[str, ...]
    methods: tuple[str, ...]
    victims: tuple[str, ...]
    countermeasures: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(eq=False)
class Grid:
    """Everything that a grid file says.

    Args:
        name: of the grid.
        notes: what a reader of the report should know.
        folder: that relative paths start from.
        lines: for errors.
        data: by name.
        methods: by label.
        victims: by label: name in the registry and changes to its recipe.
        countermeasures: by label: the steps, one after the other.
        recipe: of umed, for all methods.
        protection: settings laid over the recipe.
        training: changes to all victims' recipes, maybe with ``2d`` and ``3d`` inside.
        tolerance: of the normalized surface dice, in mm or px.
        price: whether what a protection costs is measured, too.
        blocks: parts of the grid.
        places: where each (axis, label) stands in the file.
    """

    name: str
    folder: Path
    lines: Lines
    notes: str = ""
    data: dict[str, DataSource] = field(default_factory=dict)
    methods: dict[str, Protection] = field(default_factory=dict)
    victims: dict[str, Step] = field(default_factory=dict)
    countermeasures: dict[str, tuple[Step, ...]] = field(default_factory=lambda: {NONE: ()})
    recipe: str = "default"
    protection: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1.0
    price: bool = True
    blocks: tuple[Block, ...] = ()
    places: dict[tuple[str, str], Place] = field(default_factory=dict)

    def error(self, axis: str, name: str, message: str) -> ConfigError:
        """An error that names the line of an entry.

        ``axis`` is one of :data:`AXES`, or a key of the grid with ``""`` as the name.
        """
        return self.lines.error(self.places.get((axis, name), (axis,)), message)
