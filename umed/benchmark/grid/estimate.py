# SPDX-License-Identifier: Apache-2.0
"""How long a benchmark will take: from cells of the same kind that are done, else from a few measured steps."""

from __future__ import annotations

import time

import torch

from umed.benchmark.grid.assemble import cost
from umed.benchmark.grid.jobs import CellJob
from umed.benchmark.results.cells import read_cell
from umed.benchmark.victims.build import build_victim, make_optimizer
from umed.benchmark.victims.victim_recipe import EXTERNAL, Recipe
from umed.core.errors import InputError, UmedError
from umed.training.augment import nnunet_like
from umed.training.bilevel import segmentation_loss

MEASURED = 2
AROUND = 1.2
"""A cell's time over that of its training steps: reading, predicting and scoring."""


class TimeEstimate:
    """Seconds of cells that are not done yet.

    Args:
        shapes: crop size, channels and classes of each data set, as
            :func:`umed.benchmark.grid.assemble.check_grid` saw it.
        device: torch device of the trainings, ``None`` where they are on other machines, which cannot be measured here.
    """

    def __init__(self, shapes: dict[tuple[str, str], tuple[tuple[int, ...], int, int]], device: str | None) -> None:
        self.shapes = shapes
        self.device = device
        self._seconds: dict[tuple[str, str], float] = {}

    def note(self, job: CellJob) -> None:
        """Take the time a step from a cell, if it is done."""
        if not job.done:
            return
        try:
            total = read_cell(job.file).seconds.get("total", 0.0)
        except InputError:
            return
        if total:
            self._seconds[self._kind(job)] = total / (job.recipe.steps * cost(job))

    def cell(self, job: CellJob) -> float:
        """Seconds that a cell will take: 0 for one that is done, NaN where nobody can know."""
        if job.done:
            return 0.0
        kind = self._kind(job)
        if kind not in self._seconds:
            shape = self.shapes[job.data.name, job.spec.victim]
            self._seconds[kind] = self._measure(job.recipe, *shape)
        return self._seconds[kind] * job.recipe.steps * cost(job)

    def _measure(self, recipe: Recipe, patch: tuple[int, ...], channels: int, classes: int) -> float:
        if self.device is None or recipe.net in EXTERNAL:
            return float("nan")
        try:
            return AROUND * step_seconds(recipe, patch, channels, classes, self.device)
        except (RuntimeError, ValueError, UmedError):  # out of memory beside a training, say: an estimate stops nothing
            return float("nan")

    @staticmethod
    def _kind(job: CellJob) -> tuple[str, str]:
        return job.data.name, job.spec.victim


def step_seconds(recipe: Recipe, patch: tuple[int, ...], channels: int, classes: int, device: str) -> float:
    """Measure a training step of a victim on random numbers, in seconds; background counts among the classes."""
    dims = len(patch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_victim(recipe, spatial_dims=dims, in_channels=channels, classes=classes, patch=patch)
        image = torch.rand(recipe.batch, channels, *patch)
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d  # as in training: three times as fast in 3D
    network = network.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = make_optimizer(network, recipe)
    draw = torch.Generator().manual_seed(0)
    label = torch.zeros(recipe.batch, 1, *patch, dtype=torch.long, device=device)
    begin = 0.0
    for step in range(MEASURED + 1):
        if step == 1:
            begin = time.perf_counter()  # the first step allocates
        optimizer.zero_grad()
        if recipe.augment == "nnunet":
            nnunet_like(image, label.cpu(), draw)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=recipe.bfloat16):
            output = network(image.to(device=device, memory_format=layout))
        torch.autograd.backward(segmentation_loss(output.float(), label))
        optimizer.step()
    return (time.perf_counter() - begin) / MEASURED
