# SPDX-License-Identifier: Apache-2.0
"""Projected gradient descent on images within a bound, a support and the unit range."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from umed.training.bilevel import normalise, segmentation_loss

Gradient = Callable[[Tensor], Tensor]
"""Of an image ``(B, C, *spatial)``: the gradient of what is to become small, of the same shape."""


def descend(
    image: Tensor,
    support: Tensor,
    gradient: Gradient,
    *,
    epsilon: float,
    steps: int,
    size: float,
    start: Tensor | None = None,
) -> Tensor:
    """Projected gradient descent on an image with signed steps (Madry et al., arXiv 1706.06083).

    ``d <- clip(d - size * sign(g(x + d)), -epsilon, epsilon)``, inside the support, and so that ``x + d`` stays in
    [0, 1].

    Args:
        image: ``(B, C, *spatial)`` in [0, 1].
        support: ``(B, 1, *spatial)`` bool.
        gradient: of what is to become small.
        epsilon: bound as a share of the unit range.
        steps: how many.
        size: of a step, in the same unit.
        start: where to start, 0 if ``None``.

    Returns:
        The noise ``d``, of the image's shape.
    """
    noise = torch.zeros_like(image) if start is None else start * support
    for _ in range(steps):
        noise = project(noise - size * gradient(image + noise).sign(), image, support, epsilon)
    return noise


def project(noise: Tensor, image: Tensor, support: Tensor, epsilon: float) -> Tensor:
    """The nearest noise that keeps the bound and the support, and the image in [0, 1].

    Args:
        noise: ``(B, C, *spatial)``.
        image: of the same shape, in [0, 1].
        support: ``(B, 1, *spatial)`` bool.
        epsilon: bound as a share of the unit range.

    Returns:
        Noise of the same shape.
    """
    return (image + noise.clamp(-epsilon, epsilon) * support).clamp(0, 1) - image


def loss_gradient(networks: Sequence[nn.Module], labels: Tensor, sign: float = 1.0) -> Gradient:
    """Gradient of the mean training loss of several networks.

    Args:
        networks: in evaluation mode.
        labels: ``(B, 1, *spatial)`` int64.
        sign: 1 makes the loss small, -1 makes it large.

    Returns:
        A function of an image.
    """

    def gradient(image: Tensor) -> Tensor:
        with torch.enable_grad():  # also where a case is protected, which needs no gradients otherwise
            x = image.detach().requires_grad_()
            losses = [segmentation_loss(network(normalise(x)).float(), labels) for network in networks]
            (found,) = torch.autograd.grad(torch.stack(losses).mean(), x)
        return sign * found

    return gradient
