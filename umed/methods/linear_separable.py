# SPDX-License-Identifier: Apache-2.0
"""LSP: blocks of constant noise that a linear classifier can tell apart; nothing is trained.

Reference: Yu et al., "Availability Attacks Create Shortcuts", https://arxiv.org/abs/2111.00898. For segmentation the
two classes are inside and outside of the ROI, as the UMed paper (https://arxiv.org/abs/2403.14250) has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.core.config import require
from umed.core.errors import ConfigError
from umed.core.types import Regions
from umed.methods.base import Method
from umed.methods.options import choice

CLASSES = ("roi", "label")


@dataclass(kw_only=True, eq=False, repr=False)
class LinearSeparable(Method):
    r"""Each class has a point on a hypercube; its coordinates are the grey values of blocks of pixels.

    Points of class k are drawn from :math:`N(s\, v_k, 1)` with a random vertex :math:`v_k \in \{-1, 1\}^n` and
    separation ``s`` (the paper takes them from ``make_classification`` with one cluster a class and ``class_sep`` 10),
    reshaped to a grid of blocks, each value repeated over a block, and scaled to the bound. The paper scales to an L2
    norm of 1; here it is the L-infinity bound that all methods share. The vertex is the same for all cases of a
    release, follows from its secret, and repeats every ``period`` blocks, so that images of any size can be covered.

    Args:
        patch: edge of a block in pixels; the paper takes 8 and 32 (for 32 and 224 px).
        separation: ``s``; the larger, the less cases differ.
        period: blocks along each axis after which the pattern repeats.
        classes: ``"roi"`` for inside and outside, ``"label"`` for one pattern a label.
        seed: tells vertices of one secret apart; decides nothing by itself.

    Raises:
        ConfigError: when a value is out of range.
    """

    name: ClassVar[str] = "linear_separable"
    patch: int = 8
    separation: float = 10.0
    period: int = 8
    classes: str = choice("roi", CLASSES)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.patch, self.period) < 1:
            got = f"{self.patch} and {self.period}"
            raise ConfigError(f"method_options: expected patch and period of at least 1, got {got}.")
        require(self.separation > 0, "method_options.separation", "a positive number", self.separation)

    def vertex(self, label: int, channels: int, dims: int) -> NDArray[np.float32]:
        """The class centre ``v_k``: -1 and 1, shape ``(C, period, ...)``.

        Raises:
            InputError: without a secret.
        """
        names = (str(number) for number in (self.seed, label, channels, dims))
        rng = self.require_secret().draw("release", self.name, *names)
        return rng.choice(np.array([-1, 1], np.float32), size=(channels, *[self.period] * dims))

    def shared_code(self) -> str:
        """One pattern a class, for all cases."""
        return "linear_separable has one secret pattern a class for all cases, which averaging over them may find"

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Draw one point a class, and lay it out in blocks, in phase with the grid of the file."""
        channels, dims = image.shape[0], image.ndim - 1
        labels = regions.labels if self.classes == "label" else (regions.labels > 0).astype(np.int16)
        spans = zip(regions.origin, labels.shape, strict=True)
        block = [(np.arange(start, start + size) // self.patch) % self.period for start, size in spans]
        out = np.zeros(image.shape, np.float32)
        for label in range(int(labels.max(initial=0)) + 1):
            centre = self.separation * self.vertex(label, channels, dims)
            point = centre + rng.standard_normal(centre.shape, dtype=np.float32)
            laid = point[np.ix_(np.arange(channels), *block)]
            out = np.where(labels == label, laid / np.abs(point).max(), out)
        return torch.from_numpy(out)
