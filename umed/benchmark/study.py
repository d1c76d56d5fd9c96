# SPDX-License-Identifier: Apache-2.0
"""One data set, several ways to protect it, the same fresh victim on each: the cells of every table of umed.

A cell is one training: method x countermeasure x seed. Its figures go to a JSON file whose name holds a hash of what
decides them, so a stopped study goes on where it was, and several processes can share one output folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from umed import __version__, registry
from umed.benchmark.data import Samples, Split, labelled_ids, load_samples, split_cases, subset_dataset
from umed.benchmark.training import Curve, Recipe, train_victim
from umed.config import Settings
from umed.errors import VerificationError
from umed.io.files import atomic
from umed.protect import protect
from umed.types import Progress

CLEAN = "clean"
"""The method that leaves the training cases as they are."""


@dataclass(frozen=True)
class CellResult:
    """The figures of one training.

    Args:
        data: name of the data set.
        method: how its training cases were protected, or ``"clean"``.
        countermeasure: what the thief tried.
        seed: the victim's seed.
        last: DSC in [0, 1] of each class on the clean test cases after the last step.
        best: the same at the checkpoint that was best on clean validation cases.
        best_step: that checkpoint.
        flat: whether the training loss was flat at the end.
        final_loss: mean training loss of the last tenth of the steps.
        steps: optimiser steps.
        seconds: wall time of the training steps.
        loss: mean training loss of each fiftieth of the training.
        validation: step and mean DSC of each checkpoint.
        victim: name of the network.
        version: of umed.
    """

    data: str
    method: str
    countermeasure: str
    seed: int
    last: tuple[float, ...]
    best: tuple[float, ...]
    best_step: int
    flat: bool
    final_loss: float
    steps: int
    seconds: float
    loss: tuple[float, ...]
    validation: tuple[tuple[int, float], ...]
    victim: str = "unet"
    version: str = ""

    @classmethod
    def from_json(cls, text: str) -> CellResult:
        """Read what was written as a cell's JSON."""
        content: dict[str, Any] = json.loads(text)
        for name in ("last", "best", "loss"):
            content[name] = tuple(content[name])
        content["validation"] = tuple((int(step), float(score)) for step, score in content["validation"])
        return cls(**content)


class Study:
    """All trainings on one data set.

    Args:
        name: what to call it in tables and file names.
        root: the data set, in any layout that umed reads; never changed.
        out: folder for protected copies and results.
        settings: how to protect; its ``method`` is replaced by the one of the cell.
        recipe: how to train.
        split_seed: which split by case.
        device: where the victims are trained.
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        out: str | Path,
        *,
        settings: Settings,
        recipe: Recipe,
        split_seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.root = Path(root)
        self.out = Path(out) / name
        self.settings = settings
        self.recipe = recipe
        self.split: Split = split_cases(labelled_ids(root), seed=split_seed)
        self.device = device
        self._prepared: tuple[tuple[str, str], tuple[Samples, Samples, Samples]] | None = None

    @cached_property
    def samples(self) -> Samples:
        """All labelled cases, clean, as they were read."""
        return load_samples(self.root, self.split.train + self.split.validation + self.split.test)

    def settings_for(self, method: str) -> Settings:
        """The study's settings with another method; a control takes none of the method's options."""
        if method == self.settings.method:
            return self.settings
        return dataclasses.replace(self.settings, method=method, method_options={})

    def _mark(self, method: str) -> dict[str, Any] | None:
        """What decides a method's output: a control does not depend on how the generators are trained."""
        if method == CLEAN:
            return None
        mark = dataclasses.asdict(self.settings_for(method))
        if not registry.resolve("method", method).requires_training:
            del mark["training"]
        return mark

    def protected(self, method: str, progress: Progress | None = None) -> Path:
        """Protect the training cases, and only those, unless that was done before.

        Args:
            method: name from the registry.
            progress: called with stage, done, total.

        Returns:
            The folder that ``umed protect`` wrote.

        Raises:
            VerificationError: When a case could not be protected, since the victim would then train on fewer cases.
        """
        settings = self.settings_for(method)
        mark = _digest([self._mark(method), self.split.train])
        folder = self.out / f"protected-{method}-{mark}"
        if (folder / "umed" / "manifest.json").is_file():
            return folder
        source = subset_dataset(self.root, self.split.train, self.out / f"train-{_digest([self.split.train])}")
        result = protect(source, folder, settings=settings, resume=folder.exists(), progress=progress)
        failed = [outcome for outcome in result.outcomes if outcome.status in ("failed", "skipped")]
        if failed:
            raise VerificationError(
                f"{self.root}: expected all {len(self.split.train)} training cases to be protected by {method}, but "
                f"{len(failed)} were not, first {failed[0].id}: {failed[0].reason}"
            )
        return folder

    def fidelity(self, method: str) -> dict[str, float]:
        """Mean over the training cases of what the manifest says: ``psnr``, ``psnr_roi``, ``roi_share`` and the like.

        Args:
            method: ``"clean"`` gives nothing.

        Returns:
            Mean of each number that every protected case has.
        """
        if method == CLEAN:
            return {}
        manifest = json.loads((self.protected(method) / "umed" / "manifest.json").read_text(encoding="utf-8"))
        return mean_measures(manifest)

    def cell_path(self, method: str, countermeasure: str, seed: int) -> Path:
        """Where the JSON of a cell lies."""
        mark = _digest([self._mark(method), dataclasses.asdict(self.recipe), dataclasses.asdict(self.split)])
        return self.out / "cells" / f"{method}-{countermeasure}-{seed}-{mark}.json"

    def run(self, method: str, countermeasure: str, seed: int, progress: Progress | None = None) -> CellResult:
        """Train and test one victim, or read what an earlier run found.

        Args:
            method: ``"clean"`` or a name from the registry.
            countermeasure: a name from the registry.
            seed: the victim's seed.
            progress: called with stage, done, total.

        Returns:
            The figures.
        """
        path = self.cell_path(method, countermeasure, seed)
        if path.is_file():
            return CellResult.from_json(path.read_text(encoding="utf-8"))
        train, validation, test = self._cases(method, countermeasure, progress)
        tried = registry.resolve("countermeasure", countermeasure)
        stage = f"{self.name}: {method}, {countermeasure}, seed {seed}"
        curve = train_victim(
            train,
            validation,
            test,
            recipe=scaled(self.recipe, tried.scale),
            seed=seed,
            augment=tried.augment,
            device=self.device,
            progress=None if progress is None else lambda step, steps, _loss: progress(stage, step, steps),
        )
        result = self._result(curve, method, countermeasure, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(result), indent=1), encoding="utf-8")
        return result

    def _cases(self, method: str, countermeasure: str, progress: Progress | None) -> tuple[Samples, Samples, Samples]:
        """Training, validation and test cases as the victim sees them; the last ones are kept for the next seed."""
        key = (method, countermeasure)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None
            clean = self.samples
            published = clean.pick(self.split.train)
            if method != CLEAN:
                published = load_samples(self.protected(method, progress), self.split.train)
            published = dataclasses.replace(published, classes=clean.classes)
            prepare = registry.resolve("countermeasure", countermeasure).prepare
            parts = (published, clean.pick(self.split.validation), clean.pick(self.split.test))
            self._prepared = key, (prepare(parts[0]), prepare(parts[1]), prepare(parts[2]))
        assert self._prepared is not None
        return self._prepared[1]

    def _result(self, curve: Curve, method: str, countermeasure: str, seed: int) -> CellResult:
        loss = np.asarray(curve.loss)
        pieces = np.array_split(loss, min(50, loss.size))
        return CellResult(
            data=self.name,
            method=method,
            countermeasure=countermeasure,
            seed=seed,
            last=curve.last,
            best=curve.best,
            best_step=curve.best_step,
            flat=curve.flat,
            final_loss=round(float(loss[-max(1, loss.size // 10) :].mean()), 4),
            steps=loss.size,
            seconds=round(curve.seconds, 1),
            loss=tuple(round(float(piece.mean()), 4) for piece in pieces),
            validation=curve.validation,
            victim=self.recipe.net,
            version=__version__,
        )


def mean_measures(manifest: dict[str, Any]) -> dict[str, float]:
    """Average the numbers that a manifest holds for each protected case.

    Args:
        manifest: content of ``umed/manifest.json``.

    Returns:
        Mean of each measure; infinite values (a case that did not change) are left out.
    """
    rows = [record for case in manifest["cases"] if case["status"] == "protected" for record in case["files"]]
    names = {name for row in rows for name, value in row.items() if isinstance(value, (int, float))}
    columns = {name: [float(row[name]) for row in rows if isinstance(row.get(name), (int, float))] for name in names}
    finite = {name: [value for value in column if np.isfinite(value)] for name, column in columns.items()}
    return {name: float(np.mean(column)) for name, column in sorted(finite.items()) if column}


def default_recipe(spatial_dims: int, **changes: Any) -> Recipe:
    """The victim of the tables: a U-Net that fits one CPU core and reaches a mean DSC of about 0.8 on clean data.

    Args:
        spatial_dims: 2 or 3.
        changes: fields to set otherwise; ``None`` keeps the default.

    Returns:
        The recipe.
    """
    flat = Recipe(patch=(256, 256), batch=2, steps=700, learning_rate=3e-3)
    solid = Recipe(patch=(32, 40, 32), batch=2, steps=800)
    base = flat if spatial_dims == 2 else solid
    return dataclasses.replace(base, **{key: value for key, value in changes.items() if value is not None})


def scaled(recipe: Recipe, scale: float) -> Recipe:
    """Let the crops follow a change of resolution.

    Args:
        recipe: for the original grid.
        scale: new size over old size.

    Returns:
        The recipe with its patch scaled.
    """
    if recipe.patch is None or scale == 1.0:
        return recipe
    return dataclasses.replace(recipe, patch=tuple(max(1, round(size * scale)) for size in recipe.patch))


def pick_device(name: str = "auto") -> str:
    """Resolve ``"auto"``.

    Args:
        name: ``"auto"`` or a torch device.

    Returns:
        A torch device.
    """
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
