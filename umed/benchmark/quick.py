# SPDX-License-Identifier: Apache-2.0
"""A first answer in minutes: does a network that trains on the protected images still segment clean ones?"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umed.benchmark.countermeasures import none
from umed.benchmark.data import load_samples, split_cases
from umed.benchmark.study import CLEAN, CellResult, Study, default_recipe, pick_device
from umed.benchmark.table import provenance, results_table
from umed.benchmark.training import Curve, train_victim
from umed.config import Settings, make_settings
from umed.errors import ConfigError, InputError
from umed.io.layouts import find_dataset
from umed.registry import check_name
from umed.types import Progress

QUICK_METHODS = (CLEAN, "random", "checkerboard", "umed")


@dataclass(frozen=True)
class QuickResult:
    """What ``umed benchmark --quick`` found.

    Args:
        cells: one record a training.
        fidelity: PSNR and ROI share of each (data set, method).
        origin: when, where and from what.
    """

    cells: tuple[CellResult, ...]
    fidelity: dict[tuple[str, str], dict[str, float]]
    origin: str

    def summary(self) -> str:
        """Table and provenance for a screen."""
        note = "DSC in percent on clean test cases, never protected; the same fresh victim and steps in every row."
        return f"{results_table(self.cells, self.fidelity)}\n\n{note}\n{self.origin}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
            "fidelity": {method: measures for (_, method), measures in self.fidelity.items()},
            "origin": self.origin.splitlines(),
        }


def run_quick(
    input: str | Path,
    *,
    methods: Sequence[str] = QUICK_METHODS,
    countermeasures: Sequence[str] = ("none",),
    seeds: Sequence[int] = (0,),
    steps: int | None = None,
    victim: str = "unet",
    width: int | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> QuickResult:
    """Split a data set, protect its training cases with each method, and train the same fresh victim on each copy.

    Args:
        input: data set in any layout that umed reads; never changed.
        methods: ``"clean"`` and names of methods.
        countermeasures: what the thief tries; ``"none"`` is flips only.
        seeds: seeds of the victim.
        steps: optimiser steps, the same everywhere; ``None`` for the default of the dimension.
        victim: name of the victim.
        width: its width, ``None`` for the default.
        settings: how to protect, ``None`` for the default recipe.
        out: folder for protected copies and results, which can be resumed; ``None`` for a temporary one.
        device: ``"auto"`` or a torch device.
        progress: called with stage, done, total.

    Returns:
        The figures.

    Raises:
        ConfigError: When a name is unknown or a list is empty.
        InputError: When the data set has fewer than 4 labelled cases.
    """
    _check(methods, countermeasures, seeds, victim, steps)
    settings = settings or make_settings()
    root = Path(input)
    with tempfile.TemporaryDirectory(prefix="umed-benchmark-") as scratch:
        recipe = default_recipe(dimensions(root), net=victim, steps=steps, width=width)
        study = Study(
            find_dataset(root).root.name or "data",
            root,
            scratch if out is None else out,
            settings=settings,
            recipe=recipe,
            device=pick_device(device),
        )
        cells = [
            study.run(method, countermeasure, seed, progress)
            for method in methods
            for countermeasure in countermeasures
            for seed in seeds
        ]
        fidelity = {(study.name, method): study.fidelity(method) for method in methods}
    return QuickResult(tuple(cells), fidelity, provenance(["-m", "umed", "benchmark", "--quick", root.name]))


def _check(
    methods: Sequence[str], countermeasures: Sequence[str], seeds: Sequence[int], victim: str, steps: int | None
) -> None:
    for method in methods:
        if method != CLEAN:
            check_name("method", method)
    for countermeasure in countermeasures:
        check_name("countermeasure", countermeasure)
    check_name("victim", victim)
    if not (methods and countermeasures and seeds):
        raise ConfigError("benchmark: expected at least one method, one countermeasure and one seed, got none.")
    if steps is not None and steps < 1:
        raise ConfigError(f"benchmark: expected steps >= 1, got {steps}.")


def dimensions(root: Path) -> int:
    """Spatial dimensions of a data set's first case.

    Args:
        root: data set in any layout that umed reads.

    Returns:
        2 or 3.
    """
    from umed.io import read

    dataset = find_dataset(root)
    return len(read(dataset.root / dataset.cases[0].images[0]).spatial_shape)


@dataclass(frozen=True)
class ProbeResult:
    """DSC of two small victims on the same clean test cases.

    Args:
        before: DSC of each class after training on the original images.
        after: the same after training on the protected images.
        test: how many cases judged.
        train: how many cases were trained on.
        steps: optimiser steps of each victim.
        seconds: wall time of both trainings.
        flat: whether both training losses were flat at the end.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    test: int
    train: int
    steps: int
    seconds: float
    flat: bool

    def summary(self) -> str:
        """One line for a screen."""
        first, second = (100 * float(np.nanmean(scores)) for scores in (self.before, self.after))
        rest = f"{self.steps} steps on {self.train} cases, tested on {self.test} clean ones"
        return (
            f"probe victim: DSC {first:.1f} % after training on originals, {second:.1f} % on protected images "
            f"({rest}); a quick look, not a result: these victims have hardly learnt"
        )


def probe(
    input: str | Path,
    output: str | Path,
    *,
    steps: int | None = None,
    width: int = 8,
    seed: int = 0,
    most: int = 64,
    device: str = "auto",
    progress: Progress | None = None,
) -> ProbeResult:
    """Train a small victim on a data set and another on its protected copy, and test both on clean cases.

    A quarter of the cases is held out; neither victim sees them, nor are their protected versions used. A learnt method
    may have seen them while it was fitted: ``umed benchmark`` is the stricter measure.

    Args:
        input: the original data set.
        output: what ``umed protect`` wrote.
        steps: optimiser steps of each victim, ``None`` for 240 in 2D, 300 in 3D.
        width: width of the U-Net.
        seed: seeds the split and the victims.
        most: cases that are looked at, evenly spaced, so that a large data set does not fill the memory.
        device: ``"auto"`` or a torch device.
        progress: called with stage, done, total.

    Returns:
        DSC before and after.

    Raises:
        InputError: When fewer than 4 cases are in both folders.
    """
    released = {case.id for case in find_dataset(Path(output)).cases if case.label is not None}
    ids = sorted(case.id for case in find_dataset(Path(input)).cases if case.id in released and case.label is not None)
    if len(ids) < 4:
        raise InputError(
            f"{output}: expected at least 4 cases that {input} has too, got {len(ids)}. Protect more cases."
        )
    ids = [ids[k] for k in sorted(set(np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int).tolist()))]
    split = split_cases(ids, seed=seed)
    published = (*split.train, *split.validation)  # no checkpoint is chosen, so nothing is held back for it
    clean = load_samples(input, ids)
    dims = clean.images[0].ndim - 1
    chosen = steps or (240 if dims == 2 else 300)
    patch, batch = ((96, 96), 4) if dims == 2 else ((32, 32, 32), 1)
    recipe = default_recipe(dims, steps=chosen, width=width, patch=patch, batch=batch)
    test = none.prepare(clean.pick(split.test))
    curves: list[Curve] = []
    for stage, root in (("probe on originals", input), ("probe on protected", output)):
        source = clean.pick(published) if root is input else load_samples(output, published)
        train = none.prepare(dataclasses.replace(source, classes=clean.classes))

        def report(step: int, total: int, _loss: float, stage: str = stage) -> None:
            if progress is not None:
                progress(stage, step, total)

        curves.append(
            train_victim(train, None, test, recipe=recipe, seed=seed, device=pick_device(device), progress=report)
        )
    return ProbeResult(
        before=curves[0].last,
        after=curves[1].last,
        test=len(split.test),
        train=len(published),
        steps=chosen,
        seconds=round(sum(curve.seconds for curve in curves), 1),
        flat=all(curve.flat for curve in curves),
    )
