# SPDX-License-Identifier: Apache-2.0
"""The thief's training loop: a fresh network, Dice + CE, Adam, a fixed number of steps, judged on clean test cases.

Nothing here knows whether the data are protected: clean and protected data go through the same lines with the same
seed, so they see the same cases, crops and flips in the same order.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as functional
from monai.inferers.utils import sliding_window_inference

from umed.benchmark.data import Samples
from umed.benchmark.schedule import decay, is_flat
from umed.benchmark.victims import DIVISOR, make_victim
from umed.bilevel import segmentation_loss

Augment = Callable[[torch.Tensor, torch.Tensor, torch.Generator], tuple[torch.Tensor, torch.Tensor]]
Progress = Callable[[int, int, float], None]

SMALLEST = 32
"""Length of at least one side of a crop: instance norm needs more than one voxel after four poolings."""


@dataclass(frozen=True)
class Recipe:
    """How a victim is trained.

    Args:
        net: name of the victim.
        width: its width.
        steps: optimiser steps, the same for clean and protected data.
        batch: images a step.
        learning_rate: Adam's, at the start; decays as ``(1 - t)^0.9`` (nnU-Net's poly schedule, arXiv 1809.10486).
        patch: size of the random crops, at most the largest size in the training set, which is also what ``None``
            means. Smaller images are padded.
        flips: whether each axis is flipped with probability 1/2.
        bfloat16: mixed precision on a CPU that multiplies bfloat16 in hardware (GPUs always use float16).
        checkpoints: how often the clean validation cases are scored, evenly spaced, the last step included.
    """

    net: str = "unet"
    width: int = 8
    steps: int = 1000
    batch: int = 4
    learning_rate: float = 2e-3
    patch: tuple[int, ...] | None = None
    flips: bool = True
    checkpoints: int = 5
    bfloat16: bool = False


@dataclass(frozen=True)
class Curve:
    """What came of a training.

    Args:
        loss: training loss of each step.
        flat: whether the loss was flat at the end; see :func:`umed.benchmark.schedule.is_flat`.
        validation: ``(step, mean DSC on the clean validation cases)`` of each checkpoint.
        last: DSC of each class on the clean test cases after the last step.
        best: the same at the checkpoint that was best on the clean validation cases; ``last`` without such cases.
        best_step: that checkpoint's step.
        seconds: wall time of the training steps, without scoring.
    """

    loss: tuple[float, ...]
    flat: bool
    validation: tuple[tuple[int, float], ...]
    last: tuple[float, ...]
    best: tuple[float, ...]
    best_step: int
    seconds: float
    network: torch.nn.Module = field(repr=False)


def train_victim(
    train: Samples,
    validation: Samples | None,
    test: Samples,
    *,
    recipe: Recipe,
    seed: int = 0,
    augment: Augment | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Curve:
    """Train a fresh victim and score it on clean test cases.

    Args:
        train: what the thief has; may be protected.
        validation: clean cases that choose the best checkpoint, or ``None``.
        test: clean cases.
        recipe: how to train.
        seed: seeds the weights, the order of the cases, the crops and the flips.
        augment: applied to each batch ``(B, C, *spatial)``, ``(B, 1, *spatial)`` after the flips.
        device: torch device; mixed precision and channels-last memory are used where they help.
        progress: called with (step, steps, loss).

    Returns:
        The curve and the DSC.
    """
    device = torch.device(device)
    dims = train.images[0].ndim - 1
    torch.manual_seed(seed)
    network = make_victim(
        recipe.net, spatial_dims=dims, in_channels=train.images[0].shape[0], classes=train.classes, width=recipe.width
    )
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: decay(step, recipe.steps))
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    batches = Batches(train, recipe, seed)
    checkpoints = {round(recipe.steps * (k + 1) / recipe.checkpoints) for k in range(recipe.checkpoints)}
    losses: list[float] = []
    scores: list[tuple[int, float]] = []
    best: tuple[float, int, dict[str, torch.Tensor]] | None = None
    seconds = 0.0
    for step in range(1, recipe.steps + 1):
        begin = time.perf_counter()
        network.train()
        image, label = batches.draw()
        if augment is not None:
            image, label = augment(image, label, batches.generator)
        image = image.to(device=device, memory_format=layout)
        with mixed_precision(device, recipe.bfloat16):
            output = network(image)
        loss = segmentation_loss(output.float(), label.to(device))
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        losses.append(float(loss.detach()))
        seconds += time.perf_counter() - begin
        if progress is not None:
            progress(step, recipe.steps, losses[-1])
        if validation is not None and validation.ids and step in checkpoints:
            score = float(np.nanmean(score_cases(network, validation, device, batches.size, recipe.bfloat16)))
            scores.append((step, score))
            if best is None or score > best[0]:
                best = (score, step, copy.deepcopy(network.state_dict()))
    last = score_cases(network, test, device, batches.size, recipe.bfloat16)
    chosen, best_step = last, recipe.steps
    if best is not None and best[1] != recipe.steps:
        final = copy.deepcopy(network.state_dict())
        network.load_state_dict(best[2])
        chosen, best_step = score_cases(network, test, device, batches.size, recipe.bfloat16), best[1]
        network.load_state_dict(final)
    flat = is_flat(losses, [decay(step, recipe.steps) for step in range(recipe.steps)])
    return Curve(tuple(losses), flat, tuple(scores), last, chosen, best_step, seconds, network)


class Batches:
    """An endless stream of random crops with flips; the order depends on the seed alone, not on the pixels.

    Args:
        samples: where they come from.
        recipe: batch size, crop size, flips.
        seed: what the stream depends on.
    """

    def __init__(self, samples: Samples, recipe: Recipe, seed: int) -> None:
        self.samples = samples
        self.recipe = recipe
        self.generator = torch.Generator().manual_seed(seed + 1)
        largest = tuple(max(image.shape[axis] for image in samples.images) for axis in range(1, samples.images[0].ndim))
        wanted = [min(pair) for pair in zip(recipe.patch or largest, largest, strict=True)]
        size = [-(-length // DIVISOR) * DIVISOR for length in wanted]
        self.size = tuple(size if max(size) >= SMALLEST else [*size[:-1], SMALLEST])
        self.order: list[int] = []

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a batch.

        Returns:
            Images ``(B, C, *size)`` float32 and labels ``(B, 1, *size)`` int64.
        """
        images, labels = [], []
        for _ in range(self.recipe.batch):
            if not self.order:
                self.order = torch.randperm(len(self.samples.ids), generator=self.generator).tolist()
            index = self.order.pop()
            image, label = crop(self.samples.images[index], self.samples.labels[index], self.size, self.generator)
            if self.recipe.flips:
                axes = [a for a in range(1, image.ndim) if torch.rand((), generator=self.generator) < 0.5]
                image, label = image.flip(axes), label.flip(axes)
            images.append(image)
            labels.append(label)
        return torch.stack(images), torch.stack(labels).long()


def crop(
    image: torch.Tensor, label: torch.Tensor, size: Sequence[int], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a random window; where the image is smaller, pad it with 0, the mean of a normalised image.

    Args:
        image: ``(C, *spatial)``.
        label: ``(*spatial)``.
        size: spatial size of the window.
        generator: source of randomness.

    Returns:
        Window ``(C, *size)`` and its label ``(1, *size)``.
    """
    window: list[slice] = []
    padding: list[int] = []
    for have, want in zip(image.shape[1:], size, strict=True):
        room = have - want
        start = int(torch.randint(abs(room) + 1, (), generator=generator))
        window.append(slice(start, start + want) if room > 0 else slice(None))
        padding = ([0, 0] if room > 0 else [start, -room - start]) + padding
    image, label = image[tuple([slice(None), *window])], label[tuple(window)][None]
    return functional.pad(image, padding), functional.pad(label, padding)


def mixed_precision(device: torch.device, bfloat16: bool) -> torch.autocast:
    """Half precision on a GPU; bfloat16 on a CPU where it is asked for; nothing else."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.float16)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)


@torch.no_grad()
def predict(
    network: torch.nn.Module,
    image: torch.Tensor,
    device: torch.device,
    window: Sequence[int],
    size: Sequence[int] | None = None,
    bfloat16: bool = False,
) -> torch.Tensor:
    """Segment one image with a sliding window of the size that the network was trained on, as nnU-Net does.

    Instance norm sees how much of its input is padding and how large a part of the body it shows, so both must be the
    same as in training. Images smaller than the window lie in the middle of 0.

    Args:
        network: a victim.
        image: ``(C, *spatial)``.
        device: where the network is.
        window: size that the network was trained on.
        size: grid of the answer where it differs from the image's; the logits are resampled linearly.
        bfloat16: see :class:`Recipe`.

    Returns:
        Class of each voxel ``(*spatial)`` or ``(*size)``.
    """
    network.eval()
    layout = torch.channels_last if image.ndim == 3 else torch.channels_last_3d

    def look(batch: torch.Tensor) -> torch.Tensor:
        with mixed_precision(device, bfloat16):
            output: torch.Tensor = network(batch.contiguous(memory_format=layout))
        return output.float()

    logits = sliding_window_inference(image[None].to(device), tuple(window), 1, look, overlap=0.25, mode="gaussian")
    assert isinstance(logits, torch.Tensor)
    if size is not None and tuple(size) != tuple(image.shape[1:]):
        mode = "bilinear" if image.ndim == 3 else "trilinear"
        logits = functional.interpolate(logits, size=tuple(size), mode=mode)
    return torch.argmax(logits[0], 0).cpu()


def score_cases(
    network: torch.nn.Module, samples: Samples, device: torch.device, window: Sequence[int], bfloat16: bool = False
) -> tuple[float, ...]:
    """Mean DSC over the cases for each foreground class, on each case's own grid.

    A case whose label lacks a class does not count for that class.

    Args:
        network: a victim.
        samples: cases; judged on ``samples.truths`` where there are any, else on ``samples.labels``.
        device: where the network is.
        window: see :func:`predict`.
        bfloat16: see :class:`Recipe`.

    Returns:
        DSC in [0, 1] of each foreground class, NaN for a class that no case has.
    """
    table = np.full((len(samples.ids), samples.classes - 1), np.nan)
    for row, (image, label) in enumerate(zip(samples.images, samples.truths or samples.labels, strict=True)):
        answer = predict(network, image, device, window, label.shape, bfloat16)
        for k in range(1, samples.classes):
            truth, found = label == k, answer == k
            if truth.any():
                table[row, k - 1] = 2.0 * float((truth & found).sum()) / float(truth.sum() + found.sum())
    return tuple(float(np.nanmean(column)) if np.isfinite(column).any() else float("nan") for column in table.T)
