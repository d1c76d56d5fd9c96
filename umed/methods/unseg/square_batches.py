# SPDX-License-Identifier: Apache-2.0
"""Batches of squares for UnSeg's training; each is a function of (seed, iteration, rank) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.methods.unseg.colour_pictures import ColourPicture, as_colour, draw_target
from umed.methods.unseg.square_frame import content
from umed.networks.sam import resize


@dataclass(frozen=True)
class Squares:
    """What one step sees, one prompted target a picture.

    Args:
        image: ``(B, 3, size, size)`` float32 in [0, 1].
        mask: ``(B, 1, size, size)`` bool, the target, never empty.
        grey: ``(B, 1, 1, 1)`` bool, pictures without colour, whose noise must have none either.
    """

    image: Tensor
    mask: Tensor
    grey: Tensor

    def to(self, device: torch.device) -> Squares:
        """The same on another device."""
        return Squares(self.image.to(device), self.mask.to(device), self.grey.to(device))


class SquareBatches(Sequence[Squares]):
    """Random pictures at random scales, flipped or not, cut or padded to a square (large-scale jitter).

    Args:
        pictures: lazy sequence of pictures with foreground.
        size: side of the square.
        batch_size: pictures in a batch.
        iterations: length of the sequence.
        jitter: smallest and largest scale beside the one that fits the picture into the square; the paper has 0.1, 2.
        enlarge: whether pictures smaller than the square fill it at scale 1; else they keep their own size there.
        whole: how often the target is everything that is labelled instead of one instance.
        seed: every draw comes from it, the iteration and the rank.
        rank: process number in distributed training.

    Raises:
        ValueError: if there is no picture.
    """

    def __init__(
        self,
        pictures: Sequence[ColourPicture],
        *,
        size: int,
        batch_size: int,
        iterations: int,
        jitter: tuple[float, float] = (0.5, 1.5),
        enlarge: bool = True,
        whole: float = 0.5,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        if not len(pictures):
            raise ValueError("UnSeg: expected at least one picture with foreground, got none.")
        self.pictures, self.size, self.batch_size, self.iterations = pictures, size, batch_size, iterations
        self.enlarge, self.jitter, self.whole, self.seed, self.rank = enlarge, jitter, whole, seed, rank

    def __len__(self) -> int:
        return self.iterations

    def __getitem__(self, iteration: int) -> Squares:  # type: ignore[override]
        if not 0 <= iteration < self.iterations:
            raise IndexError(iteration)
        rng = np.random.default_rng([self.seed, iteration, self.rank])
        drawn = [
            self._square(self.pictures[int(k)], rng) for k in rng.integers(len(self.pictures), size=self.batch_size)
        ]
        image, mask, grey = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return Squares(image, mask, grey)

    def _square(self, picture: ColourPicture, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        target = draw_target(picture.labels, rng, self.whole)
        image = torch.from_numpy(np.ascontiguousarray(as_colour(picture.image)))[None]
        mask = torch.from_numpy(np.ascontiguousarray(target))[None, None]
        if rng.random() < 0.5:
            image, mask = image.flip(3), mask.flip(3)
        scale = float(rng.uniform(*self.jitter))
        own = max(image.shape[2:]) < self.size and not self.enlarge
        fit = image.shape[2:] if own else content(image.shape[2:], self.size)
        height, width = (max(1, round(scale * side)) for side in fit)
        image = resize(image, (height, width))
        mask = _shrink(mask, (height, width))
        places = torch.nonzero(mask[0, 0])
        centre = places[int(rng.integers(len(places)))].tolist()
        window, pad = [], []
        for at, side in zip(centre, (height, width), strict=True):
            low, high = max(0, at - self.size + 1), max(0, min(at, side - self.size))
            start = int(rng.integers(low, high + 1))
            window.append(slice(start, start + self.size))
            pad.append(max(0, start + self.size - side))
        cut = (slice(None), slice(None), *window)
        padding = (0, pad[1], 0, pad[0])
        image = functional.pad(image[cut], padding)[0]
        mask = functional.pad(mask[cut], padding)[0]
        return image, mask, torch.tensor(len(picture.image) != 3).reshape(1, 1, 1)


def _shrink(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """A mask ``(1, 1, H, W)`` at another size, never empty."""
    share = resize(mask.float(), shape)
    found = share >= 0.5
    return found if found.any() else share == share.max()
