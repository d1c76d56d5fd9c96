# SPDX-License-Identifier: Apache-2.0
"""UMed: contour- and texture-aware perturbations, trained bilevel against surrogates.

Reference: Lin et al., "Safeguarding Medical Image Segmentation Datasets against Unauthorized Training via Contour- and
Texture-Aware Perturbations", https://arxiv.org/abs/2403.14250. The perturbation itself is
:class:`umed.networks.perturber.UMedPerturber`, the loop :class:`umed.training.bilevel.BilevelTrainer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from umed.core.types import Regions
from umed.methods.generators import GeneratorMethod
from umed.methods.half_codes import half_of, slices_along
from umed.methods.options import listed
from umed.networks.perturber import UMedPerturber
from umed.networks.secret_carriers import is_secret


@dataclass(kw_only=True, eq=False, repr=False)
class UMed(GeneratorMethod):
    """Contour and texture generators that modulate structured carriers inside the ROI and its dilated contour.

    Args:
        carriers: see :func:`umed.networks.carriers.draw_carriers`; class ``k`` starts with carrier ``k - 1``, cyclic.
        widths: width of each level of both generators.
        theta: share of the central difference in the contour generator, in [0, 1].
        amplitude_floor: amplitude in perfectly flat regions, in (0, 1].
        gain: slope of the tanh that bounds the perturbation.
        outside: amplitude that the band outside the ROI starts with, in [0, 1); with 0 the band is left alone for good.
        smoothing: share of the budget that takes fine texture out of the ROI, in [0, 1).
        half: the code covers one half of each object, at a secret angle: see :mod:`umed.methods.half_codes`.
        window: largest edge in voxels of what the generators see of a volume at once, at least 16; sets the memory.

    Raises:
        ConfigError: when the window is too small.
    """

    name: ClassVar[str] = "umed"
    file: ClassVar[str] = "umed.pt"
    carriers: Sequence[str] = listed(["corner16"])
    widths: Sequence[int] = listed([8, 16, 32])
    theta: float = 0.7
    amplitude_floor: float = 0.9
    gain: float = 2.5
    outside: float = 0.5
    smoothing: float = 0.0
    half: bool = False
    window: int = 48

    def shared_code(self) -> str:
        """Only secret carriers make a code of its own for each case."""
        fixed = [name for name in self.carriers if name != "auto" and not is_secret(name)]
        return (
            f"carriers {fixed} are fixed patterns that everybody can subtract: a control, not for a release"
            if fixed
            else ""
        )

    @property
    def has_twins(self) -> bool:
        """Secret carriers are drawn from one family, and the generators that shape them see no code of a release."""
        return "auto" not in self.carriers and all(map(is_secret, self.carriers))

    def kept(self) -> tuple[str, ...]:
        """What generators bring along; which half is coded is none of their business."""
        return tuple(name for name in super().kept() if name != "half")

    def directions(self, image: Tensor, regions: Regions, rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Run the generators; of ``half`` codes one half is then taken away, drawn after the carriers."""
        found = super().directions(image, regions, rngs)
        if not self.half:
            return found
        axis = self.slices_of(image, regions)
        axis = slices_along(regions.shape) if axis is None else axis
        halves = [torch.from_numpy(half_of(regions.labels, rng, axis)) for rng in rngs]
        return [one * half for one, half in zip(found, halves, strict=True)]

    def build(self, spatial_dims: int, channels: int, classes: int, epsilon: float) -> UMedPerturber:
        """Untrained contour and texture generators."""
        options = {name: getattr(self, name) for name in self.kept()}
        return UMedPerturber(spatial_dims, channels, classes, epsilon=epsilon, **options)
