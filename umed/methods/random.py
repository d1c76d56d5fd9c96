# SPDX-License-Identifier: Apache-2.0
"""Noise in the same support and budget: the control that shows what the bound alone does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from umed.core.types import Regions
from umed.methods.base import Method
from umed.methods.options import choice


@dataclass(kw_only=True, eq=False, repr=False)
class Random(Method):
    """Independent noise on each voxel and channel.

    Args:
        distribution: ``"uniform"`` in [-1, 1], ``"gaussian"`` (deviation 1/2, clipped), or ``"sign"`` (-1 or 1).

    Raises:
        ConfigError: when the distribution is unknown.

    >>> Random(distribution="sign")
    Random(distribution='sign')
    """

    name: ClassVar[str] = "random"
    distribution: str = choice("uniform", ("uniform", "gaussian", "sign"))

    def shared_code(self) -> str:
        """Nothing is learnt from noise."""
        return "random is noise that no network learns, so it protects nothing: a control, not for a release"

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Draw noise of the image's shape; the image itself plays no part."""
        shape = tuple(image.shape)
        if self.distribution == "uniform":
            noise = rng.random(shape, dtype=np.float32) * 2 - 1
        elif self.distribution == "gaussian":
            noise = np.clip(rng.standard_normal(shape, dtype=np.float32) / 2, -1, 1)
        else:
            noise = rng.integers(0, 2, shape).astype(np.float32) * 2 - 1
        return torch.from_numpy(noise)
