# SPDX-License-Identifier: Apache-2.0
"""Between pictures of any size and the square that Segment Anything sees: longest side scaled, rest padded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.networks.sam import resize


def content(shape: Sequence[int], size: int) -> tuple[int, int]:
    """Height and width of a picture in the square.

    Args:
        shape: ``(H, W)`` of the picture.
        size: side of the square.

    Returns:
        Height and width, at least 1.

    >>> content((300, 600), 64)
    (32, 64)
    """
    factor = size / max(shape)
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def to_square(image: Tensor, size: int) -> Tensor:
    """Scale pictures so that the longest side fills the square, and fill up right and below with 0.

    Args:
        image: ``(B, C, H, W)`` float32.
        size: side of the square.

    Returns:
        ``(B, C, size, size)``.
    """
    height, width = content(image.shape[2:], size)
    if image.shape[2:] != (height, width):
        image = resize(image, (height, width))
    return functional.pad(image, (0, size - width, 0, size - height))


def mask_to_square(mask: Tensor, size: int) -> Tensor:
    """The same for masks ``(B, 1, H, W)`` bool: a pixel of the square is set where at least half of it is.

    A mask that would vanish keeps the pixel that has most of it.
    """
    share = to_square(mask.float(), size)
    found = share >= 0.5
    lost = ~found.flatten(1).any(1) & mask.flatten(1).any(1)
    if lost.any():
        best = functional.one_hot(share.flatten(1).argmax(1), size * size).reshape(share.shape).bool()
        found = torch.where(lost.reshape(-1, 1, 1, 1), best, found)
    return found


def mask_from_square(logits: Tensor, shape: Sequence[int], size: int) -> Tensor:
    """Bring a decoder's masks to a picture's grid as SAM does: to the square, without its padding, to the picture.

    Args:
        logits: ``(N, m, m)``, positive inside; covers the whole square.
        shape: ``(H, W)`` of the picture.
        size: side of the square that the encoder sees.

    Returns:
        ``(N, H, W)`` bool. One mask is resampled at a time, so that only one is in memory as floats.
    """
    height, width = content(shape, size)
    found = []
    for one in logits[:, None, None]:
        square = functional.interpolate(one, size=(size, size), mode="bilinear", align_corners=False)
        inside = square[..., :height, :width]
        found.append(functional.interpolate(inside, size=tuple(shape), mode="bilinear", align_corners=False)[0, 0] > 0)
    return torch.stack(found) if found else torch.zeros((0, *shape), dtype=torch.bool)


def from_square(noise: Tensor, shape: Sequence[int]) -> Tensor:
    """Bring noise on the square back to a picture's grid.

    Args:
        noise: ``(B, C, n, n)``, of any resolution.
        shape: ``(H, W)`` of the picture.

    Returns:
        ``(B, C, H, W)``, bilinear.
    """
    longest = max(shape)
    if noise.shape[2] != longest:
        noise = resize(noise, (longest, longest))  # as in training: antialiased where the picture is the smaller one
    return noise[:, :, : shape[0], : shape[1]]
