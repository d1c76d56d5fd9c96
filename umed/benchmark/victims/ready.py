# SPDX-License-Identifier: Apache-2.0
"""Cases as a victim sees them: changed by the thief's countermeasures, normalised, and cut into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from umed.benchmark.countermeasures.interface import Chain
from umed.benchmark.countermeasures.resampling import nearest, scaled_sizes
from umed.benchmark.countermeasures.resampling import resize as resized
from umed.benchmark.victims.case_tensors import Samples
from umed.benchmark.victims.victim_recipe import Recipe, Resize
from umed.training.augment import nnunet_like

SHARES = {"half": 0.5, "quarter": 0.25}
MOST = 10_000
"""About as many voxels of a class are kept to choose from, as in nnU-Net."""
SMALLEST = 32
"""Length of at least one side of a crop: instance norm needs more than one voxel after four poolings."""


@dataclass(frozen=True, eq=False)
class Ready:
    """Cases for a network.

    Args:
        ids: case ids.
        images: ``(C, *spatial)`` float32 each, normalised.
        labels: ``(*spatial)`` uint8 each, on the grid of the images.
        truths: ``(*spatial)`` uint8 each, on the grid of the files.
        scales: ``(C,)`` float32 each, the full scale of the file in the units of the normalised image.
        classes: number of classes, background included.
        spacings: size of a voxel of the files along each axis.
        unit: of the spacings.
    """

    ids: tuple[str, ...]
    images: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    truths: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    classes: int
    spacings: tuple[tuple[float, ...], ...]
    unit: str


def make_ready(samples: Samples, chain: Chain, resize: Resize = None) -> Ready:
    """Put cases, as read from files, through a thief's pipeline up to the network.

    Args:
        samples: the cases.
        chain: fitted countermeasures, which act on images at the files' own resolution.
        resize: the size that he trains at, after them; see
            :attr:`umed.benchmark.victims.victim_recipe.Recipe.resize`. The truths stay on the files' grid.

    Returns:
        Resized and normalised cases.
    """
    changed = samples.map(chain.image, chain.label)
    if resize is not None:
        changed = changed.map(
            lambda image, _: resized(image, own_size(image.shape[1:], resize)),
            lambda label: nearest(label, own_size(label.shape, resize)),
        )
    normalise = chain.normalise or z_score
    images, scales = [], []
    for image, scale in zip(changed.images, changed.scales, strict=True):
        done, factor = normalise(image)
        images.append(done.float().contiguous())
        scales.append(scale * factor.float().flatten())
    truths = changed.labels if changed.truths is None else changed.truths
    return Ready(
        changed.ids,
        tuple(images),
        changed.labels,
        truths,
        tuple(scales),
        changed.classes,
        changed.spacings,
        changed.unit,
    )


def own_size(shape: Sequence[int], resize: Resize) -> list[int]:
    """Sides of an image after the thief's own resize, its proportions kept.

    >>> own_size((200, 150), 96), own_size((200, 150), "quarter"), own_size((200, 150), None)
    ([96, 72], [50, 38], [200, 150])
    """
    if resize is None:
        return list(shape)
    return scaled_sizes(shape, SHARES[resize] if isinstance(resize, str) else resize / max(shape))


def z_score(image: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale each channel of ``(C, *spatial)`` to mean 0 and standard deviation 1, as nnU-Net does for MR.

    Also gives the factor ``(C, 1, ...)`` by which each channel was scaled.
    """
    axes = tuple(range(1, image.ndim))
    spread, mean = torch.std_mean(image, dim=axes, keepdim=True, correction=0)
    factor = 1 / spread.clamp(min=1e-8)
    return (image - mean) * factor, factor


class Batches:
    """An endless stream of random crops with flips; the order depends on the seed and labels alone, not on the pixels.

    Args:
        ready: where they come from.
        recipe: batch size, crop size, flips, augmentation, share of crops about foreground.
        seed: what the stream depends on.
        divisor: sides of a crop are multiples of it.
    """

    def __init__(self, ready: Ready, recipe: Recipe, seed: int, divisor: int = 8) -> None:
        self.ready = ready
        self.recipe = recipe
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.size = crop_size([image.shape[1:] for image in ready.images], recipe.patch, divisor)
        self.order: list[int] = []
        self._places: dict[int, list[Tensor]] = {}

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(B, C, *size)`` float32, labels ``(B, 1, *size)`` int64, full scales ``(B, C, 1, ...)``."""
        images, labels, scales = [], [], []
        about = round(self.recipe.batch * (1 - self.recipe.foreground))  # as nnU-Net: the last ones of every batch
        for row in range(self.recipe.batch):
            if not self.order:
                self.order = torch.randperm(len(self.ready.ids), generator=self.generator).tolist()
            index = self.order.pop()
            centre = self._foreground(index) if row >= about else None
            image, label = crop(self.ready.images[index], self.ready.labels[index], self.size, self.generator, centre)
            if self.recipe.flips:
                axes = [a for a in range(1, image.ndim) if torch.rand((), generator=self.generator) < 0.5]
                image, label = image.flip(axes), label.flip(axes)
            images.append(image)
            labels.append(label)
            scales.append(self.ready.scales[index].reshape(-1, *[1] * (image.ndim - 1)))
        image, label = torch.stack(images), torch.stack(labels).long()
        if self.recipe.augment == "nnunet":
            image, label = nnunet_like(image, label, self.generator)
        return image, label, torch.stack(scales)

    def _foreground(self, index: int) -> list[int] | None:
        """A voxel of a class that is drawn first, so that small ones are seen as often; ``None`` in an empty label."""
        label = self.ready.labels[index]
        if index not in self._places:
            voxels = [torch.nonzero(label.flatten() == k).flatten() for k in range(1, self.ready.classes)]
            self._places[index] = [found[:: 1 + len(found) // MOST] for found in voxels if len(found)]
        if not (places := self._places[index]):
            return None
        voxels_of_one = places[int(torch.randint(len(places), (), generator=self.generator))]
        flat = int(voxels_of_one[int(torch.randint(len(voxels_of_one), (), generator=self.generator))])
        return [int(part) for part in np.unravel_index(flat, tuple(label.shape))]


def crop_size(shapes: Sequence[Sequence[int]], patch: Sequence[int] | None, divisor: int) -> tuple[int, ...]:
    """Size of the crops: the wanted ``patch``, at most the largest of the spatial shapes along each axis.

    ``None`` means the largest. Sides are rounded up to a multiple of ``divisor``.

    >>> crop_size([(40, 50), (60, 30)], (48, 96), 16), crop_size([(12, 9)], None, 8)
    ((48, 64), (16, 32))
    """
    largest = [max(lengths) for lengths in zip(*shapes, strict=True)]
    wanted = [min(pair) for pair in zip(patch or largest, largest, strict=True)]
    size = [-(-length // divisor) * divisor for length in wanted]
    return tuple(size if max(size) >= SMALLEST else [*size[:-1], max(SMALLEST, divisor)])


def crop(
    image: Tensor,
    label: Tensor,
    size: Sequence[int],
    generator: torch.Generator,
    centre: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut a random window, or one about a voxel; where the image is smaller, pad it with 0, a normalised image's mean.

    From ``(C, *spatial)`` and its label ``(*spatial)`` to ``(C, *size)`` and ``(1, *size)``. The window about
    ``centre`` is moved as far as it must be to stay inside the image.
    """
    window: list[slice] = []
    padding: list[int] = []
    for axis, (have, want) in enumerate(zip(image.shape[1:], size, strict=True)):
        room = have - want
        start = int(torch.randint(abs(room) + 1, (), generator=generator))
        if centre is not None and room > 0:
            start = min(max(0, centre[axis] - want // 2), room)
        window.append(slice(start, start + want) if room > 0 else slice(None))
        padding = ([0, 0] if room > 0 else [start, -room - start]) + padding
    image, label = image[tuple([slice(None), *window])], label[tuple(window)][None]
    return functional.pad(image, padding), functional.pad(label, padding)
