# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy and Dice at sampled points, most of them where the network is least sure.

Source: Kirillov et al., "PointRend" (arXiv 1912.08193), as Mask2Former and UnSeg (arXiv 2410.09909) use it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

OVERSAMPLE = 3
UNSURE = 0.75
"""Share of the points that are taken where the logits are closest to 0."""


def point_loss(logits: Tensor, target: Tensor, points: int, draw: torch.Generator) -> Tensor:
    """Binary cross-entropy + Dice at sampled points, averaged over the instances.

    Args:
        logits: ``(N, h, w)``.
        target: ``(N, H, W)`` float32 in [0, 1], of any resolution.
        points: how many each.
        draw: source of randomness, on the CPU.

    Returns:
        A scalar.
    """
    with torch.no_grad():
        places = unsure_points(logits, points, draw)
        wanted = sample(target[:, None], places)
    found = sample(logits[:, None], places)
    entropy = functional.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1)
    chance = found.sigmoid()
    dice = 1 - (2 * (chance * wanted).sum(1) + 1) / (chance.sum(1) + wanted.sum(1) + 1)
    return (entropy + dice).mean()


def unsure_points(logits: Tensor, points: int, draw: torch.Generator) -> Tensor:
    """Draw points, most of them where the logits are near 0.

    Args:
        logits: ``(N, h, w)``.
        points: how many each.
        draw: source of randomness.

    Returns:
        ``(N, points, 2)``, x and y in [0, 1].
    """
    drawn = torch.rand(len(logits), OVERSAMPLE * points, 2, generator=draw).to(logits.device)
    unsure = -sample(logits[:, None], drawn).abs()
    many = int(UNSURE * points)
    best = unsure.topk(many, dim=1).indices
    chosen = drawn.gather(1, best[..., None].expand(-1, -1, 2))
    rest = torch.rand(len(logits), points - many, 2, generator=draw).to(logits.device)
    return torch.cat([chosen, rest], 1)


def sample(field: Tensor, places: Tensor) -> Tensor:
    """Values ``(N, P)`` of fields ``(N, 1, H, W)`` at points ``(N, P, 2)`` in [0, 1], bilinear."""
    grid = 2 * places[:, :, None] - 1
    return functional.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0, :, 0]
