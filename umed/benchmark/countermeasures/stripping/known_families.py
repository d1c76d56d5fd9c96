# SPDX-License-Identifier: Apache-2.0
"""What is public of a code: where in the spectrum it may lie, and which channels may be opposite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from umed.benchmark.countermeasures.stripping.zones import Floats
from umed.networks.secret_carriers import CarrierFamily

LONGEST = 16.0
"""Pixels: no code has a longer period, as nature is too loud there."""
SLACK = 0.02
"""Cycles a pixel by which a peak may lie beside the band of its family."""
SURE = 6.0
"""Nats by which a peak must exceed the largest that white noise has."""


def loudest(bins: float, channels: int) -> float:
    """Power that the peak of white noise hardly reaches, of ``channels`` channels of mean power 1 each."""
    return channels + (math.log(bins) + SURE) * (1 + 0.25 * (channels - 1))


def may_be(frequencies: Floats, families: Sequence[CarrierFamily] = ()) -> NDArray[np.bool_]:
    """Whether a frequency ``(..., dims)`` is one that codes have: of some families, or of any.

    The secret period is off by up to the band of its family, a drift moves it by another third, and cells blur it.
    """
    length = np.sqrt(np.square(frequencies).sum(-1))
    if not families:
        return np.asarray(length >= 1 / LONGEST)
    corner = np.sqrt(np.square(np.abs(frequencies) - 0.5).sum(-1))
    found = np.zeros(length.shape, bool)
    for family in families:
        off, blur = family.band / 100 + (0.3 if family.drift else 0.0), 1 / family.cells if family.cells else 0.0
        period = family.period / math.sqrt(frequencies.shape[-1]) if family.kind == "plaid" else family.period
        low, high = 1 / (period * (1 + off)) - blur - SLACK, 1 / (period * (1 - off)) + blur + SLACK
        distance = corner if family.kind == "corner" else length
        found |= (distance >= low) & (distance <= high)
    return found


def signs_of(families: Sequence[CarrierFamily], channels: int) -> Floats | None:
    """Signs of the channels ``(P, C)`` that a code may have, up to its own sign; ``None`` where nothing is known."""
    if not families:
        return None
    opposite = np.where(np.arange(channels) % 2 == 1, -1.0, 1.0)
    return np.unique([opposite if family.colour else np.ones(channels) for family in families], axis=0)
