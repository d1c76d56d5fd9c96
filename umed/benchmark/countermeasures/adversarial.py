# SPDX-License-Identifier: Apache-2.0
"""Countermeasures that train on worst-case images: adversarial training, and its form for segmentation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, Moment, number, whole

REACH = 2.5
"""How far all steps together could go, in epsilons, where no step size is given (Madry et al.)."""


class AdversarialTraining(Countermeasure):
    """Train on the images that are worst for the present victim within an L-infinity ball (projected gradient ascent).

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks" (arXiv 1706.06083). Papers on
    unlearnable examples use 10 steps of 2/255; the default takes 3, each a forward and a backward pass, so that a CPU
    can follow. Values may leave the range of the file by epsilon.

    Args:
        epsilon: radius as a share of the full scale; usual sweep 1/255, 2/255, 4/255, 8/255.
        steps: of the attack.
        step_size: of one step, as a share of the full scale; ``2.5 epsilon / steps`` if ``None``.
    """

    name = "adversarial_training"
    strength = "epsilon"

    def __init__(self, *, epsilon: float | str = 4 / 255, steps: int = 3, step_size: float | str | None = None) -> None:
        self.epsilon = number(f"{self.name}.epsilon", epsilon, 0, 1, above=True)
        self.steps = whole(f"{self.name}.steps", steps, 1)
        self.step_size = None if step_size is None else number(f"{self.name}.step_size", step_size, 0, 1, above=True)

    def options(self) -> dict[str, Any]:
        """The options, shares of the full scale as ``"4/255"``."""
        step = None if self.step_size is None else f"{255 * self.step_size:g}/255"
        return {"epsilon": f"{255 * self.epsilon:g}/255", "steps": self.steps, "step_size": step}

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Replace every image of the batch by its attacked version."""
        return self.attack(image, label, moment), label

    def attack(self, image: Tensor, label: Tensor, moment: Moment) -> Tensor:
        """Climb the victim's loss from a random point of the ball around an image ``(B, C, *spatial)``.

        The result is at most ``epsilon * moment.scale`` away from the image; the label is as in :meth:`batch`.
        """
        scale = moment.scale.to(image)
        limit = self.epsilon * scale
        step = (REACH * self.epsilon / self.steps if self.step_size is None else self.step_size) * scale
        start = 2 * torch.rand(image.shape, generator=moment.generator) - 1
        delta = start.to(image) * limit
        for _ in range(self.steps):
            with torch.enable_grad():
                attacked = (image + delta).detach().requires_grad_()
                (slope,) = torch.autograd.grad(moment.loss(attacked, label).sum(), attacked)
            delta = torch.clamp(delta + step * slope.sign(), -limit, limit)
        return image + delta


class DdcAt(AdversarialTraining):
    """DDC-AT-like training: half of the cases attacked, and in the others the pixels whose answer the attack flips.

    Source: Xu, Zhao, Jia, "Dynamic Divide-and-Conquer Adversarial Training for Robust Semantic Segmentation", ICCV 2021
    (arXiv 2003.06555). There, one half of the batch is attacked, and in the clean half a second branch of the network,
    thrown away after training, takes the pixels whose prediction the attack changes, so that the main branch never
    learns from their clean version. Simplified here: a countermeasure cannot add a branch to any victim, so those
    pixels are shown to the only branch in their attacked version, the rest of the image stays clean. The learnt mask
    that sends pixels to branches is not needed then. Paper: epsilon 0.03 (about 8/255), 3 steps.

    Args:
        epsilon: radius as a share of the full scale; usual sweep 1/255, 2/255, 4/255, 8/255.
        steps: of the attack.
        step_size: of one step, as a share of the full scale; ``2.5 epsilon / steps`` if ``None``.
    """

    name = "ddc_at"

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Attack half of the batch (drawn; the odd one by a coin) everywhere, and the other half where it flips."""
        attacked = self.attack(image, label, moment)
        order = torch.randperm(len(image), generator=moment.generator)
        odd = int(torch.randint(2, (), generator=moment.generator)) if len(image) % 2 else 0
        flips = moment.predict(attacked) != moment.predict(image)
        flips[order[: len(image) // 2 + odd].to(flips.device)] = True
        return torch.where(flips, attacked, image), label
