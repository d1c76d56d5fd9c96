# SPDX-License-Identifier: Apache-2.0
"""What counts as a control that has learnt: without one, a low DSC on protected images says nothing about them."""

from __future__ import annotations

import math

LEARNT = 0.7
"""Share of the best control of the same data that a control must reach."""
LEAST_DSC = 0.5
"""DSC that a control must reach whatever the others do: where all of them fail, the best of them is no measure."""
ABOVE_CHANCE = 0.05
"""DSC that a control must lie above a picture of one class, which large lesions make a good guess."""


def least_dsc(best: float = math.nan, chance: float = math.nan) -> float:
    """The DSC that a control must reach.

    Args:
        best: that of the best control of the same data; NaN where it is not known.
        chance: that of the best picture of one class (the whole picture called lesion); NaN where it is not known.

    >>> least_dsc(0.6), round(least_dsc(0.9), 2), round(least_dsc(0.9, 0.7), 2), least_dsc()
    (0.5, 0.63, 0.75, 0.5)
    """
    floors = (LEAST_DSC, LEARNT * best, chance + ABOVE_CHANCE)
    return max(floor for floor in floors if not math.isnan(floor))


def has_learnt(dsc: float, best: float = math.nan, chance: float = math.nan) -> bool:
    """Whether a control reaches :func:`least_dsc`; NaN never does."""
    return dsc >= least_dsc(best, chance)


def no_verdict(dsc: float, floor: float) -> str:
    """The sentence where it does not.

    >>> no_verdict(0.087, 0.5)
    'no verdict: the control learnt nothing (DSC 8.7 %; floor 50.0 %)'
    """
    reached = "none" if math.isnan(dsc) else f"{100 * dsc:.1f} %"
    return f"no verdict: the control learnt nothing (DSC {reached}; floor {100 * floor:.1f} %)"
