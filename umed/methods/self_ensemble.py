# SPDX-License-Identifier: Apache-2.0
"""SEP: the checkpoints of one training are an ensemble that costs nothing.

Reference: Chen et al., "Self-Ensemble Protection: Training Checkpoints Are Good Data Protectors", ICLR 2023,
https://openreview.net/forum?id=9MO7bjoAfIA, https://arxiv.org/abs/2211.12005.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from umed.methods.descent import Gradient, loss_gradient, project
from umed.methods.options import share, switch, whole
from umed.methods.surrogate_noise import SurrogateNoise


@dataclass(kw_only=True, eq=False, repr=False)
class SelfEnsemble(SurrogateNoise):
    r"""Adversarial noise against all checkpoints of one training on clean images.

    .. math:: d \leftarrow \mathrm{clip}(d - \alpha\, \mathrm{sign}\, \textstyle\frac1n \sum_k
              \nabla_x L(F_{\theta_k}(x + d), g(y)), \pm\epsilon)

    ``g`` sends a class half way round all of them, ``(k + K // 2) mod K``, as the paper does.

    With ``variance_reduction`` each step comes from a walk ``v`` that starts at ``x + d`` and takes as many signed
    steps as there are checkpoints, each along the sum of what was met so far; the step itself follows the same sum (the
    authors' released code; after SVRE, https://arxiv.org/abs/2111.10752):

    .. math:: s \leftarrow s + \nabla L_k(v) - \nabla L_k(x + d) + \textstyle\frac1n \sum_j \nabla L_j(x + d), \qquad
              v \leftarrow \Pi(v - \alpha\, \mathrm{sign}\, s), \qquad k \text{ drawn at random}

    Not done: the paper's feature alignment (FA), which draws the penultimate features of a classifier towards the mean
    feature of the wrong class. A dense prediction has no such vector for a case: this is SEP or SEP-VR, not SEP-FA-VR.

    Args:
        checkpoints: how many are kept, evenly spaced over the training; the paper takes 15 to 30.
        targeted: towards the class ``g(y)``, or away from the right one.
        variance_reduction: whether steps come from a walk; doubles the work.
        steps: projected steps on each image; the paper takes 30.
        step_size: share of epsilon; the authors' code takes 1/255 of 8/255.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: for fewer than two checkpoints.
    """

    name: ClassVar[str] = "self_ensemble"
    checkpoints: int = whole(5, least=2)
    targeted: bool = switch(True)
    variance_reduction: bool = switch(False)
    steps: int = whole(30)
    step_size: float = share(0.1, most=2)
    surrogate_iterations: int | None = whole(None)

    def snapshots(self, iterations: int) -> tuple[int, ...]:
        """Evenly spaced, the last step included."""
        count = min(self.checkpoints, iterations)
        return tuple(round(iterations * (k + 1) / count) for k in range(count))

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Mean over the checkpoints."""
        single = self._single(networks, labels)
        return lambda image: torch.stack([one(image) for one in single]).mean(0)

    def _single(self, networks: Sequence[nn.Module], labels: Tensor) -> list[Gradient]:
        """The gradient of each checkpoint alone."""
        if not self.targeted:
            return [loss_gradient([network], labels, sign=-1.0) for network in networks]
        classes = int(self._shape["classes"])
        wrong = (labels + classes // 2) % classes
        return [loss_gradient([network], wrong) for network in networks]

    def make_noise(self, image: Tensor, labels: Tensor, support: Tensor, draw: torch.Generator) -> Tensor:
        """Noise against all checkpoints, by plain or by variance-reduced steps."""
        if not self.variance_reduction:
            return super().make_noise(image, labels, support, draw)
        single = self._single(self.networks, labels)
        size, noise = self.step_size * self._epsilon, torch.zeros_like(image)
        for _ in range(self.steps):
            start = [one(image + noise) for one in single]
            mean = torch.stack(start).mean(0)
            walk, total = noise, torch.zeros_like(image)
            for k in torch.randint(len(single), (len(single),), generator=draw).tolist():
                total = total + single[k](image + walk) - start[k] + mean
                walk = project(walk - size * total.sign(), image, support, self._epsilon)
            noise = project(noise - size * total.sign(), image, support, self._epsilon)
        return noise
