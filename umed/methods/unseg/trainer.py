# SPDX-License-Identifier: Apache-2.0
r"""UnSeg's bilevel loop: a surrogate that learns to segment noisy pictures, and a generator that fools it.

.. math:: \min_F L(F(x + \delta, p), y), \qquad \min_G L(F(x + \delta, p), \mathbf 1), \qquad
          \delta = G(x, p') \, (\epsilon_{fg} M + \epsilon_{bg} (1 - M))

Source: Sun et al., "UnSeg", NeurIPS 2024, arXiv 2410.09909. The target of all ones in the generator's steps is the
paper's label modification, training at a smaller epsilon than is released its epsilon generalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from umed.core.registry import SURROGATES, resolve
from umed.methods.unseg.losses import point_loss
from umed.methods.unseg.prompts import draw_prompts, subsets
from umed.methods.unseg.square_batches import Squares
from umed.networks.noise_head import UnSegGenerator
from umed.networks.sam import Prompts, resize
from umed.training.alternating import AlternatingTrainer

SAM = "sam"
NETWORKS = tuple(SURROGATES)
GENERATOR_EPOCHS = 3
"""Generator epochs after each surrogate epoch."""
EPOCHS, DROP = 27, 20
"""The paper's length, and the epoch at which the learning rates drop to a tenth; shorter trainings keep the ratio."""
POINTS = 112 / 256
"""Side of the square of sampled points as a share of a mask's side."""


class UnSegTrainer(AlternatingTrainer):
    """Alternates by epoch: one of the surrogate, three of the generator.

    Args:
        epochs: how many; the loader's ``epoch_length`` iterations each.
        generator: makes the noise.
        surrogate: learns to segment; takes pictures and prompts, gives logits ``(B, h, w)``.
        learning_rate: of the generator, and of the surrogate unless it has its own.
        surrogate_learning_rate: of the surrogate.
        epsilon: bound inside the target as a share of the unit range, while training.
        background: bound outside as a share of ``epsilon``.
        kinds: prompts of the generator; each step gets a random part of them.
        surrogate_kinds: prompts of the surrogate, or ``"none"``; each step gets one of them.
        label_modification: the generator's target is all ones; else the true mask (min-min).
        shared: of :class:`umed.training.alternating.AlternatingTrainer`; the seed is that of prompts and points.

    Note:
        After an iteration ``engine.state.output`` is ``{"generator": float}`` or ``{"surrogate": float}``, both keys
        always there, the other one with its last value.
    """

    def __init__(
        self,
        *,
        epochs: int,
        generator: UnSegGenerator,
        surrogate: nn.Module,
        learning_rate: float,
        surrogate_learning_rate: float | None = None,
        epsilon: float,
        background: float = 0.25,
        kinds: Sequence[str] = ("box", "points", "mask"),
        surrogate_kinds: Sequence[str] = ("box", "points", "mask"),
        label_modification: bool = True,
        **shared: Any,
    ) -> None:
        trained = [weight for weight in generator.parameters() if weight.requires_grad]
        adam = torch.optim.Adam(trained, learning_rate)
        super().__init__(max_epochs=epochs, generator=generator, optimizer=adam, **shared)
        self.surrogate = surrogate
        # Not one Adam for both: it would go on moving the resting network by its momentum.
        self.surrogate_learning_rate = surrogate_learning_rate or learning_rate
        self.surrogate_optimizer = torch.optim.Adam(surrogate.parameters(), self.surrogate_learning_rate)
        self.learning_rate, self.epsilon, self.background = learning_rate, epsilon, background
        self.kinds, self.surrogate_kinds = subsets(kinds), [(kind,) for kind in surrogate_kinds]
        self.label_modification, self.epochs = label_modification, epochs
        self.last = {"generator": 0.0, "surrogate": 0.0}

    def parts(self) -> dict[str, Any]:
        """What has a state of its own, by its name in a checkpoint."""
        return {**super().parts(), "surrogate": self.surrogate, "surrogate_optimizer": self.surrogate_optimizer}

    def surrogates_turn(self, iteration: int) -> bool:
        """Whether the surrogate learns in this iteration, counted from 0."""
        return iteration // len(self.loader) % (1 + GENERATOR_EPOCHS) == 0

    def protect(self, batch: Squares, draw: torch.Generator) -> Tensor:
        """Pictures with noise, ``(B, 3, size, size)`` in [0, 1]."""
        kinds = self.kinds[int(torch.randint(len(self.kinds), (), generator=draw))]
        prompts = draw_prompts(batch.mask, kinds, self.generator.sam.shape.mask_size, draw)
        with self.autocast():
            noise = self.generator(batch.image, prompts)
        return add_noise(batch.image, noise.float(), batch.mask, batch.grey, self.epsilon, self.background)

    def _iteration(self, engine: Any, batchdata: Squares) -> dict[str, float]:
        batch = batchdata.to(self.state.device)
        iteration = self.state.iteration - 1  # ignite counts before it calls
        draw = self.draw(iteration)
        learns = self.surrogates_turn(iteration)
        rate = self.surrogate_learning_rate if learns else self.learning_rate
        rate *= 0.1 if iteration // len(self.loader) >= self.epochs * DROP / EPOCHS else 1.0
        self.generator.train(not learns)
        self.surrogate.train(learns)
        self.surrogate.requires_grad_(learns)
        with torch.set_grad_enabled(not learns):
            published = self.protect(batch, draw)
        kinds = self.surrogate_kinds[int(torch.randint(len(self.surrogate_kinds), (), generator=draw))]
        mask_size = self.generator.sam.shape.mask_size
        prompts = draw_prompts(batch.mask, kinds, mask_size, draw)
        with self.autocast():
            logits = self.surrogate(published, prompts)
        truth = batch.mask[:, 0].float()
        target = torch.ones_like(truth) if self.label_modification and not learns else truth
        points = max(64, round(POINTS * mask_size) ** 2)
        loss = point_loss(logits.float(), target, points, draw)
        optimizer = self.surrogate_optimizer if learns else self.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.step(loss, optimizer)
        self.last["surrogate" if learns else "generator"] = float(loss.detach())
        return dict(self.last)


def add_noise(image: Tensor, noise: Tensor, mask: Tensor, grey: Tensor, epsilon: float, background: float) -> Tensor:
    """Add noise, weaker outside the target.

    Args:
        image: ``(B, 3, H, W)`` in [0, 1].
        noise: ``(B, 3, n, n)`` in (-1, 1), of any resolution.
        mask: ``(B, 1, H, W)`` bool.
        grey: ``(B, 1, 1, 1)`` bool, where the noise must be grey; it is that of the first channel.
        epsilon: bound inside the mask.
        background: bound outside as a share of it.

    Returns:
        ``(B, 3, H, W)`` in [0, 1].
    """
    noise = torch.where(grey, noise[:, :1], noise)
    if noise.shape[2:] != image.shape[2:]:
        noise = resize(noise, (int(image.shape[2]), int(image.shape[3])))
    weight = torch.where(mask, 1.0, background)
    return (image + epsilon * weight * noise).clamp(0, 1)


class Unprompted(nn.Module):
    """A segmentation network in the place of a prompted SAM: it finds all that is labelled by itself.

    Args:
        name: one of :data:`NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        options = {"deep_supervision": False} if name in ("dynunet", "nnunet_like") else {}
        self.network: nn.Module = resolve("surrogate", name)(2, 3, 1, **options)

    def forward(self, image: Tensor, prompts: Prompts) -> Tensor:
        """Logits ``(B, size, size)`` of pictures ``(B, 3, size, size)``, a multiple of 16 px; prompts play no part."""
        found: Tensor = self.network(image)
        return found[:, 0]
