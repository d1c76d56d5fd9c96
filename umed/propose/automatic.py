# SPDX-License-Identifier: Apache-2.0
"""Masks without prompts: a grid of points, and of its masks those that Segment Anything itself is sure of.

Source: Kirillov et al., "Segment Anything" (arXiv 2304.02643), section 5 and appendix B. Masks are kept when their
predicted IoU and their stability are high, and when no better one covers the same. Here, unlike there: no crops, no
removal of small islands, and overlap is that of the masks, at the decoder's resolution, and not of their boxes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from umed.core.errors import ConfigError
from umed.methods.unseg.square_frame import content, mask_from_square
from umed.propose.asking import CHUNK, Answer, Seen, decode

OFFSET = 1.0
"""Logits by which the threshold moves up and down for the stability."""


@dataclass(frozen=True)
class GridSettings:
    """What an automatic mask must be like.

    Args:
        points_per_side: of the grid, 1 to 128.
        iou: least predicted IoU, 0 to 1.
        stability: least stability, see :func:`stability`, 0 to 1.
        overlap: IoU with a better mask above which a mask is a duplicate, 0 to 1.
        largest: share of the picture above which a mask is taken for its background, 0 to 1.
        smallest: pixels of the picture below which a mask is a speck.

    Raises:
        ConfigError: when a value is out of its range.
    """

    points_per_side: int = 16
    iou: float = 0.88
    stability: float = 0.95
    overlap: float = 0.7
    largest: float = 0.9
    smallest: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.points_per_side <= 128:
            raise ConfigError(f"--points-per-side: expected 1 to 128, got {self.points_per_side}. The default is 16.")
        for name in ("iou", "stability", "overlap", "largest"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name}: expected a number from 0 to 1, got {getattr(self, name):g}. Correct it.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@torch.no_grad()
def ask_everywhere(seen: Seen, settings: GridSettings) -> list[Answer]:
    """All masks of a picture that Segment Anything is sure of.

    Args:
        seen: the picture.
        settings: what they must be like.

    Returns:
        The masks, the best first; none if there are none.
    """
    size = seen.network.shape.image_size
    sides = [math.ceil(side * seen.network.shape.mask_size / size) for side in content(seen.shape, size)]
    points = grid_points(seen.shape, settings.points_per_side).to(seen.embedding.device) * seen.scale
    kept: list[Tensor] = []
    scores: list[Tensor] = []
    for part in torch.split(points, CHUNK):
        marks = torch.ones(len(part), 1, dtype=torch.int64, device=part.device)
        masks, ious = decode(seen, None, part[:, None], marks)
        logits, ious = masks[:, 1:].flatten(0, 1), ious[:, 1:].flatten()  # the three that tell whole, part and subpart
        logits = logits[ious >= settings.iou]
        ious = ious[ious >= settings.iou]
        inside = logits[:, : sides[0], : sides[1]]
        share = (inside > 0).float().mean((1, 2))
        good = (stability(inside) >= settings.stability) & (share > 0) & (share <= settings.largest)
        kept.append(logits[good])
        scores.append(ious[good])
    logits, ious = torch.cat(kept), torch.cat(scores)
    best = suppress(logits[:, : sides[0], : sides[1]] > 0, ious, settings.overlap)
    found = []
    for row in best:
        mask = mask_from_square(logits[row : row + 1], seen.shape, size)[0].cpu().numpy()
        if settings.smallest <= mask.sum() <= settings.largest * mask.size:
            found.append(Answer(mask, float(ious[row])))
    return found


def grid_points(shape: tuple[int, int], side: int) -> Tensor:
    """Middles of ``side`` x ``side`` equal boxes of a picture ``(H, W)``: ``(side^2, 2)``, x and y, px.

    >>> grid_points((4, 8), 2).tolist()
    [[2.0, 1.0], [6.0, 1.0], [2.0, 3.0], [6.0, 3.0]]
    """
    steps = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(steps * shape[0], steps * shape[1], indexing="ij")
    return torch.stack([columns, rows], -1).reshape(-1, 2)


def stability(logits: Tensor, offset: float = OFFSET) -> Tensor:
    """How little masks change with the threshold: IoU of those at ``+offset`` and ``-offset``.

    Args:
        logits: ``(N, h, w)``.
        offset: logits.

    Returns:
        ``(N,)`` in [0, 1]; 0 where even the larger mask is empty.

    >>> stability(torch.tensor([[[5.0, 0.5, -5.0]]])).item()
    0.5
    """
    strict = (logits > offset).flatten(1).sum(1)
    loose = (logits > -offset).flatten(1).sum(1)  # holds the strict one, so it is the union
    return strict / loose.clamp(min=1)


def suppress(masks: Tensor, scores: Tensor, most: float) -> list[int]:
    """Greedy non-maximum suppression: from the best mask on, drop what a kept one already covers.

    Args:
        masks: ``(N, h, w)`` bool.
        scores: ``(N,)``; of equal ones the first is the better.
        most: IoU above which two masks are the same.

    Returns:
        Rows of the kept masks, the best first.
    """
    flat = masks.flatten(1).float()
    areas = flat.sum(1)
    kept: list[int] = []
    for row in torch.sort(scores, descending=True, stable=True).indices.tolist():
        shared = flat[kept] @ flat[row]
        union = areas[kept] + areas[row] - shared
        if not bool((shared > most * union).any()):
            kept.append(row)
    return kept
