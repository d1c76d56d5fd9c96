# SPDX-License-Identifier: Apache-2.0
"""A Segment Anything whose answers are known, as it cuts bright shapes out by rule, and pictures of such shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from umed.networks.sam import Decoded, PromptedSam, Prompts


def two_shapes(height: int, width: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Two shapes in different quarters of a picture: what tells whether a prompt is heard, and x from y."""
    found = []
    for quarter in rng.permutation(4)[:2]:
        ry, rx = rng.uniform(0.12, 0.22) * height, rng.uniform(0.12, 0.22) * width
        y, x = height * (0.25 + 0.5 * (quarter // 2)), width * (0.25 + 0.5 * (quarter % 2))
        dy, dx = (np.arange(height)[:, None] - y) / ry, (np.arange(width)[None] - x) / rx
        found.append(dy**2 + dx**2 <= 1 if rng.random() < 0.5 else (np.abs(dy) <= 0.9) & (np.abs(dx) <= 0.9))
    return found


def shape_picture(masks: list[NDArray[np.bool_]], rng: np.random.Generator) -> NDArray[np.float32]:
    """Grey ``(H, W)`` in [0, 1]: shapes are bright on a dark ground, with noise."""
    values = rng.uniform(0.05, 0.35) + rng.normal(0, 0.05, masks[0].shape)
    for mask in masks:
        values = values + mask * rng.uniform(0.4, 0.6)
    return np.clip(values, 0, 1).astype(np.float32)


def tight_box(mask: NDArray[np.bool_]) -> list[int]:
    """``x0, y0, x1, y1`` of a mask, as a prompts file has it."""
    ys, xs = np.nonzero(mask)
    return [int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0 to 1."""
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def cut_bright_shapes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every SAM answer by rule, whatever its weights: a prompt finds the bright shape that it marks."""
    monkeypatch.setattr(PromptedSam, "embed", lambda _, image: (image, image))
    monkeypatch.setattr(PromptedSam, "decode", _decode)
    monkeypatch.setattr(PromptedSam, "predicted_iou", lambda _, decoded: decoded.tokens[:, 0])


def _decode(network: PromptedSam, image: Tensor, prompts: Prompts, extra: Tensor | None = None) -> Decoded:
    """The shape alone, everything bright, the shape and its upper half: the third is what a single point means."""
    side = network.shape.mask_size
    masks, ious = [], []
    for row, picture in enumerate(prompts.image.tolist()):
        grey = functional.adaptive_avg_pool2d(image[picture].mean(0, keepdim=True), side)[0]
        logits = 16 * (grey - (grey.min() + grey.max()) / 2)
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (prompts.boxes[row] * side / network.shape.image_size).tolist()
            inside = torch.zeros(side, side, dtype=torch.bool)
            inside[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
            sure = 0.95
        else:
            assert prompts.points is not None
            x, y = (prompts.points[row, 0] * side / network.shape.image_size).tolist()
            parts, _ = ndimage.label(logits.numpy() > 0)
            part = parts == (parts[int(y), int(x)] or -1)  # on dark ground there is nothing
            inside = torch.from_numpy(ndimage.binary_dilation(part))
            middle = ndimage.center_of_mass(part) if part.any() else (y, x)
            sure = 0.95 - float(np.hypot(y - middle[0], x - middle[1])) / side if part.any() else 0.1
        shape = logits.where(inside, -16.0)
        upper = shape.clone()
        upper[side // 4 :] = -16.0
        masks.append(torch.stack([shape, logits, shape, upper]))
        ious.append(torch.tensor([sure, 0.5, sure, 0.3]))
    return Decoded(torch.stack(masks), torch.stack(ious)[:, None], torch.zeros(0))
