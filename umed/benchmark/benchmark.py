# SPDX-License-Identifier: Apache-2.0
"""Runs a grid: checks it whole, then does what is missing, wherever there is room, and writes the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from umed.benchmark.grid.assemble import Checked, Jobs, assemble, check_grid
from umed.benchmark.grid.estimate import TimeEstimate
from umed.benchmark.grid.grid_reading import load_grid
from umed.benchmark.grid.jobs import CellJob, PretrainJob, PriceJob, ProtectJob
from umed.benchmark.results.broken_results import set_broken_aside
from umed.benchmark.results.cells import CLEAN, finite, read_cell
from umed.benchmark.results.overview import bottom_line
from umed.benchmark.run_job import run_cell, run_pretrain, run_price, run_protect
from umed.benchmark.victims.build import divisor
from umed.benchmark.victims.ready import crop_size, own_size
from umed.benchmark.victims.scoring import mean_dsc
from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError
from umed.core.progress import LONG, words
from umed.core.types import Progress
from umed.data.files import alone, atomic
from umed.execution import Done, Task, execute

Say = Callable[[str], None]
GRID = "grid.json"
"""What the folder is about: name, notes, command, and the cells that belong to the present grid."""


@dataclass(frozen=True)
class Ended:
    """How a run of a benchmark ended.

    Args:
        out: its folder.
        cells: how many cells the grid has, in all.
        done: how many of them are done.
        failures: name and reason of each job that failed.
        report: the HTML report, ``None`` before any cell is done.
        diverged: title and note of each cell of the grid whose weights were not finite at some checkpoint.
        verdict: what came out, a sentence or two a data set.
    """

    out: Path
    cells: int
    done: int
    failures: tuple[tuple[str, str], ...] = ()
    report: Path | None = None
    diverged: tuple[tuple[str, str], ...] = ()
    verdict: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when all is done, 3 when some cells failed, 1 when none could be done."""
        return 0 if not self.failures else 3 if self.done else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        failures = [{"job": name, "reason": reason} for name, reason in self.failures]
        report = None if self.report is None else str(self.report)
        diverged = [{"cell": title, "note": note} for title, note in self.diverged]
        ended = {"out": str(self.out), "cells": self.cells, "done": self.done, "failures": failures, "report": report}
        ended["verdict"] = list(self.verdict)
        return {**ended, "diverged": diverged} if diverged else ended

    def summary(self) -> str:
        """Text for a screen."""
        lines = [f"failed: {name}: {reason}" for name, reason in self.failures]
        lines += [f"not counted: {title}: {note}" for title, note in self.diverged]
        lines.append(f"{self.done} of {self.cells} cells are done")
        lines += self.verdict
        return "\n".join([*lines, f"report: {self.report}"] if self.report else lines)


@dataclass(frozen=True)
class Preview:
    """What a run would do.

    Args:
        out: its folder.
        rows: title of each cell with its seconds; 0 for one that is done.
        protect: titles of the protections that are still to be made.
        seconds: of all cells that are left, protecting not counted.
        workers: processes that share them.
    """

    out: Path
    rows: tuple[tuple[str, float], ...]
    protect: tuple[str, ...]
    seconds: float
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a time that is not known is ``None``."""
        rows = [{"cell": title, "seconds": known} for title, seconds in self.rows for known in finite([seconds])]
        return {"cells": rows, "seconds": finite([self.seconds])[0], "protect": list(self.protect)}

    def summary(self) -> str:
        """Text for a screen."""
        left = [row for row in self.rows if row[1] != 0]
        lines = [f"{title}: {'done' if seconds == 0 else words(seconds)}" for title, seconds in self.rows]
        lines += [f"to protect first: {title}" for title in self.protect]
        total = words(self.seconds / self.workers)
        lines.append(f"{len(left)} of {len(self.rows)} cells are left, about {total} with {self.workers} worker(s)")
        return "\n".join(lines)


def preview(
    grid: str | Path,
    out: str | Path,
    *,
    data: Sequence[str] = (),
    generators: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
) -> Preview:
    """Check a grid and say what a run would do; nothing is trained, and nothing stays on disk.

    Args:
        grid: name of a shipped grid, or a YAML file.
        out: the benchmark's folder; cells that it holds already count as done.
        data: ``NAME=FOLDER`` for data sets of the grid.
        generators: ``NAME=DIR|FILE``, trained before, for methods of the grid.
        changes: laid over the grid.
        device: ``"auto"`` or a torch device, on the machine that does the work.
        workers: processes that would share the work.
        shard: as for :func:`benchmark`.

    Returns:
        The cells and their estimated times.
    """
    _check_shard(shard)
    import tempfile

    where = str(pick_device(device))
    checked = check_grid(load_grid(grid, data=data, generators=generators, changes=changes), device)
    out = Path(out)
    with tempfile.TemporaryDirectory(prefix="umed-benchmark-") as scratch:
        jobs = assemble(checked, out, device, Path(scratch))
    estimate = _estimate(checked, jobs, where)
    mine = jobs.cells[shard[0] :: shard[1]]
    rows = tuple((job.spec.title, estimate.cell(job)) for job in mine)
    wanted = {job.protected.name for job in mine if job.protected is not None}
    missing = tuple(job.name for job in jobs.protect if not job.done and job.name in wanted)
    return Preview(out, rows, missing, sum(seconds for _, seconds in rows), workers)


def benchmark(
    grid: str | Path,
    out: str | Path,
    *,
    data: Sequence[str] = (),
    generators: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
    workers: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
    shard: tuple[int, int] = (0, 1),
    command: str = "",
    say: Say | None = None,
    progress: Progress | None = None,
) -> Ended:
    """Run what is missing of a grid, and write the report.

    Args:
        grid: name of a shipped grid, or a YAML file.
        out: folder for protected copies, cells and the report; a run that was stopped goes on there.
        data: ``NAME=FOLDER`` for data sets of the grid.
        generators: ``NAME=DIR|FILE``, trained before, for methods of the grid.
        changes: laid over the grid.
        device: ``"auto"`` or a torch device, on the machine that does the work.
        workers: local processes.
        scheduler: address of a Dask scheduler, instead of local processes.
        threads: of each worker; the cores divided by the workers if ``None``.
        shard: ``(k, n)`` does every n-th cell from the k-th on; runs with the same folder add up.
        command: that started this, for the record.
        say: called with a line after each job.
        progress: called with a stage, the steps done and the steps in all: of each protection, training and price where
            this process does all the work, else of the jobs.

    Returns:
        How it ended.

    Raises:
        ConfigError: when something in the grid is wrong; it names the line, and nothing was trained.
    """
    _check_shard(shard)
    where = None if scheduler is not None else str(pick_device(device))  # a scheduler's workers are elsewhere
    checked = check_grid(load_grid(grid, data=data, generators=generators, changes=changes), device)
    out = Path(out)
    jobs = assemble(checked, out, device)
    _write_grid(checked, jobs, out, command)
    weights = [job.weights for job in jobs.cells if job.keep_weights] + [job.file for job in jobs.pretrain]
    set_broken_aside(
        [job.file for job in jobs.cells],
        [job.file for job in jobs.price],
        [*weights, *(job.pictures for job in jobs.cells)],
    )
    alone_here = scheduler is None and workers == 1
    tasks = make_tasks(jobs, shard, progress if alone_here else None)
    estimate = _estimate(checked, jobs, where)
    tell = _Teller(jobs, tasks, estimate, max(workers, 1), say or (lambda _line: None))
    tell.begin(sum(task.name not in tell.cells for task in tasks))
    if progress is not None and not alone_here:
        progress("jobs", 0, len(tasks))

    def ended(one: Done, count: int, total: int) -> None:
        tell(one, count, total)
        if progress is not None and not alone_here:
            progress("jobs", count, total)

    done = execute(tasks, workers=workers, scheduler=scheduler, threads=threads, on_done=ended)
    failures = tuple((name, one.error) for name, one in done.items() if one.error is not None)
    finished = sum(job.done for job in jobs.cells)
    report, verdict = None, list[str]()
    if finished:
        from umed.benchmark.report import read_folder, write_files

        with alone(out / "data" / "lock"):  # shards that end together
            found = read_folder(out)
            report, verdict = write_files(found), bottom_line(found.summary)
    return Ended(out, len(jobs.cells), finished, failures, report, tuple(_diverged(jobs)), tuple(verdict))


def _diverged(jobs: Jobs) -> Iterator[tuple[str, str]]:
    """Title and note of each cell that is done and whose weights were not finite."""
    for cell in (read_cell(job.file) for job in jobs.cells if job.done):
        if cell.broken:
            yield cell.spec.title, next((note for note in cell.notes if note.startswith("diverged")), "diverged")


def _check_shard(shard: tuple[int, int]) -> None:
    if not 0 <= shard[0] < shard[1]:
        raise ConfigError(f"shard: expected K/N with 0 <= K < N, got {shard[0]}/{shard[1]}.")


def make_tasks(jobs: Jobs, shard: tuple[int, int] = (0, 1), progress: Progress | None = None) -> list[Task]:
    """Tasks for what is not done yet of this run's part of cells and prices, each with those that it needs.

    In running order: a protection stands right before the first cell that needs it.

    Args:
        jobs: of the grid.
        shard: as for :func:`benchmark`.
        progress: told how far each task is; only of tasks that this very process does.
    """
    tasks: dict[str, Task] = {}

    def told(function: Callable[..., Any], job: ProtectJob | PretrainJob | CellJob | PriceJob) -> Callable[..., Any]:
        return function if progress is None else partial(function, progress=_stages(job, progress))

    def need(function: Callable[..., Any], job: ProtectJob | PretrainJob | None) -> list[str]:
        if job is None or job.done:
            return []
        tasks.setdefault(job.name, Task(job.name, told(function, job), (job,)))
        return [job.name]

    mine = jobs.cells[shard[0] :: shard[1]]
    keep = {job.judge.name: job.judge for job in jobs.price if job.judge is not None}
    for job in [*mine, *(job for name, job in keep.items() if name not in {one.name for one in mine})]:
        if job.done or job.name in tasks:
            continue
        needs = need(run_protect, job.protected) + need(run_pretrain, job.pretrained)
        tasks[job.name] = Task(job.name, told(run_cell, job), (job,), tuple(needs))
    for one in jobs.price[shard[0] :: shard[1]]:
        if not one.done:
            needs = need(run_protect, one.protected)
            if one.judge is not None and one.judge.name in tasks:
                needs.append(one.judge.name)
            tasks[one.name] = Task(one.name, told(run_price, one), (one,), tuple(needs))
    return list(tasks.values())


def _stages(job: ProtectJob | PretrainJob | CellJob | PriceJob, progress: Progress) -> Callable[..., None]:
    """Stages of a job under its name: those of protecting have names, those of a training are steps."""
    name = job.spec.title if isinstance(job, CellJob) else job.name
    if isinstance(job, (CellJob, PretrainJob)):
        return lambda step, steps, _loss: progress(name, step, steps)
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def _estimate(checked: Checked, jobs: Jobs, device: str | None) -> TimeEstimate:
    shapes = {}
    for (data, victim), recipe in checked.recipes.items():
        facts = checked.facts[data]
        patch = crop_size([own_size(facts.shape, recipe.resize)], recipe.patch, divisor(recipe))
        shapes[data, victim] = (patch, facts.channels, facts.classes)
    estimate = TimeEstimate(shapes, device)
    for job in jobs.cells:
        estimate.note(job)
    return estimate


class _Teller:
    """Says after each job what was found, how many cells are done, and how long the rest will take."""

    def __init__(self, jobs: Jobs, tasks: Sequence[Task], estimate: TimeEstimate, workers: int, say: Say) -> None:
        self.cells: dict[str, CellJob] = {job.name: job for job in jobs.cells}
        self.left = {task.name: self.cells[task.name] for task in tasks if task.name in self.cells}
        self.ready = len(jobs.cells) - len(self.left)
        self.estimate, self.workers, self.say = estimate, workers, say

    def begin(self, others: int) -> None:
        """Say what there is to do, and about how long it takes, before the first cell is done.

        Args:
            others: jobs that are no cells, such as protecting, whose time nobody knows yet.
        """
        rest = self._rest()
        if not rest > LONG:  # of NaN nothing can be said, and a short run says enough by itself
            return
        more = f", beside {others} other job{'' if others == 1 else 's'}, such as protecting" if others else ""
        self.say(f"{len(self.left)} of {len(self.cells)} cells to train: about {words(rest)} on this machine{more}")

    def _rest(self) -> float:
        """Seconds that the cells will take that are left."""
        return sum(self.estimate.cell(one) for one in self.left.values()) / self.workers

    def __call__(self, done: Done, count: int, total: int) -> None:
        if done.error is not None:
            self.left.pop(done.name, None)
            self.say(f"FAILED {done.name}: {done.error}")
            return
        job = self.left.pop(done.name, None)
        if job is None:
            self.say(f"{done.name}: {words(done.seconds)}")
            return
        self.ready += 1
        self.estimate.note(job)
        rest = self._rest()
        try:
            cell = read_cell(job.file)
            last, remark = mean_dsc(cell.choices["last"].dsc), " (diverged, not counted)" if cell.broken else ""
        except InputError:  # deleted meanwhile, or not yet seen through a network's file system
            last, remark = None, ""
        figure = f"none{remark}" if last is None or remark else f"{100 * last:.1f} %"
        self.say(
            f"[{self.ready}/{len(self.cells)}] {job.spec.title}: DSC {figure}, {words(done.seconds)}; "
            f"about {words(rest)} left"
        )


def _write_grid(checked: Checked, jobs: Jobs, out: Path, command: str) -> None:
    """Say what belongs to the present grid, so that a report leaves out cells of earlier settings."""
    grid = checked.grid
    content = {
        "name": grid.name,
        "notes": grid.notes,
        "command": command,
        "tolerance": grid.tolerance,
        "data": {
            name: {
                "cases": {part: len(getattr(job.data.split, part)) for part in ("train", "validation", "test")},
                **job.data.inputs,
            }
            for name, job in {job.spec.data: job for job in jobs.cells}.items()
        },
        "methods": [CLEAN, *grid.methods],
        "cells": [job.spec.file for job in jobs.cells],
        "price": [job.file.name for job in jobs.price],
    }
    with alone(out / "data" / "lock"), atomic(out / GRID) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def print_line(line: str) -> None:
    """A line on stderr, at once."""
    print(line, file=sys.stderr, flush=True)
