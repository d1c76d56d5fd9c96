# SPDX-License-Identifier: Apache-2.0
"""What is to be done, as plain values that travel to any worker, and where its results lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.benchmark.grid.cut_sets import CutSet
from umed.benchmark.results.cells import Spec, digest, slug
from umed.benchmark.victims.victim_recipe import EXTERNAL, Recipe
from umed.core import registry, training_settings
from umed.core.config import Settings
from umed.plan.planning import HOW_NOT_WHAT


@dataclass(frozen=True)
class ProtectJob:
    """Protect the published cases of a data set with one method.

    Args:
        out: the benchmark's folder.
        data: the data set.
        label: of the protection.
        settings: of ``umed protect``.
        generators: folder or file of trained generators; ``None`` trains them.
        generators_hash: of their content.
    """

    out: Path
    data: CutSet
    label: str
    settings: Settings
    generators: Path | None = None
    generators_hash: str = ""

    @property
    def mark(self) -> dict[str, Any]:
        """What decides the protected copy; a method without training does not depend on how others train."""
        mark = {key: value for key, value in asdict(self.settings).items() if key not in HOW_NOT_WHAT}
        mark["codes"] = 3  # those of 0.1 were another protection; 3: half steps of floats
        strength = mark.pop("strength")
        if strength == "strong" or (strength == "invisible" and self.settings.psnr_target is not None):
            mark["strength"] = strength  # else the bound is the epsilon that is here already
        training = mark.pop("training")
        if self.generators is not None:
            mark["generators"] = self.generators_hash
        elif registry.resolve("method", self.settings.method).requires_training:
            mark["training"] = training_settings.decisive(training)
        return mark

    @property
    def folder(self) -> Path:
        """Where the protected copy lies."""
        key = digest([self.mark, self.data.files, list(self.data.published)])
        return self.out / "protected" / self.data.name / f"{slug(self.label)}-{key}"

    @property
    def stamp(self) -> Path:
        """An empty file beside the folder, which says that all of it is there."""
        return self.folder.with_name(f"{self.folder.name}.done")

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.stamp.is_file() and (self.folder / "umed" / "manifest.json").is_file()

    @property
    def name(self) -> str:
        """Name of the task."""
        return f"protect {self.data.name}: {self.label}"


@dataclass(frozen=True)
class PretrainJob:
    """Train a victim on another data set first.

    Args:
        out: the benchmark's folder.
        data: the other data set; its training cases are used, unprotected.
        recipe: of the victim, with the steps of this first training and without ``pretrained``.
        seed: of the first training; each victim's own, so that seeds are independent.
        device: ``"auto"`` or a torch device, on the machine that does it.
    """

    out: Path
    data: CutSet
    recipe: Recipe
    seed: int
    device: str

    @property
    def file(self) -> Path:
        """Where the weights lie."""
        key = digest([decisive(self.recipe), self.data.inputs, self.seed])
        return self.out / "weights" / f"pretrained-{slug(self.data.name)}-{self.recipe.net}-{key}.pt"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.file.is_file()

    @property
    def name(self) -> str:
        """Name of the task."""
        return f"pretrain {self.recipe.net} on {self.data.name}, seed {self.seed}: {self.file.stem}"


@dataclass(frozen=True)
class CellJob:
    """Train and judge one victim.

    Args:
        out: the benchmark's folder.
        spec: what decides the cell.
        data: the data set.
        recipe: of the victim.
        steps: name and options of each countermeasure.
        protected: the protection, ``None`` for the clean control.
        pretrained: the first training of a pretrained victim.
        tolerance: of the normalized surface dice.
        device: ``"auto"`` or a torch device, on the machine that does it.
        keep_weights: whether the last weights are kept, for measuring the price.
    """

    out: Path
    spec: Spec
    data: CutSet
    recipe: Recipe
    steps: tuple[tuple[str, dict[str, Any]], ...]
    protected: ProtectJob | None
    pretrained: PretrainJob | None
    tolerance: float
    device: str
    keep_weights: bool = False

    @property
    def file(self) -> Path:
        """Where the cell's JSON lies."""
        return self.out / "cells" / self.spec.file

    @property
    def weights(self) -> Path:
        """Where the last weights lie, if they are kept."""
        return self.out / "weights" / f"{self.spec.key}.pt"

    @property
    def pictures(self) -> Path:
        """Where predictions on some test cases lie."""
        return self.out / "pictures" / f"{self.spec.key}.npz"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.file.is_file() and (not self.keep_weights or self.weights.is_file())

    @property
    def name(self) -> str:
        """Name of the task."""
        return f"cell {self.spec.title} [{self.spec.key}]"


@dataclass(frozen=True)
class PriceJob:
    """Measure what a protection costs.

    Args:
        out: the benchmark's folder.
        protected: the protection.
        judge: clean cell whose weights play the authorised user, ``None`` for none.
    """

    out: Path
    protected: ProtectJob
    judge: CellJob | None

    @property
    def file(self) -> Path:
        """Where the JSON lies."""
        folder = self.protected.folder
        key = digest([folder.name, None if self.judge is None else self.judge.spec.key], 8)
        return self.out / "price" / f"{slug(self.protected.data.name)}__{folder.name}-{key}.json"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.file.is_file()

    @property
    def name(self) -> str:
        """Name of the task."""
        return f"price {self.protected.data.name}: {self.protected.label}"


LATER: dict[str, Any] = {"augment": "none", "foreground": 0.0, "clip": None, "resize": None}
"""Fields of a recipe that came later, at the value that they had before: those cells keep their names."""


def decisive(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides a training, as JSON takes it."""
    return {key: value for key, value in asdict(recipe).items() if key not in LATER or value != LATER[key]}


def victim_settings(recipe: Recipe, pretrained: PretrainJob | None, checkpoint_sha256: str | None) -> dict[str, Any]:
    """What decides a victim: its recipe, and the data or the hash of the file that its weights come from."""
    content = decisive(recipe)
    if recipe.net in EXTERNAL:  # where it is installed, and on how many threads it runs, decides no figure
        content["options"] = {key: value for key, value in recipe.options.items() if key not in ("python", "threads")}
    if pretrained is not None:
        content["pretrained"] = {"inputs": pretrained.data.inputs, "recipe": decisive(pretrained.recipe)}
    elif checkpoint_sha256 is not None:
        content["pretrained"] = {"sha256": checkpoint_sha256}
    return content
