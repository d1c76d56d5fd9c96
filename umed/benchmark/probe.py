# SPDX-License-Identifier: Apache-2.0
"""A first answer in minutes: does a network that trains on the protected images still segment clean ones?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from umed.benchmark.countermeasures.interface import Chain
from umed.benchmark.grid.case_split import split_cases
from umed.benchmark.results.floor import has_learnt, least_dsc, no_verdict
from umed.benchmark.results.statistics import NAN
from umed.benchmark.victims.case_tensors import load_samples, window_of
from umed.benchmark.victims.ready import make_ready
from umed.benchmark.victims.scoring import chance_table, dsc_table, mean_dsc, predict
from umed.benchmark.victims.victim_recipe import default_recipe
from umed.benchmark.victims.victim_training import fresh_victim, train_victim
from umed.cases.records import KEY, Store
from umed.core.config import Settings
from umed.core.device import pick_device
from umed.core.errors import InputError
from umed.core.keyfile import Key
from umed.core.types import Progress
from umed.data.declared import ruled
from umed.data.layouts import find_dataset
from umed.protect.conclude import report_again
from umed.protect.manifest import read_record
from umed.protect.result import Result
from umed.protect.run import protect


@dataclass(frozen=True)
class ProbeResult:
    """DSC of two small victims on the same clean test cases.

    Args:
        before: mean DSC after training on the original images.
        after: the same after training on the protected images.
        test: how many cases judged.
        train: how many cases were trained on.
        steps: optimiser steps of each victim.
        seconds: wall time of both trainings.
        flat: whether both training losses were flat at the end.
        chance: mean DSC of the best picture of one class on the same cases.
    """

    before: float
    after: float
    test: int
    train: int
    steps: int
    seconds: float
    flat: bool
    chance: float = NAN

    @property
    def floor(self) -> float:
        """DSC that the victim of the originals must reach to be a measure."""
        return least_dsc(self.before, self.chance)

    @property
    def learnt(self) -> bool:
        """Whether it does; else the other figure says nothing about the protection."""
        return has_learnt(self.before, self.before, self.chance)

    def summary(self) -> str:
        """One line for a screen."""
        rest = f"{self.steps} steps on {self.train} cases, tested on {self.test} clean ones"
        if not self.learnt:
            return f"probe victim: {no_verdict(self.before, self.floor)} ({rest}); train longer: umed benchmark"
        return (
            f"probe victim: DSC {100 * self.before:.1f} % after training on originals, {100 * self.after:.1f} % on "
            f"protected images ({rest}); a quick look, not a result: these victims have hardly learnt"
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
    settings: Settings | None = None,
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
        settings: of the protection, which may say how masks are read.
        progress: called with stage, done, total.

    Returns:
        DSC before and after.

    Raises:
        InputError: When fewer than 4 cases are in both folders.
    """
    released = {case.id for case in find_dataset(Path(output)).cases if case.labels}
    ids = sorted(case.id for case in find_dataset(Path(input)).cases if case.id in released and case.labels)
    if len(ids) < 4:
        raise InputError(
            f"{output}: expected at least 4 cases that {input} has too, got {len(ids)}. Protect more cases."
        )
    ids = [ids[k] for k in sorted(set(np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int).tolist()))]
    split = split_cases(ids, seed=seed)
    published = (*split.train, *split.validation)  # no checkpoint is chosen, so nothing is held back for it
    rules = ruled(find_dataset(Path(input)), settings).rules
    clean = load_samples(input, ids, rules=rules)
    clipped = window_of(clean.pick(published))
    clean = clean.clip(clipped)
    dims = clean.images[0].ndim - 1
    patch, batch = ((96, 96), 4) if dims == 2 else ((32, 32, 32), 1)
    changes = {"steps": steps or (240 if dims == 2 else 300), "width": width, "patch": patch, "batch": batch}
    recipe = default_recipe("unet", dims, changes)
    where, chain = pick_device(device), Chain()
    test = make_ready(clean.pick(split.test), chain)
    scores, seconds, flat = [], 0.0, True
    for stage, root in (("probe on originals", input), ("probe on protected", output)):
        if root is input:
            source = clean.pick(published)
        else:
            source = load_samples(output, published, rules=rules, values=clean.values).clip(clipped)
        train = make_ready(source, chain)
        network, window, step = fresh_victim(recipe, train, seed)

        def report(done: int, total: int, _loss: float, stage: str = stage) -> None:
            if progress is not None:
                progress(stage, done, total)

        training = train_victim(network, train, recipe=recipe, divisor=step, seed=seed, device=where, progress=report)
        answers = predict(network, test.images, where, window, [truth.shape for truth in test.truths])
        scores.append(mean_dsc(dsc_table(answers, test.truths, test.classes)) or 0.0)
        seconds += training.train_seconds
        flat = flat and training.flat
    guess = mean_dsc(chance_table(test.truths, test.classes))
    return ProbeResult(
        before=scores[0],
        after=scores[1],
        test=len(split.test),
        train=len(published),
        steps=recipe.steps,
        seconds=round(seconds, 1),
        flat=flat,
        chance=NAN if guess is None else guess,
    )


def protect_and_probe(
    input: str | Path,
    output: str | Path,
    *,
    probe_steps: int | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Result:
    """Protect a data set, measure the copy with :func:`probe`, and write the report again with what was found.

    Args:
        input: data set.
        output: new folder.
        probe_steps: optimiser steps of each victim.
        progress: called with stage, done, total.
        arguments: of :func:`umed.protect`.

    Returns:
        The result of :func:`umed.protect`; its ``probe`` says what was found, or that there are too few cases.
    """
    result = protect(input, output, progress=progress, **arguments)
    if result.exit_code not in (0, 3):
        return replace(result, probe="")
    try:
        found = probe(
            input, result.output, steps=probe_steps, device=result.plan.device, settings=result.plan, progress=progress
        )
    except InputError as error:
        return replace(result, probe=f"no probe: {error}")
    if result.report is not None and found.learnt:
        means = {"clean": found.before, "protected": found.after}
        store = Store(result.output, result.private)
        file = store.path(KEY) if arguments.get("key_file") is None else Path(arguments["key_file"])
        key = Key.load(file)
        report_again(store, key, read_record(store.folder, key), source=Path(input), probe=means)
    return replace(result, probe=found.summary())
