# SPDX-License-Identifier: Apache-2.0
"""The real nnU-Net v2 (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z) as a victim, in an environment of its own.

It makes its own fingerprint, plan, preprocessing and augmentation from what was published. What is shortened is said in
each cell's notes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from umed.benchmark.countermeasures.interface import Chain
from umed.benchmark.environment import environment
from umed.benchmark.grid.case_split import class_names
from umed.benchmark.grid.jobs import CellJob
from umed.benchmark.results.cells import Cell, finite
from umed.benchmark.victims.case_tensors import load_samples, window_of
from umed.benchmark.victims.external.raw import DATASET, read_answer, write_raw
from umed.benchmark.victims.ready import Ready, make_ready
from umed.benchmark.victims.scoring import chance_table, mean_dsc, score
from umed.benchmark.victims.victim_recipe import Recipe
from umed.core.config import from_mapping, require
from umed.core.conversion import parse_json
from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError
from umed.data.files import set_aside
from umed.execution.nnunet_environment import HOW_TO, nnunet_interpreter, nnunet_missing, nnunet_variables

RUNNER = Path(__file__).with_name("nnunet_runner.py")
LINES = 2


@dataclass(frozen=True)
class NnUNetOptions:
    """How much of nnU-Net is run.

    Args:
        python: interpreter of its environment; ``$UMED_NNUNET_PYTHON`` if ``None``.
        configuration: ``"2d"`` or ``"3d_fullres"``; by dimension if ``None``.
        epochs: nnU-Net's own number is 1000.
        iterations: training iterations an epoch; its own is 250.
        validation_iterations: its own is 50.
        batch_size: instead of its plan's.
        patch_size: instead of its plan's.
        threads: of torch.
    """

    python: str | None = None
    configuration: str | None = None
    epochs: int = 20
    iterations: int = 50
    validation_iterations: int = 5
    batch_size: int | None = None
    patch_size: tuple[int, ...] | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations", "validation_iterations", "threads"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        good = self.configuration in (None, "2d", "3d_fullres")
        require(good, "configuration", "'2d' or '3d_fullres'", self.configuration)

    @property
    def interpreter(self) -> str:
        """The interpreter that is asked for, or the running one."""
        return nnunet_interpreter(self.python)


def check_external(recipe: Recipe, spatial_dims: int) -> None:
    """Make sure that nnU-Net can be started with the options of a recipe, which are :class:`NnUNetOptions`.

    ConfigError when an option is unknown, or there is no nnU-Net.
    """
    options = from_mapping(NnUNetOptions, recipe.options, "nnunet")
    if spatial_dims == 2 and options.configuration == "3d_fullres":
        raise ConfigError("nnunet.configuration: expected '2d' for pictures, got '3d_fullres'. Leave it out.")
    problem = nnunet_missing(options.interpreter)
    if problem:
        raise ConfigError(f"nnunet: expected nnunetv2 in {options.interpreter}, got: {problem}. {HOW_TO}.")


def run_external(job: CellJob) -> str:
    """Convert, plan, train, predict and score; gives the JSON file, with which the work folder is removed.

    The cell has no countermeasures, which would not reach nnU-Net's own pipeline. InputError when a step fails; it
    names the log.
    """
    if job.done:
        return str(job.file)
    begin = time.perf_counter()
    options = from_mapping(NnUNetOptions, job.recipe.options, "nnunet")
    data, split = job.data, job.data.split
    clean = load_samples(data.root, data.ids, rules=data.rules)
    test = make_ready(clean.pick(split.test), Chain())
    work = job.out / "external" / job.spec.key
    work.mkdir(parents=True, exist_ok=True)
    published = data.root if job.protected is None else job.protected.folder
    ct = window_of(clean.pick(data.published)) is not None
    names = write_raw(
        work, published, data.root, split.train, split.validation, split.test, clean.values, ct, data.rules
    )
    result = _start(job, options, work, test.images[0].ndim - 1)
    middle = time.perf_counter()
    best = "best_clean" if job.protected is None else "best_protected"
    average = result["average"] or [0.0]
    steps = {"last": options.epochs, best: 1 + max(range(len(average)), key=average.__getitem__)}
    choices = {}
    for choice, folder in (("last", "final"), (best, "best")):
        answers = [torch.from_numpy(read_answer(work / "answers" / folder / names[case])) for case in test.ids]
        _check(answers, test)
        choices[choice] = score(answers, test, steps[choice] * options.iterations, job.tolerance)
    seconds = {**result["seconds"], "score": time.perf_counter() - middle, "total": time.perf_counter() - begin}
    validation = tuple(
        (
            options.iterations * (k + 1),
            value if job.protected is None else None,
            None if job.protected is None else value,
        )
        for k, value in enumerate(result["dice"])
    )
    cell = Cell(
        spec=job.spec,
        classes=class_names(data.root, test.classes, clean.values),
        cases=test.ids,
        choices=choices,
        loss=finite(result["loss"]),
        validation=validation,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        environment=environment(),
        unit=test.unit,
        notes=_notes(options, result),
        chance=mean_dsc(chance_table(test.truths, test.classes)),
    )
    path = cell.write(job.out / "cells")
    shutil.rmtree(work, ignore_errors=True)
    return str(path)


def _start(job: CellJob, options: NnUNetOptions, work: Path, dims: int) -> dict[str, Any]:
    """Run the runner in nnU-Net's environment, unless an earlier run of this job has its result."""
    file = work / "result.json"
    if file.is_file() and not _is_json(file):
        set_aside(file, "the result of an earlier run", "something damaged", "nnU-Net trains again.")
    if not file.is_file():
        folders = {name: str((work / name).resolve()) for name in ("raw", "preprocessed", "results")}
        content = {
            **asdict(options),
            "configuration": options.configuration or ("2d" if dims == 2 else "3d_fullres"),
            "dataset": DATASET,
            "seed": job.spec.seed,
            "device": str(pick_device(job.device)),
            "preprocessed": folders["preprocessed"],
            "splits": str((work / "splits.json").resolve()),
            "images": str((work / "raw" / DATASET / "imagesTs").resolve()),
            "answers": str((work / "answers").resolve()),
        }
        (work / "job.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        given = nnunet_variables(folders, options.threads)
        for folder in ("preprocessed", "results"):
            (work / folder).mkdir(exist_ok=True)
        log = work / "log.txt"
        with log.open("w", encoding="utf-8") as output:
            command = [options.interpreter, str(RUNNER), str(work / "job.json")]
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=given, check=False)
        if done.returncode != 0 or not file.is_file():
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            lines = [line.strip() for line in said if line.strip(" ^~")][-LINES:]
            where = log.relative_to(job.out)
            raise InputError(
                f"nnunet: expected it to end well, got exit code {done.returncode}: {' | '.join(lines)}. See {where}."
            )
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def _is_json(file: Path) -> bool:
    try:
        return isinstance(parse_json(file.read_bytes()), dict)
    except ValueError:
        return False


def _check(answers: list[torch.Tensor], test: Ready) -> None:
    for answer, truth, case in zip(answers, test.truths, test.ids, strict=True):
        if answer.shape != truth.shape:
            raise InputError(f"{case}: expected a prediction of {tuple(truth.shape)}, got {tuple(answer.shape)}.")


def _notes(options: NnUNetOptions, result: dict[str, Any]) -> tuple[str, ...]:
    """What was shortened."""
    return (
        f"nnU-Net v2, {options.epochs} epochs of {options.iterations} iterations instead of 1000 of 250, poly schedule "
        "over that length",
        "one fold, whose validation cases are published ones; no cascade, no ensemble, no postprocessing, no test-time "
        "mirroring",
        f"its own fingerprint, plan (patch {result['patch']}, batch {result['batch']}), preprocessing and augmentation",
        "seeded, but not reproducible to the bit",
    )
