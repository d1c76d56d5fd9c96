# SPDX-License-Identifier: Apache-2.0
"""What every countermeasure has in common: places in a thief's pipeline where it may step in.

In this order: :meth:`~Countermeasure.select` (which cases), :meth:`~Countermeasure.fit` (learn from what was
published), :meth:`~Countermeasure.image` and :meth:`~Countermeasure.label` (every image once, in training and in
testing), :meth:`~Countermeasure.normalise`, :meth:`~Countermeasure.batch` (training batches only),
:meth:`~Countermeasure.stop` (end the training early). A thief's pipeline treats clean test images as it treats the
published ones, so whatever :meth:`image` does is done to both.
"""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from umed.benchmark.cells import NONE, label
from umed.benchmark.data import Samples
from umed.registry import check_options, resolve

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Moment:
    """What a countermeasure may use while a batch is made.

    Args:
        generator: source of randomness, on the CPU.
        scale: full scale (255 for 8-bit pictures) in the units of the normalised batch, ``(B, C, 1, ...)`` float32.
        loss: the victim's present training loss for an image and a label batch, each case alone: ``(B,)``. Gradients
            pass to the image; it neither changes weights nor running statistics.
        progress: share of the training that is done, in [0, 1).
        classes: of the data, background included.
    """

    generator: torch.Generator
    scale: Tensor
    loss: Loss
    progress: float
    classes: int


class Countermeasure(ABC):
    """One thing that a thief tries. Options are keyword-only; a subclass overrides what it needs.

    Every default does nothing, so that :class:`Chain` can put several one after the other.
    """

    name: ClassVar[str]
    scale: float = 1.0
    """New size over old size, where :meth:`image` changes the grid, so that the victim's crops can follow."""
    cost: float = 1.0
    """About how many times as long a training step takes, for estimates."""
    seeded: bool = False
    """Whether :meth:`select` or :meth:`fit` depend on the victim's seed, so that cases are prepared anew for each."""

    def __repr__(self) -> str:
        return label(self.name, self.options())

    def options(self) -> dict[str, Any]:
        """The keyword-only options with their values."""
        names = [p.name for p in inspect.signature(type(self).__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
        return {name: getattr(self, name) for name in names}

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Choose the training cases.

        Args:
            published: training cases as they were published.
            clean: the same cases, unprotected.
            seed: the victim's seed.

        Returns:
            Cases to train on; a mixture may hold clean ones.
        """
        return published

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:  # noqa: B027 - most learn nothing
        """Learn from the selected training cases, before :meth:`image` is called.

        Args:
            published: the selected training cases, images in physical units.
            seed: the victim's seed.
            device: where to compute.
        """

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Change one image, published or clean.

        Args:
            image: ``(C, *spatial)`` float32 in physical units.
            full_scale: of the image in the same units, 255 for 8-bit pictures.

        Returns:
            ``(C, *spatial)``, or ``(C, *round(scale * spatial))``.
        """
        return image

    def label(self, label: Tensor) -> Tensor:
        """Bring a training label ``(*spatial)`` to the grid of :meth:`image`."""
        return label

    @property
    def normalise(self) -> Callable[[Tensor], tuple[Tensor, float]] | None:
        """Replaces the z-score of the image: gives the new image and the factor by which it was scaled."""
        return None

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Change a training batch.

        Args:
            image: ``(B, C, *spatial)`` float32, normalised.
            label: ``(B, 1, *spatial)`` int64, or ``(B, classes, *spatial)`` float32 shares once something mixed cases.
            moment: randomness, scale and the victim's loss.

        Returns:
            New image and label of the same spatial shape.
        """
        return image, label

    def stop(self, validation: Sequence[float]) -> bool:
        """Say whether to end the training, from the DSC on clean validation cases of all checkpoints so far."""
        return False


class Chain(Countermeasure):
    """Several countermeasures, one after the other; without any, a thief who just trains.

    Args:
        parts: in the order in which they are applied.
    """

    name = "chain"

    def __init__(self, parts: Sequence[Countermeasure] = ()) -> None:
        self.parts = tuple(parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts)) or NONE

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Product of the parts' scales."""
        product = 1.0
        for part in self.parts:
            product *= part.scale
        return product

    @property
    def cost(self) -> float:  # type: ignore[override]
        """Product of the parts' costs."""
        product = 1.0
        for part in self.parts:
            product *= part.cost
        return product

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Whether any part is."""
        return any(part.seeded for part in self.parts)

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Let every part choose from what the one before left."""
        for part in self.parts:
            published = part.select(published, clean, seed)
        return published

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:
        """Fit every part on the cases as the parts before it leave them."""
        learning = [number for number, part in enumerate(self.parts) if type(part).fit is not Countermeasure.fit]
        for number in range(max(learning, default=-1) + 1):
            self.parts[number].fit(published, seed, device)
            if number < learning[-1]:
                published = published.map(self.parts[number].image, self.parts[number].label)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Apply every part in turn."""
        for part in self.parts:
            image = part.image(image, full_scale)
        return image

    def label(self, label: Tensor) -> Tensor:
        """Apply every part in turn."""
        for part in self.parts:
            label = part.label(label)
        return label

    @property
    def normalise(self) -> Callable[[Tensor], tuple[Tensor, float]] | None:
        """The last one that a part asks for."""
        found = [part.normalise for part in self.parts if part.normalise is not None]
        return found[-1] if found else None

    def batch(self, image: Tensor, label: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Apply every part in turn."""
        for part in self.parts:
            image, label = part.batch(image, label, moment)
        return image, label

    def stop(self, validation: Sequence[float]) -> bool:
        """End when any part says so."""
        return any(part.stop(validation) for part in self.parts)


def make_countermeasure(name: str, options: dict[str, Any] | None = None) -> Countermeasure:
    """Make one countermeasure by its registered name.

    Args:
        name: a name in ``umed.registry.COUNTERMEASURES``.
        options: its keyword-only options.

    Returns:
        The countermeasure.

    Raises:
        ConfigError: when the name or an option is unknown, or a value is out of range.
    """
    cls = resolve("countermeasure", name)
    known = [p.name for p in inspect.signature(cls.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    check_options(name, options or {}, known, kind="countermeasure")
    made: Countermeasure = cls(**(options or {}))
    return made
