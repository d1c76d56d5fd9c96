# SPDX-License-Identifier: Apache-2.0
"""A fixed pattern, the same for every case: the control that shows how far the simplest shortcut goes."""

from __future__ import annotations

from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from umed.core.types import Regions
from umed.methods.base import Method


class Checkerboard(Method):
    """``(-1) ** (i + j + ...)`` over the indices of the full grid, the same in all channels.

    >>> Checkerboard()
    Checkerboard()
    """

    name: ClassVar[str] = "checkerboard"

    def shared_code(self) -> str:
        """Everybody knows it."""
        return "checkerboard is one fixed pattern that everybody can subtract: a control, not for a release"

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Make the pattern, in phase with the full grid wherever the crop lies."""
        spans = zip(regions.origin, image.shape[1:], strict=True)
        signs = [1 - 2 * (np.arange(start, start + size) % 2).astype(np.float32) for start, size in spans]
        return torch.from_numpy(reduce(np.multiply.outer, signs)).expand(image.shape)
