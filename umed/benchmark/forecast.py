# SPDX-License-Identifier: Apache-2.0
"""A forecast before the release: short trainings of small thieves on a quick protected copy, judged on clean cases.

It is a small benchmark in a private temporary folder that is removed at the end, whatever happens. The labelled cases
are drawn and split by their ids; those to train on are protected at their files' own resolution, under a key that is
thrown away, with untrained generators (the carriers alone) unless trained ones are given; then thieves shrink them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from umed.benchmark.grid.assemble import Checked, Jobs, assemble, check_grid
from umed.benchmark.grid.case_split import subset_dataset
from umed.benchmark.grid.cut_sets import choose
from umed.benchmark.grid.estimate import TimeEstimate
from umed.benchmark.grid.grid import Block, DataSource, Grid, Protection
from umed.benchmark.grid.jobs import CellJob
from umed.benchmark.grid.yaml_lines import Lines
from umed.benchmark.results.cells import CLEAN, NONE, Table, read_cell
from umed.benchmark.results.statistics import by_case, estimate
from umed.benchmark.results.verdict import Forecast, Tables, judge
from umed.benchmark.run_job import SHELF, held_out_labels, run_cell, run_protect
from umed.benchmark.victims.build import divisor
from umed.benchmark.victims.ready import crop_size, own_size
from umed.benchmark.victims.scoring import chance_table, mean_dsc
from umed.cases.forecast_fit import made_for
from umed.core.config import Settings
from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError
from umed.core.progress import words
from umed.core.types import Progress
from umed.data.declared import ruled
from umed.data.dicom_input import is_dicom
from umed.data.layouts import find_dataset
from umed.plan.facts import CaseFacts, gather
from umed.plan.planning import Plan

THIEVES = ("nnunet_like", "unet")
"""Victims that are trained, each with its own recipe: nnU-Net's training in small, and a plain U-Net with Adam."""
STEPS = 1000
FEWEST, MOST = 12, 200
"""Labelled cases that are needed, and that are drawn at most."""
SIDE = 128
"""Longest side in pixels that thieves train at."""
HELD_OUT, VALIDATION = 0.3, 0.05
"""Shares of the cases; those to validate on go unused, since the last checkpoint is judged."""
DATA = "development"
Say = Callable[[str], None]


def forecast(
    root: str | Path,
    plan: Plan,
    *,
    steps: int | None = None,
    seeds: int = 1,
    victims: Sequence[str] = THIEVES,
    generators: str | Path | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Forecast:
    """Train thieves on unprotected and on protected cases of a data set, and say what is likely left.

    Args:
        root: data set of files in a known layout, with labels; never changed.
        plan: how it is to be protected, as :func:`umed.plan` gives it.
        steps: optimiser steps of each training; :data:`STEPS` if ``None``.
        seeds: trainings of each thief, on unprotected and on protected cases each.
        victims: thieves, names of victims of the benchmark.
        generators: folder or file of trained generators; the carriers alone if ``None``. A learnt method without
            carriers is then trained as the plan says, on the forecast's training cases.
        progress: called with stage, done, total.
        say: called with a line on what is going to be done, and how long that takes.

    Returns:
        Figures and verdict. The same arguments give the same figures on the same machine.

    Raises:
        InputError: when these are DICOM files, or too few cases that can be protected.
        ConfigError: when steps, seeds or a victim make no sense.
        VerificationError: when a case could not be protected.
    """
    begin, count = time.perf_counter(), STEPS if steps is None else steps
    for name, number in (("steps", count), ("seeds", seeds)):
        if number < 1:
            raise ConfigError(f"--forecast-{name}: expected at least 1, got {number}.")
    root, trained = Path(root), generators is not None
    tell = say or (lambda _line: None)
    tell("forecast: looking at the cases")
    ids = usable_cases(root, plan, None if progress is None else _renamed(progress))
    decided = made_for(plan, find_dataset(root), trained=trained)  # first: what changes meanwhile is another input
    try:
        with tempfile.TemporaryDirectory(prefix="umed-forecast-") as scratch:  # 0700
            source = subset_dataset(root, ids, Path(scratch) / "source")
            grid = _grid(source, plan, count, seeds, victims, generators)
            checked, jobs = _jobs(grid, plan, Path(scratch))
            tell(_announce(checked, jobs, count, plan))
            for job in jobs.protect:
                run_protect(job, None if progress is None else _renamed(progress))
            for cell in jobs.cells:
                run_cell(cell, None if progress is None else _stage(cell, progress))
            found = _judged(jobs.cells, victims)
    finally:
        SHELF.clear()  # originals; nothing else needs them
    split = jobs.cells[0].data.split
    return Forecast(
        thieves=found,
        steps=count,
        seeds=seeds,
        train=len(split.train),
        test=len(split.test),
        side=SIDE,
        method=plan.method,
        options=plan.method_options,
        epsilon=plan.epsilon,
        trained=trained,
        seconds=round(time.perf_counter() - begin, 1),
        made_for=decided,
    )


def usable_cases(root: Path, settings: Settings | None = None, progress: Progress | None = None) -> tuple[str, ...]:
    """Ids of the cases to draw from a data set: labelled, readable, of one kind; at most :data:`MOST`, sorted.

    Raises:
        InputError: when these are DICOM files, or fewer than :data:`FEWEST` cases.
    """
    return tuple(one.id for one in usable_facts(root, settings, progress))


def usable_facts(
    root: Path, settings: Settings | None = None, progress: Progress | None = None, *, most: int = MOST
) -> tuple[CaseFacts, ...]:
    """What is known of the cases of :func:`usable_cases`, at most ``most``; raises as it does."""
    if is_dicom(root):
        raise InputError(
            f"{root}: expected a data set of files for a trial, got DICOM files. Convert some series and their "
            "masks to NIfTI, and try those; umed protect itself takes DICOM."
        )
    dataset = ruled(find_dataset(root), settings)
    labelled = sorted(case.id for case in dataset.cases if case.labels and case.id not in dataset.split)
    drawn = set(choose(tuple(labelled), DataSource(cases=most))) if labelled else set()
    facts = gather(
        replace(dataset, cases=tuple(case for case in dataset.cases if case.id in drawn)), every=True, progress=progress
    )
    good = [
        case
        for case in facts.cases
        if case.action == "protect" and len(case.shape) == len(facts.shape) and case.channels == facts.channels
    ]
    if len(good) < FEWEST:
        raise InputError(
            f"{root}: expected at least {FEWEST} cases with a label that is not empty to train thieves on, got "
            f"{len(good)}. So few would say nothing: protect without a trial, and measure on similar data with umed "
            "benchmark."
        )
    return tuple(sorted(good, key=lambda case: case.id))


def _grid(
    source: Path, plan: Plan, steps: int, seeds: int, victims: Sequence[str], generators: str | Path | None
) -> Grid:
    """Data x {clean, the plan} x thieves x seeds, without countermeasures and without a price."""
    given = None if generators is None else str(Path(generators).absolute())
    protection = asdict(quick_settings(plan, learnt=generators is not None))
    for name in ("method", "method_options", "device"):  # a grid has its own places for these
        protection.pop(name)
    return Grid(
        "forecast",
        source.parent,
        Lines("forecast", {}),
        data={DATA: DataSource(path=str(source), test=HELD_OUT, validation=VALIDATION)},
        methods={plan.method: Protection(plan.method, dict(plan.method_options), generators=given)},
        victims={name: (name, {}) for name in victims},
        protection=protection,
        training={"steps": steps, "checkpoints": 1},
        price=False,
        blocks=(Block((DATA,), (plan.method,), tuple(victims), (NONE,), tuple(range(seeds))),),
    )


def _jobs(grid: Grid, plan: Plan, scratch: Path) -> tuple[Checked, Jobs]:
    """The benchmark's own jobs; they read cases no larger than thieves train at."""
    checked = check_grid(grid, plan.device)
    jobs = assemble(checked, scratch, plan.device)
    cells = []
    for job in jobs.cells:
        data = replace(job.data, shrink=SIDE)
        protected = None if job.protected is None else replace(job.protected, data=data)
        cells.append(replace(job, data=data, protected=protected))
    return checked, replace(jobs, cells=tuple(cells))


def quick_settings(plan: Plan, *, learnt: bool) -> Settings:
    """Settings that protect as a plan says, without training umed's generators and without pictures in a report.

    Args:
        plan: with nothing left open.
        learnt: whether trained generators are given.
    """
    values: dict[str, Any] = {item.name: getattr(plan, item.name) for item in fields(Settings)}
    values |= {"report_cases": 0, "strength": "epsilon"}  # the plan has turned the strength into its epsilon
    if plan.method == "umed" and not learnt:
        values["training"] = replace(plan.training, iterations=0)
    return Settings(**values)


def _announce(checked: Checked, jobs: Jobs, steps: int, plan: Plan) -> str:
    """What is going to be done, and about how long it takes, measured on this machine."""
    facts, shapes = checked.facts[DATA], {}
    for (data, victim), recipe in checked.recipes.items():
        side = min(SIDE, max(facts.shape))
        patch = crop_size([own_size(facts.shape, side)], recipe.patch, divisor(recipe))
        shapes[data, victim] = (patch, facts.channels, facts.classes)
    estimate = TimeEstimate(shapes, str(pick_device(plan.device)))
    split = jobs.cells[0].data.split
    seconds = sum(estimate.cell(job) for job in jobs.cells)
    return (
        f"forecast: {len(jobs.cells)} trainings of {steps} steps on {len(split.train)} cases, judged on "
        f"{len(split.test)} others; about {words(seconds)}, beside protecting {len(jobs.cells[0].data.published)} cases"
    )


def _renamed(progress: Progress) -> Progress:
    """Stages of the quick copy must not look like those of the release."""
    return lambda stage, done, total: progress(f"forecast: {stage}", done, total)


def _stage(job: CellJob, progress: Progress) -> Callable[[int, int, float], None]:
    what = "unprotected" if job.spec.method == CLEAN else "protected"
    name = f"forecast: {job.spec.victim}, {what}, seed {job.spec.seed}"
    return lambda step, steps, _loss: progress(name, step, steps)


def _judged(cells: Collection[CellJob], victims: Sequence[str]) -> tuple[Any, ...]:
    tables: dict[tuple[str, bool], dict[int, tuple[Sequence[str], Table]]] = {}
    for job in cells:
        cell = read_cell(job.file)
        key = (cell.spec.victim, cell.spec.method == CLEAN)
        tables.setdefault(key, {})[cell.spec.seed] = (cell.cases, cell.choices["last"].dsc)
    guess = chance_of(next(iter(cells)))
    best = max(float(estimate(by_case(_of(tables, name, True))[1]).mean) for name in victims)
    return tuple(judge(name, _of(tables, name, True), _of(tables, name, False), guess, best) for name in victims)


def _of(tables: Mapping[tuple[str, bool], Tables], victim: str, clean: bool) -> Tables:
    return tables[victim, clean]


def chance_of(job: CellJob) -> dict[str, float]:
    """DSC of each held-out case for a picture of one class, the one with the best mean; NaN without any class."""
    ids, truths, classes = held_out_labels(job)
    means = [mean_dsc((row,)) for row in chance_table(truths, classes)]
    return {case: float("nan") if mean is None else mean for case, mean in zip(ids, means, strict=True)}
