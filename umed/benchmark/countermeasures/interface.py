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
import math
from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from umed.benchmark.results.cells import NONE, label
from umed.benchmark.victims.case_tensors import Samples
from umed.core.config import parse_number, require
from umed.core.registry import check_options, resolve

Loss = Callable[[Tensor, Tensor], Tensor]
Predict = Callable[[Tensor], Tensor]
Normalise = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Moment:
    """What a countermeasure may use while a batch is made.

    Args:
        generator: source of randomness, on the CPU.
        scale: full scale (255 for 8-bit pictures) in the units of the normalised batch, ``(B, C, 1, ...)`` float32.
        loss: the victim's present training loss for an image and a label batch, each case alone: ``(B,)``. Gradients
            pass to the image; it neither changes weights nor running statistics.
        predict: the victim's present answer for an image batch, ``(B, 1, *spatial)`` int64 classes, without gradient
            and without a change of the victim.
        progress: share of the training that is done, in [0, 1).
        classes: of the data, background included.
    """

    generator: torch.Generator
    scale: Tensor
    loss: Loss
    predict: Predict
    progress: float
    classes: int


class Countermeasure(ABC):
    """One thing that a thief tries. Options are keyword-only; a subclass overrides what it needs.

    Every default does nothing, so that :class:`Chain` can put several one after the other.
    """

    name: ClassVar[str]
    strength: ClassVar[str] = ""
    """The option to sweep, which a label always shows; others are shown where they are not the default."""
    scale: float = 1.0
    """New size over old size, where :meth:`image` changes the grid, so that the victim's crops can follow."""
    augments: bool = False
    """Whether :meth:`batch` applies nnU-Net's augmentation, which the victim's own training then leaves out."""
    later: ClassVar[dict[str, Any]] = {}
    """Options that came later, at the value that they had before: cells that were made then keep their names."""
    cost: float = 1.0
    """About how many times as long a training step takes, for estimates."""

    @property
    def seeded(self) -> bool:
        """Whether cases are prepared anew for each of the victim's seeds, since :meth:`select` or :meth:`fit` do."""
        cls = type(self)
        return cls.select is not Countermeasure.select or cls.fit is not Countermeasure.fit

    def __repr__(self) -> str:
        same = type(self)().options()
        shown = {k: v for k, v in self.options().items() if k == self.strength or v != same.get(k)}
        return label(self.name, shown)

    def options(self) -> dict[str, Any]:
        """The keyword-only options with their values, as :func:`make_countermeasure` and JSON take them."""
        return {name: getattr(self, name) for name in _defaults(type(self))}

    def settings(self) -> dict[str, Any]:
        """What of the options decides a cell."""
        return {name: v for name, v in self.options().items() if name not in self.later or v != self.later[name]}

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
            ``(C, *spatial)``, or ``(C, *round(scale * spatial))``, halves rounded up.
        """
        return image

    def label(self, label: Tensor) -> Tensor:
        """Bring a training label ``(*spatial)`` to the grid of :meth:`image`."""
        return label

    @property
    def normalise(self) -> Normalise | None:
        """Replaces the z-score: gives the new image and the factor ``(C, 1, ...)`` by which each channel was scaled."""
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


class Nothing(Countermeasure):
    """A thief who just trains: every default as it is."""

    name = NONE


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
        return math.prod((part.scale for part in self.parts), start=1.0)

    @property
    def cost(self) -> float:  # type: ignore[override]
        """Product of the parts' costs."""
        return math.prod((part.cost for part in self.parts), start=1.0)

    @property
    def augments(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.augments for part in self.parts)

    @property
    def seeded(self) -> bool:
        """Whether any part is."""
        return any(part.seeded for part in self.parts)

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Let every part choose from what the one before left."""
        for part in self.parts:
            published = part.select(published, clean, seed)
        return published

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:
        """Fit every part on the cases as the parts before it leave them; no image is changed after the last learner."""
        learners = [k for k, part in enumerate(self.parts) if type(part).fit is not Countermeasure.fit]
        for k, part in enumerate(self.parts[: learners[-1] + 1] if learners else ()):
            part.fit(published, seed, device)
            if k < learners[-1]:
                published = published.map(part.image, part.label)

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
    def normalise(self) -> Normalise | None:
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
        name: a name in ``umed.core.registry.COUNTERMEASURES``.
        options: its keyword-only options.

    Returns:
        The countermeasure.

    Raises:
        ConfigError: when the name or an option is unknown, or a value is out of range.
    """
    cls = resolve("countermeasure", name)
    check_options(name, options or {}, list(_defaults(cls)), kind="countermeasure")
    made: Countermeasure = cls(**(options or {}))
    return made


def number(where: str, value: object, low: float, high: float, *, above: bool = False) -> float:
    """Check an option that is a number, or text such as ``"4/255"``.

    Args:
        where: option with its countermeasure, ``"blur.sigma"``.
        value: what was given.
        low: smallest value allowed.
        high: largest value allowed, maybe infinite.
        above: whether ``low`` itself is not allowed.

    Returns:
        The number.

    Raises:
        ConfigError: when it is no number or outside.
    """
    found = parse_number(value, where)
    inside = (low < found if above else low <= found) and found <= high and math.isfinite(found)
    start = f"above {low:g}" if above else f"of at least {low:g}"
    require(inside, where, f"a number {start}" + (f" and at most {high:g}" if math.isfinite(high) else ""), value)
    return found


def whole(where: str, value: object, low: int, high: int | None = None) -> int:
    """Check an option that is a whole number.

    Args:
        where: option with its countermeasure, ``"jpeg.quality"``.
        value: what was given.
        low: smallest value allowed.
        high: largest value allowed, ``None`` for any.

    Returns:
        The number.

    Raises:
        ConfigError: when it is no whole number or outside.
    """
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    inside = isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
    require(inside, where, f"a whole number {limits}", value)
    assert isinstance(value, int)
    return value


def pair(where: str, value: object, low: float, high: float) -> tuple[float, float]:
    """Check an option that is a range of two numbers, the smaller one first.

    Args:
        where: option with its countermeasure, ``"gamma_contrast.gamma"``.
        value: what was given.
        low: smallest value allowed.
        high: largest value allowed.

    Returns:
        Both numbers.

    Raises:
        ConfigError: when there are not two, or one is outside, or they are the wrong way round.
    """
    two = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    require(two, where, "two numbers", value)
    assert isinstance(value, Sequence)
    first, second = number(where, value[0], low, high), number(where, value[1], low, high)
    require(first <= second, where, "the smaller number first", value)
    return first, second


def _defaults(cls: type[Countermeasure]) -> dict[str, Any]:
    """The keyword-only options of a class with their default values."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
