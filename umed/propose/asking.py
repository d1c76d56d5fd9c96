# SPDX-License-Identifier: Apache-2.0
"""Prompts to Segment Anything and its masks on the picture's own grid. Source: Kirillov et al., arXiv 2304.02643."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.methods.unseg.square_frame import content, mask_from_square, to_square
from umed.networks.sam import PromptedSam, Prompts
from umed.propose.prompts_file import Prompt

CHUNK = 64
"""Prompts that are answered at a time; bounds the memory of the decoder."""


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
