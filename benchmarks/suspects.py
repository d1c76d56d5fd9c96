# SPDX-License-Identifier: Apache-2.0
"""Suspect networks for trials of `umed trace`: train one on what lies in a folder, and let it answer queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from umed.benchmark.countermeasures.interface import Chain, make_countermeasure
from umed.benchmark.grid.case_split import labelled_ids, resized_pictures, subset_dataset
from umed.benchmark.victims.case_tensors import Samples, full_scale, load_samples
from umed.benchmark.victims.ready import make_ready
from umed.benchmark.victims.scoring import dsc_table, mean_dsc, predict
from umed.benchmark.victims.victim_recipe import Recipe, Resize, default_recipe
from umed.benchmark.victims.victim_training import fresh_victim, train_victim
from umed.data import formats
from umed.data.layouts import find_dataset

TOGETHER = 32
"""Queries of one size that go through the network at once."""


def make_pictures(folder: Path, count: int, size: int, seed: int = 0) -> Path:
    """Write colour pictures with a lesion each, in folders `images` and `masks`.

    Args:
        folder: new folder.
        count: number of pictures.
        size: side in pixels.
        seed: what they follow from.
    """
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows, columns = np.mgrid[:size, :size] / size
    for number in range(count):
        centre, radii = rng.uniform(0.35, 0.65, 2), rng.uniform(0.12, 0.28, 2)
        wobble = gaussian_filter(rng.normal(size=(size, size)), size / 8) * size / 10
        inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 + wobble < 1
        skin, lesion = rng.uniform((150, 110, 90), (220, 170, 150)), rng.uniform((70, 40, 30), (150, 100, 90))
        texture = gaussian_filter(rng.normal(size=(size, size, 3)), (2, 2, 0)) * 60
        edge = gaussian_filter(inside.astype(float), 1.0)[..., None]
        pixels = (skin * (1 - edge) + lesion * edge + texture + rng.normal(0, 3, (size, size, 3))).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"made{number:04d}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / "masks" / f"made{number:04d}.png")
    return folder


def part_of(data: Path, folder: Path, ids: Sequence[str], size: int | None) -> Path:
    """Some cases of a data set as one of its own; pictures are shrunk to `size` pixels where that is given."""
    if size is None:
        return subset_dataset(data, list(ids), folder)
    return resized_pictures(data, size, folder, list(ids))


def recipe_of(net: str, data: Path, changes: dict[str, Any]) -> Recipe:
    """The recipe of a victim of `umed benchmark` for a data set."""
    first = find_dataset(data)
    dims = len(formats.read(first.root / first.cases[0].images[0]).spatial_shape)
    return default_recipe(net, dims, changes)


@dataclass(eq=False)
class TrainedSuspect:
    """A network, and what comes before it.

    Args:
        network: trained.
        window: size that it was trained on.
        chain: what every image goes through first.
        resize: the size that the thief trains at, after it.
    """

    network: nn.Module
    window: tuple[int, ...]
    chain: Chain
    resize: Resize = None

    def dsc(self, clean: Samples) -> float:
        """Mean DSC on clean cases, in [0, 1]."""
        ready = make_ready(clean, self.chain, self.resize)
        sizes = [truth.shape for truth in ready.truths]
        found = predict(self.network, ready.images, torch.device("cpu"), self.window, sizes)
        return mean_dsc(dsc_table(found, ready.truths, ready.classes)) or 0.0

    def answer(self, queries: Path, answers: Path) -> None:
        """Keep the probabilities for every query of a folder, as `umed trace judge` reads them."""
        answers.mkdir()
        files = sorted((queries / "images").iterdir())
        for start in range(0, len(files), TOGETHER):
            by_shape: dict[tuple[int, ...], list[tuple[str, Tensor, float]]] = {}
            for path in files[start : start + TOGETHER]:
                volume = formats.read(path)
                values = volume.channels.astype(np.float32) * volume.encoding.slope + volume.encoding.inter
                image, name = torch.from_numpy(values), path.name[: -len(formats.ending(path))]
                by_shape.setdefault(tuple(image.shape), []).append((name, image, full_scale(image, volume)))
            for group in by_shape.values():
                self._answer(group, answers)

    @torch.no_grad()
    def _answer(self, group: Sequence[tuple[str, Tensor, float]], answers: Path) -> None:
        names, images, scales = zip(*group, strict=True)
        shape = images[0].shape[1:]
        empty = torch.zeros(shape, dtype=torch.uint8)
        ready = make_ready(Samples(names, images, (empty,) * len(names), 2, scales=scales), self.chain, self.resize)
        batch, dims = torch.stack(ready.images), len(shape)
        logits = sliding_window_inference(batch, self.window, TOGETHER, self.network.eval(), 0.25, "gaussian")
        assert isinstance(logits, Tensor)
        if logits.shape[2:] != shape:
            mode = "bilinear" if dims == 2 else "trilinear"
            logits = torch.nn.functional.interpolate(logits, size=tuple(shape), mode=mode)
        for name, shares in zip(names, logits.softmax(1), strict=True):
            np.savez(answers / f"{name}.npz", probabilities=shares.numpy())


def train_suspect(
    published: Path,
    recipe: Recipe,
    seed: int,
    steps: Sequence[tuple[str, dict[str, Any]]] = (),
    clean: Samples | None = None,
    values: tuple[int, ...] | None = None,
) -> TrainedSuspect:
    """Train a victim of `umed benchmark` on the files of a folder.

    Args:
        published: what it learns from.
        recipe: how.
        seed: of weights, order and crops.
        steps: countermeasures, by name with their options; `mix` needs `clean`.
        clean: the same cases, unprotected.
        values: of the classes, where the folder may lack one.
    """
    chain = Chain([make_countermeasure(name, options) for name, options in steps])
    samples = load_samples(published, labelled_ids(published), values=values)
    samples = chain.select(samples, samples if clean is None else clean, seed)
    chain.fit(samples, seed, torch.device("cpu"))
    ready = make_ready(samples, chain, recipe.resize)
    network, window, divisor = fresh_victim(recipe, ready, seed)
    train_victim(network, ready, recipe=recipe, chain=chain, divisor=divisor, seed=seed)
    return TrainedSuspect(network, window, chain, recipe.resize)
