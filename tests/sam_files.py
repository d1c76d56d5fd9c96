# SPDX-License-Identifier: Apache-2.0
"""A tiny Segment Anything that was trained for half a minute to cut bright shapes out, and pictures of such shapes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from umed.methods.unseg.losses import point_loss
from umed.methods.unseg.prompts import boxes_of
from umed.methods.unseg.square_frame import to_square
from umed.networks.sam import PromptedSam, Prompts, make_sam

SIDE = 64
STEPS = 600
BATCH = 8


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


def train_tiny_sam(steps: int = STEPS) -> PromptedSam:
    """Train all of a tiny SAM: boxes for the single mask, a point for the best of three, and the IoU head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_sam("tiny")
    rng, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    rows, image_of = torch.arange(BATCH), torch.arange(BATCH) // 2
    for _ in range(steps):
        pairs = [two_shapes(SIDE, SIDE if k % 2 else 48, rng) for k in range(BATCH // 2)]
        masks = [mask for pair in pairs for mask in pair]
        images = [torch.from_numpy(shape_picture(pair, rng))[None, None] for pair in pairs]
        image = torch.cat([to_square(one, SIDE) for one in images]).expand(-1, 3, -1, -1)
        target = torch.cat([to_square(torch.from_numpy(mask)[None, None].float(), SIDE) for mask in masks]) > 0.5
        embedding, _ = network.embed(image)
        loss = torch.zeros(())
        for boxed in (True, False):
            if boxed:
                boxes = boxes_of(target) + 2 * (torch.rand(BATCH, 4, generator=draw) - 0.5)
                decoded = network.decode(embedding, Prompts(image_of, boxes))
            else:
                places = [torch.nonzero(one[0]) for one in target]
                picked = [one[torch.randint(len(one), (1,), generator=draw)].flip(1).float() for one in places]
                marks = torch.ones(BATCH, 1, dtype=torch.int64)
                decoded = network.decode(embedding, Prompts(image_of, None, torch.stack(picked), marks))
            options = decoded.masks[:, :1] if boxed else decoded.masks[:, 1:]
            ious = network.predicted_iou(decoded)[:, :1] if boxed else network.predicted_iou(decoded)[:, 1:]
            coarse = functional.adaptive_avg_pool2d(target.float(), options.shape[-1]) > 0.5
            found = options.detach() > 0
            true = (found & coarse).sum((2, 3)) / (found | coarse).sum((2, 3)).clamp(min=1)
            best = options[rows, true.argmax(1)]
            loss = loss + point_loss(best, target[:, 0].float(), 256, draw) + functional.mse_loss(ious, true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()
