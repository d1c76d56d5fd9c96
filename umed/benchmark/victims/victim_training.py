# SPDX-License-Identifier: Apache-2.0
"""The thief's training loop: Dice + CE, a fixed number of steps, and three ways to choose a checkpoint.

Nothing here knows whether the data are protected: clean and protected data go through the same lines with the same
seed, so they see the same cases, crops and flips in the same order.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from umed.benchmark.countermeasures.interface import Chain, Loss, Moment, Predict
from umed.benchmark.results.cells import CHOICES, finite
from umed.benchmark.victims.build import build_victim, divisor, make_optimizer
from umed.benchmark.victims.ready import Batches, Ready, crop_size
from umed.benchmark.victims.schedule import decay, is_flat
from umed.benchmark.victims.scoring import dsc_table, mean_dsc, mixed_precision, predict
from umed.benchmark.victims.victim_recipe import Recipe
from umed.training.bilevel import segmentation_loss

Weights = dict[str, Tensor]
StepProgress = Callable[[int, int, float], None]


@dataclass(eq=False)
class VictimTraining:
    """What came of a training.

    Args:
        window: size of the crops, which is also the window of the predictions.
        loss: training loss of each step, maybe not finite.
        flat: whether the loss was flat at the end; see :func:`umed.benchmark.victims.schedule.is_flat`.
        validation: step and mean DSC on each validation set of each checkpoint.
        steps: step of each of :data:`umed.benchmark.results.cells.CHOICES` that there is.
        weights: state dict of each choice.
        broken: choices whose weights are not finite: what they answer is nothing that was learnt.
        train_seconds: wall time of the training steps.
        predict_seconds: wall time of the predictions on validation cases.
    """

    window: tuple[int, ...]
    loss: list[float] = field(default_factory=list)
    flat: bool = False
    validation: list[tuple[int, dict[str, float | None]]] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    train_seconds: float = 0.0
    predict_seconds: float = 0.0

    def curve(self, points: int = 50) -> tuple[float | None, ...]:
        """Mean loss of each of ``points`` equal parts of the training, ``None`` where it was not finite."""
        count = min(points, len(self.loss))
        bounds = [round(len(self.loss) * k / count) for k in range(count + 1)]
        parts = (self.loss[low:high] for low, high in zip(bounds, bounds[1:], strict=False))
        return finite([sum(part) / len(part) for part in parts])

    def remark(self) -> str:
        """What a reader must know of a training that diverged; ``""`` for one that did not."""
        if not self.broken:
            return ""
        lasting = next((i for i, value in enumerate(reversed(self.loss)) if math.isfinite(value)), len(self.loss))
        since = f"; the loss was not finite from step {len(self.loss) - lasting + 1} of {len(self.loss)} on"
        return f"diverged: weights not finite ({', '.join(self.broken)}){since if lasting else ''}"


def fresh_victim(recipe: Recipe, cases: Ready, seed: int) -> tuple[nn.Module, tuple[int, ...], int]:
    """A network for these cases whose weights depend on the seed alone, the size of its crops, and their divisor."""
    step = divisor(recipe)
    window = crop_size([image.shape[1:] for image in cases.images], recipe.patch, step)
    dims, channels = cases.images[0].ndim - 1, len(cases.images[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_victim(recipe, spatial_dims=dims, in_channels=channels, classes=cases.classes, patch=window)
    return network, window, step


def train_victim(
    network: nn.Module,
    train: Ready,
    *,
    recipe: Recipe,
    validation: Mapping[str, Ready] | None = None,
    chain: Chain | None = None,
    divisor: int = 8,
    frozen: Sequence[nn.Module] = (),
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: StepProgress | None = None,
) -> VictimTraining:
    """Train a victim and keep the checkpoints that a thief might choose.

    Args:
        network: fresh or pretrained; trained in place, ends with its last weights.
        train: what the thief has; may be protected.
        recipe: how to train.
        validation: sets named ``"clean"`` and ``"protected"``, each of which chooses a checkpoint.
        chain: countermeasures; those on images were applied already.
        divisor: sides of the crops are multiples of it.
        frozen: parts of the network that stay in evaluation mode.
        seed: seeds the order of the cases, the crops, the flips and the countermeasures.
        device: torch device; mixed precision and channels-last memory are used where they help.
        progress: called with (step, steps, loss).

    Returns:
        Curves and checkpoints.
    """
    device, chain, validation = torch.device(device), chain or Chain(), validation or {}
    dims = train.images[0].ndim - 1
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: decay(step, recipe.steps))
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    own = replace(recipe, augment="none") if chain.augments else recipe  # never twice
    batches = Batches(train, own, seed, divisor)
    done = VictimTraining(batches.size)
    best: dict[str, float] = {}
    checkpoints = {round(recipe.steps * (k + 1) / recipe.checkpoints) for k in range(recipe.checkpoints)}
    loss_of, predict_of = _looks(network, device, layout, recipe.bfloat16)
    for step in range(1, recipe.steps + 1):
        begin = time.perf_counter()
        image, label, scale = batches.draw()
        moment = Moment(batches.generator, scale, loss_of, predict_of, (step - 1) / recipe.steps, train.classes)
        image, label = chain.batch(image, label, moment)
        train_mode(network, frozen)
        with mixed_precision(device, recipe.bfloat16):
            output = network(image.to(device=device, memory_format=layout))
        loss = segmentation_loss(output.float(), label.to(device))
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss))
        clip_gradient(optimizer, scaler, recipe.clip)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        done.loss.append(float(loss.detach()))
        done.train_seconds += time.perf_counter() - begin
        if progress is not None:
            progress(step, recipe.steps, done.loss[-1])
        if validation and step in checkpoints:
            _validate(network, validation, done, best, recipe, device, step)
            if chain.stop([scores.get("clean") or 0.0 for _, scores in done.validation]):
                break
    done.steps["last"], done.weights["last"] = len(done.loss), copy.deepcopy(network.state_dict())
    done.broken = tuple(name for name in CHOICES if name in done.weights and not _all_finite(done.weights[name]))
    done.flat = is_flat(done.loss, [decay(step, recipe.steps) for step in range(len(done.loss))])
    return done


def clip_gradient(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, norm: float | None) -> None:
    """Scale the gradient of all weights together down to a norm, once backward is through; ``None`` leaves it."""
    if norm is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_([w for group in optimizer.param_groups for w in group["params"]], norm)


def _all_finite(weights: Weights) -> bool:
    """Whether all weights and running statistics are numbers."""
    return all(bool(one.isfinite().all()) for one in weights.values() if one.is_floating_point())


def train_mode(network: nn.Module, frozen: Sequence[nn.Module]) -> None:
    """Training mode for all but the frozen parts, whose running statistics must stay as they are."""
    network.train()
    for part in frozen:
        part.eval()


def _looks(
    network: nn.Module, device: torch.device, layout: torch.memory_format, bfloat16: bool
) -> tuple[Loss, Predict]:
    """Loss of each case alone and present answer, in evaluation mode, so that an attack moves no running statistics."""

    def logits(image: Tensor) -> Tensor:
        network.eval()
        with mixed_precision(device, bfloat16):
            output: Tensor = network(image.to(device=device, memory_format=layout))
        return output.float()

    def loss_of(image: Tensor, label: Tensor) -> Tensor:
        output, label = logits(image), label.to(device)
        losses = [segmentation_loss(output[k : k + 1], label[k : k + 1]) for k in range(len(output))]
        return torch.stack(losses).to(image.device)

    @torch.no_grad()
    def predict_of(image: Tensor) -> Tensor:
        return logits(image).argmax(1, keepdim=True).to(image.device)

    return loss_of, predict_of


def _validate(
    network: nn.Module,
    validation: Mapping[str, Ready],
    done: VictimTraining,
    best: dict[str, float],
    recipe: Recipe,
    device: torch.device,
    step: int,
) -> None:
    """Score a checkpoint on each validation set, and keep it where it is the best so far."""
    begin = time.perf_counter()
    scores: dict[str, float | None] = {}
    for name, ready in validation.items():
        choice = f"best_{name}"
        assert choice in CHOICES
        sizes = [truth.shape for truth in ready.truths]
        answers = predict(network, ready.images, device, done.window, sizes, recipe.bfloat16)
        scores[name] = score = mean_dsc(dsc_table(answers, ready.truths, ready.classes))
        if score is not None and score > best.get(choice, -1.0):
            best[choice] = score
            done.steps[choice], done.weights[choice] = step, copy.deepcopy(network.state_dict())
    done.validation.append((step, scores))
    done.predict_seconds += time.perf_counter() - begin
