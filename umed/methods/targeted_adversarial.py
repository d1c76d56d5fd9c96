# SPDX-License-Identifier: Apache-2.0
"""TAP: adversarial examples of a network that was trained on clean images make strong poisons.

Reference: Fowl et al., "Adversarial Examples Make Strong Poisons", https://arxiv.org/abs/2106.10807.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from umed.methods.descent import Gradient, loss_gradient
from umed.methods.options import share, switch, whole
from umed.methods.surrogate_noise import SurrogateNoise


@dataclass(kw_only=True, eq=False, repr=False)
class TargetedAdversarial(SurrogateNoise):
    r"""Features of a wrong class, or away from the right one, for a surrogate that was trained on clean images.

    .. math:: \min_d L(F(x + d), g(y)) \quad \text{(targeted)}, \qquad \max_d L(F(x + d), y) \quad \text{(untargeted)}

    ``g`` is a fixed permutation of the classes; here every class becomes the next one, and the last the background.
    The authors' code also augments the images while it perturbs them, decays the step, and keeps the best of eight
    random starts; here there is one run of equal steps from 0.

    Args:
        targeted: which of the two.
        steps: projected steps on each image; the paper takes 250.
        step_size: share of epsilon.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    >>> TargetedAdversarial(targeted=False)
    TargetedAdversarial(targeted=False, steps=30, step_size=0.1, surrogate_iterations=None)
    """

    name: ClassVar[str] = "targeted_adversarial"
    targeted: bool = switch(True)
    steps: int = whole(30)
    step_size: float = share(0.1, most=2)
    surrogate_iterations: int | None = whole(None)

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Of the loss against the wrong class, or away from the right one."""
        if not self.targeted:
            return loss_gradient(networks, labels, sign=-1.0)
        return loss_gradient(networks, (labels + 1) % int(self._shape["classes"]))
