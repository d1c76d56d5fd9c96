# SPDX-License-Identifier: Apache-2.0
"""Training cases and the patches that the bilevel loop draws from them.

Every batch, with the carriers of its patches, is a function of (seed, iteration, rank) alone, so a resumed training
draws what an unbroken one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.core.types import Regions
from umed.networks.carriers import draw_carriers
from umed.plan.planning import Plan


@dataclass(frozen=True, eq=False)
class Sample:
    """One training case in the crop ``regions.box``.

    Args:
        image: unit image, shape ``(C, *box)``, float32 in [0, 1].
        regions: where it may be changed.
        case_id: stable name.
        steps: budget of each channel in stored steps, ``None`` for a file of floats.
    """

    image: NDArray[np.float32]
    regions: Regions
    case_id: str
    steps: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of several cases.

    Args:
        image: ``(B, C, *patch)`` float32 in [0, 1].
        labels: ``(B, 1, *patch)`` int64.
        contour: ``(B, 1, *patch)`` bool.
        interior: ``(B, 1, *patch)`` bool.
        carriers: ``(B, K, C, *patch)`` float32 in [-1, 1], of secret ones another draw for each patch.
        steps: ``(B, C, 1, ...)`` float32, budget in stored steps; 0 for files of floats, which need no rounding.
        support: ``(B, 1, *patch)`` bool, where the image may change; nowhere beyond its edge.
    """

    image: Tensor
    labels: Tensor
    contour: Tensor
    interior: Tensor
    carriers: Tensor
    steps: Tensor
    support: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        tensors: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})


class Patches(Sequence[Batch]):
    """Batches of random patches, one an iteration; each patch holds a random foreground voxel.

    Args:
        samples: lazy sequence of training cases with foreground.
        plan: the resolved plan; every draw comes from its seed, the iteration and the rank.
        iterations: length of the sequence.
        rank: process number in distributed training, so that each process draws its own patches.
        carriers: names of the carriers that the patches bring along. Each patch gets secret ones that no case of a
            release has, so that generators work for codes that they have never seen.

    Raises:
        ValueError: If there is no sample.
    """

    def __init__(
        self, samples: Sequence[Sample], plan: Plan, iterations: int, rank: int = 0, carriers: Sequence[str] = ()
    ) -> None:
        if not len(samples):
            raise ValueError("Patches: expected at least one training case with foreground, got none.")
        self.patch_size = plan.training.patch_size or (64,) * plan.spatial_dims
        self.samples, self.batch_size, self.slice_axis = samples, plan.training.batch_size, plan.slice_axis
        self.iterations, self.seed, self.rank, self.carriers = iterations, plan.seed, rank, tuple(carriers)

    def __len__(self) -> int:
        return self.iterations

    def __getitem__(self, iteration: int) -> Batch:  # type: ignore[override]
        if not 0 <= iteration < self.iterations:
            raise IndexError(iteration)
        rng = np.random.default_rng([self.seed, iteration, self.rank])
        chosen = rng.integers(len(self.samples), size=self.batch_size)
        drawn = [self._patch(self.samples[int(index)], rng) for index in chosen]
        return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True)))

    def _patch(self, sample: Sample, rng: np.random.Generator) -> tuple[NDArray[np.generic], ...]:
        regions = sample.regions
        foreground = np.argwhere(regions.labels > 0)
        centre = foreground[rng.integers(len(foreground))]
        window, pad, box = [], [], []
        patch_axis = 0
        for axis, size in enumerate(regions.labels.shape):
            if axis == self.slice_axis:
                window.append(slice(int(centre[axis]), int(centre[axis]) + 1))
                continue
            want = self.patch_size[patch_axis]
            patch_axis += 1
            low, high = max(0, int(centre[axis]) - want + 1), max(0, min(int(centre[axis]), size - want))
            start = int(rng.integers(low, high + 1))
            window.append(slice(start, start + want))
            pad.append((0, max(0, start + want - size)))
            box.append(slice(regions.origin[axis] + start, regions.origin[axis] + start + want))
        crop = (slice(None), *window)

        def cut(array: NDArray[np.generic], mode: str) -> NDArray[np.generic]:
            part = array[crop]
            if self.slice_axis is not None:
                part = part.squeeze(self.slice_axis + 1)
            padded: NDArray[np.generic] = np.pad(part, [(0, 0), *pad], mode=mode)  # type: ignore[call-overload]
            return padded

        steps = np.array([count or 0 for count in sample.steps], np.float32)
        return (
            cut(sample.image, "edge"),
            cut(regions.labels[None].astype(np.int64), "constant"),
            cut(regions.contour[None], "constant"),
            cut(regions.interior[None], "constant"),
            draw_carriers(self.carriers, len(sample.image), box, rng).bank(box).numpy(),
            steps.reshape(-1, *[1] * len(self.patch_size)),
            cut(regions.support[None], "constant"),
        )
