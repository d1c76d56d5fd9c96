# SPDX-License-Identifier: Apache-2.0
"""From an estimate of a code to what is taken off: a code uses its bound to the full, and that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature, filtered, padded_shape
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, high_pass

GAINS = (1.5, 3.0, 8.0)
"""Slopes of the tanh that are tried: umed squashes its perturbations by one, so that they are near the bound."""

AROUND = 4.0
"""Sigma in pixels of the surroundings that say how loud texture is at a place."""
WEAKEST = 0.1
"""Least local power that is believed, of nature's mean."""


class Likelihood:
    """How far an image's ROI is from nature's texture: mean square of the whitened, high-passed image inside.

    Texture is louder in some places than in others, so every pixel counts by the inverse of the power around it.

    Args:
        zone: the case.
        nature: its spectrum.
    """

    def __init__(self, zone: Zone, nature: Nature) -> None:
        self.zone = zone
        self._response = nature.root(padded_shape(zone), -0.5)
        self.published = self.white(zone.image)
        """Whitened published image, ``(C, *zone)``."""
        self.weights = 1 / np.maximum(local_mean(np.square(self.published).mean(0), zone.inside), WEAKEST)
        """Inverse of the local power, ``(*zone)``."""

    def white(self, field: Floats) -> Floats:
        """High-pass and whiten ``(C, *zone)``."""
        return filtered(high_pass(field), self._response)

    def strangeness(self, code: Floats) -> Floats:
        """Of each pixel of the image without a code, ``(*zone)``; 1 is nature's mean."""
        left: Floats = np.square(self.published - self.white(code)).mean(0) * self.weights
        return left


def local_mean(field: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Mean of ``(*zone)`` around each pixel, over a mask."""
    weight = gaussian_filter(mask.astype(np.float64), AROUND)
    mean: Floats = gaussian_filter(field * mask, AROUND) / np.maximum(weight, 1e-3)
    return mean


def parts_of(zone: Zone) -> dict[int, NDArray[np.bool_]]:
    """Where each class may carry a code of its own; 0 is the band outside the labels."""
    masks = {int(value): zone.inside & (zone.labels == value) for value in np.unique(zone.labels[zone.inside])}
    return dict(sorted(masks.items(), reverse=True))


def shape_code(estimate: Floats, likelihood: Likelihood) -> Floats:
    """Choose between an estimate, the same pushed towards the bound, and nothing, by which leaves most natural texture.

    Every class and the band outside choose on their own, since their codes may be of another strength.

    Args:
        estimate: ``(C, *zone)`` in units of the bound.
        likelihood: of the case.

    Returns:
        The code, in [-1, 1], 0 outside the support.
    """
    zone = likelihood.zone
    nothing, half = np.zeros_like(estimate), np.tanh(GAINS[-1] * estimate) / 2
    tried = [nothing, np.clip(estimate, -1, 1), half, *(np.tanh(gain * estimate) for gain in GAINS)]
    best = nothing
    for mask in parts_of(zone).values():
        options = [np.where(mask, one, best) for one in tried]
        around = binary_dilation(mask, iterations=2) & zone.inside
        best = min(options, key=lambda code: float(likelihood.strangeness(code)[around].sum()))
    return best
