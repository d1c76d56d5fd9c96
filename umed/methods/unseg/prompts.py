# SPDX-License-Identifier: Apache-2.0
"""Prompts drawn from masks: a box, points and a noisy mask, as a person who clicks would give them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.networks.sam import Prompts

KINDS = ("box", "points", "mask")
NONE = "none"
"""No prompt at all: everything that is labelled is to be found, as a victim that nobody prompts must find it."""
LOGIT = 8.0
"""Of a mask prompt, positive inside and negative outside; what SAM itself gives is of this size."""
JITTER = 0.1
"""A corner of a drawn box is off by up to this share of its side (HQ-SAM)."""
MOST_POINTS = 10


def subsets(kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """All that are not empty, of which the generator gets one at random."""
    return [some for count in range(1, len(kinds) + 1) for some in itertools.combinations(kinds, count)]


def draw_prompts(mask: Tensor, kinds: Sequence[str], mask_size: int, draw: torch.Generator) -> Prompts:
    """Prompts of one instance an image, as a person might give them.

    Args:
        mask: ``(B, 1, size, size)`` bool on the square that the encoder sees, with foreground each.
        kinds: which of :data:`KINDS`, all of them at once; :data:`NONE` asks for nothing.
        mask_size: side of a mask prompt.
        draw: source of randomness, on the CPU.

    Returns:
        The prompts.
    """
    count = len(mask)
    boxes = points = marks = masks = None
    if "box" in kinds:
        boxes = boxes_of(mask)
        side = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        off = (2 * torch.rand(boxes.shape, generator=draw) - 1) * JITTER
        boxes = (boxes + off.to(boxes) * side).clamp(0, mask.shape[-1] - 1)
    if "points" in kinds:
        number = int(torch.randint(1, MOST_POINTS + 1, (), generator=draw))
        points = torch.stack([_points(one[0].cpu(), number, draw) for one in mask]).to(mask.device)
        marks = torch.ones(count, number, dtype=torch.int64, device=mask.device)
    if "mask" in kinds:
        masks = logits(noisy(mask, draw), mask_size)
    return Prompts(torch.arange(count, device=mask.device), boxes, points, marks, masks)


def mask_prompts(mask: Tensor, mask_size: int, *, image: Tensor | None = None, released: bool = False) -> Prompts:
    """The prompts with which a release is protected: the masks themselves.

    Args:
        mask: ``(N, 1, size, size)`` bool.
        mask_size: side of a mask prompt.
        image: ``(N,)`` int64, which image of the batch each is in; one an image if ``None``.
        released: on the scale 0 to 255, as the authors' weights were used.

    Returns:
        One prompt a mask.
    """
    image = torch.arange(len(mask), device=mask.device) if image is None else image.to(mask.device)
    if released:
        share = functional.adaptive_avg_pool2d(mask.float(), mask_size)
        return Prompts(image, masks=255 * (share >= 0.5).float())
    return Prompts(image, masks=logits(mask, mask_size))


def logits(mask: Tensor, size: int) -> Tensor:
    """A mask as SAM's mask prompt ``(B, 1, size, size)``; the edge of a coarse pixel is a share."""
    return LOGIT * (2 * functional.adaptive_avg_pool2d(mask.float(), size) - 1)


def noisy(mask: Tensor, draw: torch.Generator) -> Tensor:
    """A mask whose outline is off here and there, never empty.

    Args:
        mask: ``(B, 1, size, size)`` bool.
        draw: source of randomness.

    Returns:
        The same shape.
    """
    size = mask.shape[-1]
    coarse = torch.randn(len(mask), 1, max(2, size // 16), max(2, size // 16), generator=draw).to(mask.device)
    field = functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    radius = max(1, size // 32)
    soft = functional.avg_pool2d(mask.float(), 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    found = soft + 0.25 * field >= 0.5
    kept = found.flatten(1).any(1).reshape(-1, 1, 1, 1)
    return torch.where(kept, found, mask)


def boxes_of(mask: Tensor) -> Tensor:
    """Tight boxes ``(B, 4)`` float32, ``x0, y0, x1, y1``, of masks ``(B, 1, H, W)`` that are not empty."""
    found = []
    for one in mask[:, 0]:
        ys, xs = torch.nonzero(one, as_tuple=True)
        found.append(torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]).float())
    return torch.stack(found)


def _points(mask: Tensor, number: int, draw: torch.Generator) -> Tensor:
    places = torch.nonzero(mask)
    chosen = places[torch.randint(len(places), (number,), generator=draw)]
    return chosen.flip(1).float()
