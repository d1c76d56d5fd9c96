# SPDX-License-Identifier: Apache-2.0
"""SEM and REM: error-minimizing noise that still minimises when the image is disturbed.

References: Liu et al., "Stable Unlearnable Example: Enhancing the Robustness of Unlearnable Examples via Stable
Error-Minimizing Noise", https://arxiv.org/abs/2311.13091 (SEM); Fu et al., "Robust Unlearnable Examples: Protecting
Data Privacy Against Adversarial Learning", https://arxiv.org/abs/2203.14533 (REM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from umed.methods.descent import Gradient, descend, loss_gradient, project
from umed.methods.error_minimizing import MinMin
from umed.methods.options import choice, share, whole


@dataclass(kw_only=True, eq=False, repr=False)
class StableErrorMinimizing(MinMin):
    r"""Error-minimizing noise under a disturbance of the surrogate's input, in expectation over transformations T.

    .. math:: \min_F E_T \max_{|r| \le \rho} L(F(T(x + d) + r), y), \qquad
              d = \arg\min_{|d| \le \epsilon} E_T\, D_r\, L(F(T(x + d) + r), y)

    The surrogate trains against the worst ``r`` in both. The noise is made against the mean over uniform ``r`` in SEM
    (``D`` is ``E``), against the worst ``r`` in REM (``D`` is ``max``), which costs ``attack_steps`` more gradients a
    sample. The worst ``r`` is found by projected ascent from a uniform start; the gradient passes through T and treats
    ``r`` as a constant, as in the authors' code. T is ``training.transformations``.

    Args:
        robust: ``"random"`` is SEM, ``"adversarial"`` is REM.
        radius: of the disturbance, as a share of epsilon; the papers take 4/255 of 8/255.
        samples: draws of T and ``r`` whose gradients are averaged; the papers take 5.
        attack_steps: steps of the worst case; the papers take 10.
        steps: projected steps on each released image; the papers take 10, each 1.6/255 of 8/255.
        step_size: share of epsilon.
        inner_steps: steps on the noise of a batch while the surrogate trains.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: when a value is out of range.
    """

    name: ClassVar[str] = "stable_error_minimizing"
    robust: str = choice("random", ("random", "adversarial"))
    radius: float = share(0.5)
    samples: int = whole(2)
    attack_steps: int = whole(3)
    steps: int = whole(20)
    step_size: float = share(0.1, most=2)
    inner_steps: int = whole(5)
    surrogate_iterations: int | None = whole(None)

    def disturb(self, network: nn.Module, image: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        """The worst case for the surrogate as it is, which it then trains on."""
        network.eval()
        return image + self._worst([network], image, labels, draw)

    def disturbance(
        self, networks: Sequence[nn.Module], image: Tensor, labels: Tensor, draw: torch.Generator
    ) -> Tensor:
        """``r`` for the noise: uniform, or what raises the loss most; within the radius, anywhere in the frame.

        Args:
            networks: in evaluation mode.
            image: ``(B, C, *spatial)``.
            labels: ``(B, 1, *spatial)`` int64.
            draw: source of randomness.
        """
        if self.robust == "adversarial":
            return self._worst(networks, image, labels, draw)
        return project(self._uniform(image, draw), image, _everywhere(image), self.radius * self._epsilon)

    def _uniform(self, image: Tensor, draw: torch.Generator) -> Tensor:
        return self.radius * self._epsilon * (2 * torch.rand(image.shape, generator=draw) - 1).to(image.device)

    def _worst(self, networks: Sequence[nn.Module], image: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        reach = self.radius * self._epsilon
        return descend(
            image,
            _everywhere(image),
            loss_gradient(networks, labels, sign=-1.0),
            epsilon=reach,
            steps=self.attack_steps,
            size=2 * reach / self.attack_steps,
            start=self._uniform(image, draw),
        )

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Mean over T and disturbances of the gradient at the disturbed image."""

        def sample(image: Tensor) -> Tensor:
            with torch.enable_grad():
                x = image.detach().requires_grad_()
                moved, marks = self.move(x, labels, draw)
            disturbed = moved.detach() + self.disturbance(networks, moved.detach(), marks, draw)
            (found,) = torch.autograd.grad(moved, x, loss_gradient(networks, marks)(disturbed))
            return found

        def gradient(image: Tensor) -> Tensor:
            return torch.stack([sample(image) for _ in range(self.samples)]).mean(0)

        return gradient


def _everywhere(image: Tensor) -> Tensor:
    """A support that holds the whole frame."""
    return torch.ones_like(image[:, :1], dtype=torch.bool)
