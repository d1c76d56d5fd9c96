# SPDX-License-Identifier: Apache-2.0
"""EM: error-minimizing noise, sample by sample, min-min against a surrogate.

Reference: Huang et al., "Unlearnable Examples: Making Personal Data Unexploitable", https://arxiv.org/abs/2101.04898.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from umed.methods.descent import Gradient, descend, loss_gradient
from umed.methods.options import share, whole
from umed.methods.surrogate_noise import SurrogateNoise
from umed.plan.planning import Plan
from umed.training.patches import Batch


class MinMin(SurrogateNoise):
    """Surrogate steps that alternate with ``inner_steps`` steps on the noise of the batch."""

    inner_steps: int

    def training_noise(self, network: nn.Module, batch: Batch, plan: Plan, draw: torch.Generator) -> Tensor:
        """Noise that lowers the surrogate's loss on this batch; steps large enough to reach the bound."""
        network.eval()
        gradient = self.gradient([network], batch.labels, draw)
        size = plan.epsilon * max(self.step_size, 1.25 / self.inner_steps)
        return descend(batch.image, batch.support, gradient, epsilon=plan.epsilon, steps=self.inner_steps, size=size)


@dataclass(kw_only=True, eq=False, repr=False)
class ErrorMinimizing(MinMin):
    r"""``min_F E min_d L(F(x + d), y)`` with ``|d| <= epsilon``: the images look as if there were nothing to learn.

    .. math:: d \leftarrow \mathrm{clip}(d - \alpha\, \mathrm{sign} \nabla_x L(F(x + d), y), \pm\epsilon)

    Surrogate steps alternate with ``inner_steps`` steps on the noise of the batch; the noise that is released is made
    anew against the final surrogate with ``steps`` steps (the code base of REM does the same), so nothing about a case
    is stored. The paper's stop rule, 99 % training accuracy, is replaced by a number of iterations, since a Dice loss
    has no such threshold.

    Args:
        steps: projected steps on each released image; the paper takes 20.
        step_size: share of epsilon; the paper's 0.8/255 of 8/255.
        inner_steps: steps on the noise of a batch while the surrogate trains.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    >>> ErrorMinimizing().steps
    20
    """

    name: ClassVar[str] = "error_minimizing"
    steps: int = whole(20)
    step_size: float = share(0.1, most=2)
    inner_steps: int = whole(5)
    surrogate_iterations: int | None = whole(None)

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Of the loss itself."""
        return loss_gradient(networks, labels)
