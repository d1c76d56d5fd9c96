# SPDX-License-Identifier: Apache-2.0
"""SEM and REM: error-minimizing noise that still minimises when the image is disturbed.

References: Liu et al., "Stable Unlearnable Example: Enhancing the Robustness of Unlearnable Examples via Stable
Error-Minimizing Noise", https://arxiv.org/abs/2311.13091 (SEM); Fu et al., "Robust Unlearnable Examples: Protecting
Data Privacy Against Adversarial Learning", https://arxiv.org/abs/2203.14533 (REM).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from umed.errors import ConfigError, did_you_mean
from umed.methods.descent import Gradient, descend, loss_gradient
from umed.methods.error_minimizing import ErrorMinimizing
from umed.methods.options import check_share, check_whole
from umed.planning import Plan
from umed.training import Batch

ROBUST = ("random", "adversarial")


class StableErrorMinimizing(ErrorMinimizing):
    r"""Error-minimizing noise under a disturbance of the surrogate's input.

    .. math:: \min_F E \min_{|d| \le \epsilon} E_r\, L(F(x + d + r), y), \qquad |r| \le \rho

    ``r`` is uniform noise (SEM) or the worst case (REM, ``max_r``), which costs ``attack_steps`` gradients more. The
    surrogate trains on disturbed images, too. REM's expectation over transformations is ``training.transformations``
    in the surrogate's steps only.

    Args:
        robust: ``"random"`` is SEM, ``"adversarial"`` is REM.
        radius: of the disturbance, as a share of epsilon; the papers take 4/255 of 8/255.
        samples: disturbances whose gradients are averaged; SEM takes 5.
        attack_steps: steps of the worst case.
        steps: projected steps on each released image.
        step_size: share of epsilon.
        inner_steps: steps on the noise of a batch while the surrogate trains.
        surrogate_iterations: training steps of the surrogate, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: when a value is out of range.
    """

    name: ClassVar[str] = "stable_error_minimizing"

    def __init__(
        self,
        *,
        robust: str = "random",
        radius: float = 0.5,
        samples: int = 2,
        attack_steps: int = 3,
        steps: int = 20,
        step_size: float = 0.1,
        inner_steps: int = 5,
        surrogate_iterations: int | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, inner_steps=inner_steps, surrogate_iterations=surrogate_iterations
        )
        if robust not in ROBUST:
            hint = did_you_mean(robust, ROBUST)
            raise ConfigError(f"method_options.robust: expected one of {', '.join(ROBUST)}, got {robust!r}.{hint}")
        check_share(1, radius=radius)
        check_whole(1, samples=samples, attack_steps=attack_steps)
        self.robust, self.radius, self.samples, self.attack_steps = robust, radius, samples, attack_steps

    def training_noise(self, network: nn.Module, batch: Batch, plan: Plan, draw: torch.Generator) -> Tensor:
        """The noise of the batch and one disturbance on top, which the surrogate trains on."""
        self._epsilon = plan.epsilon
        noise = super().training_noise(network, batch, plan, draw)
        return noise + self.disturbance([network], batch.image + noise, batch.labels, draw)

    def disturbance(
        self, networks: Sequence[nn.Module], image: Tensor, labels: Tensor, draw: torch.Generator
    ) -> Tensor:
        """``r`` for an image: uniform, or what raises the loss most; within the radius, anywhere in the frame.

        Args:
            networks: in evaluation mode.
            image: ``(B, C, *spatial)`` in [0, 1].
            labels: ``(B, 1, *spatial)`` int64.
            draw: source of randomness.
        """
        reach = self.radius * self._epsilon
        start = reach * (2 * torch.rand(image.shape, generator=draw) - 1).to(image.device)
        if self.robust == "random":
            return start
        everywhere = torch.ones_like(image[:, :1], dtype=torch.bool)
        options: dict[str, Any] = {"epsilon": reach, "steps": self.attack_steps, "size": 2 * reach / self.attack_steps}
        return descend(image, everywhere, loss_gradient(networks, labels, sign=-1.0), start=start, **options)

    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Mean over disturbances of the gradient at the disturbed image."""
        plain = loss_gradient(networks, labels)

        def gradient(image: Tensor) -> Tensor:
            moved = [image + self.disturbance(networks, image, labels, draw) for _ in range(self.samples)]
            return torch.stack([plain(one) for one in moved]).mean(0)

        return gradient
