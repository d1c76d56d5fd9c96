# SPDX-License-Identifier: Apache-2.0
"""SEP: the checkpoints of one training are an ensemble that costs nothing.

Reference: Chen et al., "Self-Ensemble Protection: Training Checkpoints Are Good Data Protectors", ICLR 2023,
https://openreview.net/forum?id=9MO7bjoAfIA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from umed.methods.descent import Gradient, loss_gradient
from umed.methods.options import check_switch, check_whole
from umed.methods.surrogate_noise import SurrogateNoise


class SelfEnsemble(SurrogateNoise):
    r"""Adversarial noise against all checkpoints of one training on clean images.

    .. math:: d \leftarrow \mathrm{clip}(d - \alpha\, \mathrm{sign}\, \textstyle\frac1n \sum_k
              \nabla_x L(F_{\theta_k}(x + d), g(y)), \pm\epsilon)

    With ``variance_reduction`` each step is made of one walk over the checkpoints in random order, as SVRG does: the
    gradient of one checkpoint at the walking point, minus that of the same checkpoint at the start of the walk, plus
    the mean gradient there (the paper's equation for SEP-FA-VR, without its feature alignment, which matches
    penultimate features of a classifier to class centres; a dense prediction has no such vector a case).

    Args:
        checkpoints: how many are kept, evenly spaced over the training; the paper takes 15 to 30.
        targeted: towards the next class (``g`` of TAP), or away from the right one.
        variance_reduction: whether steps are made by a walk.
        steps: projected steps on each image; the paper takes 30.
        step_size: share of epsilon.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: for fewer than two checkpoints.
    """

    name: ClassVar[str] = "self_ensemble"

    def __init__(
        self,
        *,
        checkpoints: int = 5,
        targeted: bool = True,
        variance_reduction: bool = False,
        steps: int = 30,
        step_size: float = 0.1,
        surrogate_iterations: int | None = None,
    ) -> None:
        super().__init__(steps=steps, step_size=step_size, surrogate_iterations=surrogate_iterations)
        check_whole(2, checkpoints=checkpoints)
        check_switch(targeted=targeted, variance_reduction=variance_reduction)
        self.checkpoints, self.targeted, self.variance_reduction = checkpoints, targeted, variance_reduction

    def snapshots(self, iterations: int) -> tuple[int, ...]:
        """Evenly spaced, the last step included."""
        count = min(self.checkpoints, iterations)
        return tuple(round(iterations * (k + 1) / count) for k in range(count))

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Mean over the checkpoints, or what a variance-reduced walk over them adds up to."""
        sign = 1.0 if self.targeted else -1.0
        wanted = (labels + 1) % int(self._shape["classes"]) if self.targeted else labels
        single = [loss_gradient([network], wanted, sign) for network in networks]

        def mean(image: Tensor) -> Tensor:
            return torch.stack([one(image) for one in single]).mean(0)

        def walk(image: Tensor) -> Tensor:
            full, at, total = mean(image), image, torch.zeros_like(image)
            size = self.step_size * self._epsilon / len(single)
            for index in torch.randperm(len(single), generator=draw).tolist():
                reduced = single[index](at) - single[index](image) + full
                total = total + reduced
                at = (at - size * reduced.sign()).clamp(0, 1)
            return total / len(single)

        return walk if self.variance_reduction else mean
