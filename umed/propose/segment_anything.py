# SPDX-License-Identifier: Apache-2.0
"""Segment Anything's masks on a picture's own grid, for prompts, and without them for a grid of points.

Source: Kirillov et al., "Segment Anything" (arXiv 2304.02643), section 5 and appendix B. Without prompts masks are kept
when their predicted IoU and their stability are high, and when no better one covers the same. Here, unlike there: no
crops, no removal of small islands, and overlap is that of the masks, at the decoder's resolution, and not of their
boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.core.errors import ConfigError
from umed.methods.unseg.colour_pictures import as_colour
from umed.methods.unseg.square_frame import content, mask_from_square, to_square
from umed.networks.sam import PromptedSam, Prompts
from umed.propose.prompts_file import Prompt

CHUNK = 64
"""Prompts that are answered at a time; bounds the memory of the decoder."""
PERCENTILES = (0.5, 99.5)
"""Black and white of values without a fixed scale, of the whole image. MedSAM (arXiv 2304.12306) takes the same."""
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


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was embedded once for all its prompts.

    Args:
        network: the network.
        embedding: from :meth:`PromptedSam.embed`.
        shape: ``(H, W)`` of the picture.
    """

    network: PromptedSam
    embedding: Tensor
    shape: tuple[int, int]

    @property
    def scale(self) -> Tensor:
        """Factors of x and y from the picture to the square, ``(2,)``, as SAM takes them."""
        height, width = content(self.shape, self.network.shape.image_size)
        return torch.tensor([width / self.shape[1], height / self.shape[0]], device=self.embedding.device)


@dataclass(frozen=True, eq=False)
class Answer:
    """One mask.

    Args:
        mask: ``(H, W)`` bool, of the picture.
        predicted_iou: SAM's own estimate of its IoU with what was meant.
    """

    mask: NDArray[np.bool_]
    predicted_iou: float

    @property
    def share(self) -> float:
        """Share of the picture's pixels that it covers."""
        return float(self.mask.mean())


def to_picture(
    physical: NDArray[np.float64], low: NDArray[np.float64] | float, high: NDArray[np.float64] | float
) -> NDArray[np.float32]:
    """Physical values ``(C, H, W)`` as a picture ``(3, H, W)`` in [0, 1]; what is no number is black.

    Args:
        physical: the values.
        low: value that is black, one for all channels or for each one.
        high: value that is white.
    """
    low, high = (np.reshape(end, (-1, 1, 1)) for end in (low, high))
    scaled = np.clip((np.nan_to_num(physical, nan=0.0) - low) / np.where(high > low, high - low, 1), 0, 1)
    grey = np.where(np.isnan(physical), 0, scaled).astype(np.float32)
    return np.ascontiguousarray(as_colour(grey))


@torch.no_grad()
def see(network: PromptedSam, picture: NDArray[np.float32]) -> Seen:
    """Embed a picture ``(3, H, W)`` in [0, 1]."""
    image = torch.from_numpy(picture)[None].to(network.mean.device)
    embedding, _ = network.embed(to_square(image, network.shape.image_size))
    return Seen(network, embedding, (picture.shape[1], picture.shape[2]))


@torch.no_grad()
def ask(seen: Seen, prompts: Sequence[Prompt]) -> list[Answer]:
    """One mask for each prompt.

    A single point is ambiguous: of the three masks that SAM gives for it, the one with the highest predicted IoU is
    taken. Boxes and several points disambiguate, so the single mask is taken that SAM was trained to give then.

    Args:
        seen: the picture.
        prompts: in pixels of the picture; their slice is not looked at.

    Returns:
        Answers in the order of the prompts. A mask may be empty.
    """
    found: dict[int, Answer] = {}
    for rows in _alike(prompts):
        masks, ious = decode(seen, *_tensors(seen, [prompts[row] for row in rows]))
        for row, options, scores in zip(rows, masks, ious, strict=True):
            prompt = prompts[row]
            alone = prompt.box is None and len(prompt.points) == 1
            best = 1 + int(scores[1:].argmax()) if alone else 0
            mask = mask_from_square(options[best : best + 1], seen.shape, seen.network.shape.image_size)
            found[row] = Answer(mask[0].cpu().numpy(), float(scores[best]))
    return [found[row] for row in range(len(prompts))]


@torch.no_grad()
def decode(seen: Seen, boxes: Tensor | None, points: Tensor | None, marks: Tensor | None) -> tuple[Tensor, Tensor]:
    """Masks of up to :data:`CHUNK` prompts.

    Args:
        seen: the picture.
        boxes: ``(N, 4)`` in pixels of the square.
        points: ``(N, P, 2)`` likewise.
        marks: ``(N, P)``.

    Returns:
        Logits ``(N, 4, mask_size, mask_size)``, the single mask first, and predicted IoUs ``(N, 4)``.
    """
    given = points if boxes is None else boxes
    assert given is not None
    rows = torch.zeros(len(given), dtype=torch.int64, device=given.device)
    decoded = seen.network.decode(seen.embedding, Prompts(rows, boxes, points, marks))
    return decoded.masks.float(), seen.network.predicted_iou(decoded).float()


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


def _alike(prompts: Sequence[Prompt]) -> Iterator[list[int]]:
    """Chunks of prompts of one form, so that none needs filling up, which would change its answer a little."""
    forms: dict[tuple[bool, int], list[int]] = {}
    for row, prompt in enumerate(prompts):
        forms.setdefault((prompt.box is not None, len(prompt.points)), []).append(row)
    for rows in forms.values():
        yield from (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _tensors(seen: Seen, prompts: Sequence[Prompt]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Boxes, points and marks of prompts of one form, in pixels of the square."""
    device, scale = seen.embedding.device, seen.scale
    boxes = points = marks = None
    if prompts[0].box is not None:
        boxes = torch.tensor([one.box for one in prompts], device=device) * scale.repeat(2)
    if prompts[0].points:
        points = torch.tensor([one.points for one in prompts], device=device) * scale
        marks = torch.tensor([one.marks for one in prompts], device=device)
    return boxes, points, marks
