# SPDX-License-Identifier: Apache-2.0
"""A trained generator on flat pictures of any size: instances prompted, noise back on the picture's own grid."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from umed.methods.unseg.colour_pictures import Instances, as_colour
from umed.methods.unseg.prompts import mask_prompts
from umed.methods.unseg.square_frame import from_square, mask_to_square, to_square
from umed.networks.noise_head import UnSegGenerator

PROMPTS_AT_ONCE = 16
"""Prompts that are answered together, fewer of large pictures, so that crowded ones need no more memory."""
PIXELS_AT_ONCE = 1 << 22
MOST_PROMPTS = 64
"""Of one picture; smaller instances get the mean, like the background."""


@torch.no_grad()
def flat_direction(
    generator: UnSegGenerator,
    image: Tensor,
    labels: NDArray[np.int16],
    *,
    weak: float,
    per_instance: bool,
    enlarge: bool,
) -> Tensor:
    """Direction of pictures.

    Args:
        generator: trained; it works on its own device.
        image: ``(B, C, H, W)`` float32 in [0, 1].
        labels: ``(B, H, W)``, each with foreground.
        weak: bound outside the labels as a share of that inside.
        per_instance: prompt each instance, or once with all that is labelled.
        enlarge: pictures smaller than the square fill it; else they keep their size.

    Returns:
        ``(B, C, H, W)`` in [-1, 1], at most ``weak`` outside the labels. Each instance has the noise of its own prompt
        (the :data:`MOST_PROMPTS` largest), everything else the mean over the prompts. Images that are not RGB get its
        first channel.
    """
    size, mask_size, device = generator.sam.shape.image_size, generator.sam.shape.mask_size, generator.sam.mean.device
    height, width = labels.shape[1:]
    small = max(height, width) < size and not enlarge
    fill = (0, size - width, 0, size - height) if small else (0, 0, 0, 0)
    colour = functional.pad(torch.from_numpy(np.stack([as_colour(one) for one in image.numpy()])), fill)
    embedded = generator.embed(to_square(colour, size).to(device))
    own, mean = (torch.zeros(len(labels), 3, height, width) for _ in range(2))
    count = torch.zeros(len(labels), 1, 1, 1)
    targets = [Instances(one, most=MOST_PROMPTS) if per_instance else [one > 0] for one in labels]
    places = [(number, k) for number, parts in enumerate(targets) for k in range(len(parts))]
    at_once = max(1, min(PROMPTS_AT_ONCE, PIXELS_AT_ONCE // (height * width)))
    for start in range(0, len(places), at_once):
        some = places[start : start + at_once]
        rows = torch.tensor([number for number, _ in some])
        where = torch.from_numpy(np.stack([targets[number][k] for number, k in some]))[:, None]
        target = mask_to_square(functional.pad(where, fill), size).to(device)
        prompts = mask_prompts(target, mask_size, image=rows, released=generator.released)
        noise = from_square(generator.noise(embedded, prompts).float().cpu(), colour.shape[2:])[:, :, :height, :width]
        own.index_add_(0, rows, noise * where)
        mean.index_add_(0, rows, noise)
        count.index_add_(0, rows, torch.ones(len(rows), 1, 1, 1))
    prompted = np.stack([parts.union() if isinstance(parts, Instances) else parts[0] for parts in targets])
    out = torch.where(torch.from_numpy(prompted)[:, None], own, mean / count)
    if image.shape[1] != 3:
        out = out[:, :1].expand(-1, image.shape[1], -1, -1)  # not the mean: channels cancel
    return out * torch.where(torch.from_numpy(labels > 0)[:, None], 1.0, weak)
