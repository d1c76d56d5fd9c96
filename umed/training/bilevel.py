# SPDX-License-Identifier: Apache-2.0
r"""The bilevel loop: generators that make surrogates learn the perturbation instead of the anatomy.

.. math:: \min_G \; E\, L(F^*(T(x + \epsilon d_G)), y) \quad \text{with} \quad
          F^* = \arg\min_F E\, L(F(T(x + \epsilon d_G)), y)

``L`` is Dice + cross-entropy, ``T`` a random transformation of the sum. The inner problem is not run to its end for
every step of the generators: surrogates live for ``restart_every`` of their steps, each starting afresh at another
time, so that the generators see all ages. Two settings move the outer loss towards the end of a training, where thieves
are judged: ``warmup`` trains each fresh surrogate on what is published at that time before the generators move again,
and ``age: late`` counts a surrogate by the share of its life that is behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor, nn

from umed.core.registry import resolve
from umed.core.training_settings import Training
from umed.plan.budget import straight_through
from umed.plan.planning import Plan
from umed.training.alternating import AlternatingTrainer, BatchLoader, mixed_seed
from umed.training.augment import WHOLE, Transformation, compose
from umed.training.patches import Batch

CLIP = 12.0
OWN_RATE = 1e-2
"""nnU-Net's largest norm of a gradient and its learning rate."""
Loss = Callable[[Tensor, Tensor], Tensor]


def segmentation_loss(output: Tensor, labels: Tensor, loss: Loss | None = None) -> Tensor:
    """Dice + cross-entropy, with deep supervision where the network gives several heads.

    Args:
        output: logits ``(B, classes, *spatial)``, or ``(B, heads, classes, *spatial)``.
        labels: ``(B, 1, *spatial)`` integers, or ``(B, classes, *spatial)`` float32 shares of mixed cases.
        loss: of one head; Dice + cross-entropy if ``None``.

    Returns:
        A scalar; heads weigh 1, 1/2, 1/4 ... normalised (nnU-Net).
    """
    loss = loss or DiceCELoss(softmax=True, to_onehot_y=not labels.is_floating_point())
    heads = torch.unbind(output, 1) if output.ndim > labels.ndim else (output,)
    weights = [0.5**head for head in range(len(heads))]
    parts = [weight * loss(head, labels) for weight, head in zip(weights, heads, strict=True)]
    return torch.stack(parts).sum() / sum(weights)


def normalise(image: Tensor, like: Tensor | None = None) -> Tensor:
    """Zero mean and unit spread for each image and channel, what most segmentation pipelines do first.

    ``like`` gives the means and spreads of a pipeline that normalises before it augments; the image's own if ``None``.
    """
    like = image if like is None else like
    axes = tuple(range(2, image.ndim))
    spread, mean = torch.std_mean(like, dim=axes, keepdim=True)
    return (image - mean) / spread.clamp_min(1e-6)


class BilevelTrainer(AlternatingTrainer):
    """Alternates surrogate and generator steps, in the way of :class:`monai.engines.GanTrainer`.

    Args:
        plan: its bound, seed and training, which names the surrogates and T.
        batches: one an iteration.
        generator: gives a direction in [-1, 1].
        device: where the networks are.
        epoch_length: iterations in an epoch.
        handlers: ignite handlers.
        optimizer: the generator's; Adam with the plan's learning rate if ``None``.
        transformation: T; the plan's if ``None``.
        loss: of a surrogate's head; Dice + cross-entropy if ``None``.

    Raises:
        ValueError: when there is no surrogate.

    Note:
        After an iteration ``engine.state.output`` is ``{"generator": float, "surrogate": float}``.
    """

    def __init__(
        self,
        plan: Plan,
        batches: Sequence[Batch],
        generator: nn.Module,
        *,
        device: torch.device,
        epoch_length: int,
        handlers: Sequence[Any] = (),
        optimizer: torch.optim.Optimizer | None = None,
        transformation: Transformation | None = None,
        loss: Loss | None = None,
    ) -> None:
        training = plan.training
        if not training.surrogates:
            raise ValueError("BilevelTrainer: expected at least one surrogate, got none.")
        super().__init__(
            device=device,
            max_epochs=-(-len(batches) // epoch_length),
            loader=BatchLoader(batches, epoch_length),
            generator=generator,
            optimizer=optimizer or torch.optim.Adam(generator.parameters(), training.learning_rate),
            seed=plan.seed,
            amp=training.amp,
            handlers=handlers,
            identity=plan.fingerprint,
        )
        self.plan, self.loss = plan, loss
        self.transformation = transformation or compose(training.transformations)
        self.surrogate_steps, self.restart_every = training.surrogate_steps, training.restart_every
        self.normalises_first = transformation is None and WHOLE in training.transformations
        """Whether images are normalised before T, as nnU-Net does, instead of after it."""
        self.life = self.restart_every or max(1, len(batches) * self.surrogate_steps)
        """Steps of a surrogate's life, without its warm-up."""
        fresh = [self._fresh(index, 0) for index in range(len(training.surrogates))]
        self.surrogates = [surrogate for surrogate, _ in fresh]
        self.surrogate_optimizers = [optimizer for _, optimizer in fresh]

    def _fresh(self, index: int, generation: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        training = self.plan.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, index, generation))
            surrogate = resolve("surrogate", training.surrogates[index])(
                spatial_dims=self.plan.spatial_dims,
                in_channels=self.plan.channels,
                classes=self.plan.classes,
                **training.surrogate_options,
            )
        surrogate = surrogate.to(self.state.device).to(memory_format=_layout(surrogate)).train()
        return surrogate, surrogate_optimizer(surrogate, training.surrogates[index], training)

    def parts(self) -> dict[str, Any]:
        """What has a state of its own, by its name in a checkpoint."""
        surrogates = {f"surrogate {k}": one for k, one in enumerate(self.surrogates)}
        optimizers = {f"surrogate_optimizer {k}": one for k, one in enumerate(self.surrogate_optimizers)}
        return {**super().parts(), **surrogates, **optimizers}

    def propose(self, batch: Batch) -> Tensor:
        """The generator's direction, ``(B, C, *patch)``, 0 outside the support."""
        direction: Tensor = self.generator.perturb(
            batch.image, batch.labels, batch.contour, batch.interior, batch.carriers
        )
        return direction

    def protect(self, batch: Batch) -> Tensor:
        """The images as they would be published: rounded to whole stored steps, with gradients passing through."""
        with self.autocast():
            direction = self.propose(batch).float()
        rounded = straight_through(direction, batch.steps.clamp_min(1))
        return (batch.image + self.plan.epsilon * torch.where(batch.steps > 0, rounded, direction)).clamp(0, 1)

    def extra_loss(self, published: Tensor, batch: Batch) -> Tensor | float:
        """What a method adds to the generator's loss; nothing here.

        Args:
            published: images as they would be published, ``(B, C, *patch)``.
            batch: the originals.
        """
        return 0.0

    def _surrogate_loss(self, index: int, image: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        moved, labels = self.transformation(image, labels, draw)
        surrogate = self.surrogates[index]
        seen = normalise(moved, image if self.normalises_first else None)
        with self.autocast():
            output = surrogate(seen.contiguous(memory_format=_layout(surrogate)))
        return segmentation_loss(output.float(), labels, self.loss)

    def _iteration(self, engine: Any, batchdata: Batch) -> dict[str, float]:
        batch = batchdata.to(self.state.device)
        draw = self.draw(self.state.iteration)
        surrogate_loss, generator_loss, steps = 0.0, 0.0, self.plan.training.generator_steps
        if self.state.iteration == 1:
            for index in range(len(self.surrogates)):
                self._warm_up(index, 0)
        published = self.protect(batch)  # serves the surrogates, and the first generator step after them
        for index, surrogate in enumerate(self.surrogates):
            surrogate.requires_grad_(True)
            for _ in range(self.surrogate_steps):
                loss = self._surrogate_loss(index, published.detach(), batch.labels, draw)
                self._surrogate_step(index, loss, self._age(index))
                surrogate_loss += float(loss.detach()) / (self.surrogate_steps * len(self.surrogates))
            surrogate.requires_grad_(False)
        for step in range(steps):
            published = self.protect(batch) if step else published
            losses = [self._surrogate_loss(i, published, batch.labels, draw) for i in range(len(self.surrogates))]
            weights = [self._weight(i) for i in range(len(losses))]
            loss = torch.stack([w * one for w, one in zip(weights, losses, strict=True)]).mean()
            loss = loss + self.extra_loss(published, batch)
            self.step(loss, self.optimizer)
            generator_loss += float(loss.detach()) / steps
        self._restart()
        return {"generator": generator_loss, "surrogate": surrogate_loss}

    def _surrogate_step(self, index: int, loss: Tensor, age: float) -> None:
        """One step of a surrogate at some age, a share of its life; SGD follows nnU-Net's rate and clipping."""
        optimizer, clip = self.surrogate_optimizers[index], None
        if isinstance(optimizer, torch.optim.SGD):
            clip = CLIP
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * (1 - age) ** 0.9
        self.step(loss, optimizer, clip)

    def _age(self, index: int) -> float:
        """What share of its life a surrogate has behind it, in [0, 1)."""
        warmup = self.plan.training.warmup
        done: int = (self.state.iteration - 1) * self.surrogate_steps  # the present iteration is not over
        ahead = index * self.life // len(self.surrogates) if self.restart_every else 0
        generation, past = divmod(done + ahead, self.life)
        past = past if generation else done  # the first one was not ahead, it only ends sooner
        return (warmup + past) / (warmup + self.life)

    def _weight(self, index: int) -> float:
        """How much a surrogate counts for the generators: all alike, or from 0 to 2 over a life without a warm-up."""
        return 2 * self._age(index) if self.plan.training.age == "late" else 1.0

    def _warm_up(self, index: int, generation: int) -> None:
        """Train a fresh surrogate on what the generators publish now; batches and T come from its number alone."""
        warmup = self.plan.training.warmup
        draw = torch.Generator().manual_seed(mixed_seed(self.seed, index, generation, warmup))
        for done in range(warmup):
            number = int(torch.randint(len(self.loader.batches), (), generator=draw))
            batch = self.loader.batches[number].to(self.state.device)
            with torch.no_grad():
                published = self.protect(batch)
            loss = self._surrogate_loss(index, published, batch.labels, draw)
            self._surrogate_step(index, loss, done / (warmup + self.life))

    def _restart(self) -> None:
        """Start surrogates afresh at staggered times, so that the ensemble holds several ages at once."""
        if not self.restart_every:
            return
        members, steps = len(self.surrogates), self.state.iteration * self.surrogate_steps
        for index in range(members):
            generation, age = divmod(steps + index * self.restart_every // members, self.restart_every)
            if age < self.surrogate_steps and generation:
                self.surrogates[index], self.surrogate_optimizers[index] = self._fresh(index, generation)
                self._warm_up(index, generation)


def surrogate_optimizer(network: nn.Module, name: str, training: Training) -> torch.optim.Optimizer:
    """The optimizer that a surrogate of this name in the registry is trained with."""
    own = training.surrogate_optimizer == "own" and name == "nnunet_like"
    if own or training.surrogate_optimizer == "sgd":
        rate = OWN_RATE if own else training.surrogate_learning_rate
        return torch.optim.SGD(network.parameters(), rate, momentum=0.99, nesterov=True, weight_decay=3e-5)
    return torch.optim.Adam(network.parameters(), training.surrogate_learning_rate)


def _layout(network: nn.Module) -> torch.memory_format:
    """Channels-last for the network's number of axes, which is faster on CPUs and GPUs alike."""
    dims = next(weight.ndim - 2 for weight in network.parameters() if weight.ndim > 3)
    return torch.channels_last if dims == 2 else torch.channels_last_3d
