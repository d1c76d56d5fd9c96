# SPDX-License-Identifier: Apache-2.0
"""Whether the values of a case fit the range that its data set has.

A bound that is small for the others may be more than all that a case holds. Percentiles are each file's own and fit.

Refused are, of a channel with a window or the full scale of its type: values that together span less than a sixteenth
of it (0 to 1 among Hounsfield units, or among 0 to 255); values of which less than 0.5 % reach it; floats where whole
numbers use the full scale; and where the plan took the channel for CT and the others go below 0, values that do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from umed.core.errors import InputError
from umed.core.ranges import CT_WINDOWS, Range, Ranges, range_of_each, range_words
from umed.core.types import Volume
from umed.plan.channel_values import ChannelValues, channel_values
from umed.plan.file_range import file_ranges

LEAST_SPREAD = 1 / 16
"""Share of a range that a case's values must span: at 4/255 the bound is then a quarter of all that they hold."""
BELOW_WATER = -100.0
"""Where others go below it, they hold fat or air; a CT without a value below 0 then has lost its intercept or scale."""
Seen = Sequence[tuple[float, float] | None]
"""Typical smallest and largest value of each channel in the cases that a plan was made from."""


def misfit(values: ChannelValues, own: Range, seen: tuple[float, float] | None = None) -> str:
    """Why a channel of a case does not fit the range of its data set.

    Args:
        values: of the channel.
        own: its range.
        seen: what the others have, where the plan chose the range.

    Returns:
        What was seen and what the others have; empty where it fits.
    """
    if isinstance(own, str) and own != "dtype":
        return ""
    got = f"got {'values' if values.integer else 'floats'} from {values.least:.6g} to {values.most:.6g}"
    others = "" if seen is None else f", where the other cases reach from {seen[0]:.6g} to {seen[1]:.6g}"
    if isinstance(own, str):
        if values.whole is None:
            return f"expected whole numbers, whose type says what full scale is, {got}{others}"
        low, width, name = None, values.whole, f"the full scale of their type, which is {values.whole:g} wide"
    else:
        low, width, name = own[0], own[1] - own[0], f"the range {range_words(own)}"
    if values.most - values.least < LEAST_SPREAD * width:
        return f"expected values that fill {name}, {got}{others}"
    if low is not None and (values.high < low or values.low > low + width):
        return f"expected values that meet {name}, {got}, less than 0.5 % of them in it{others}"
    if seen is not None and low is not None and seen[0] < BELOW_WATER and values.least >= 0:
        return f"expected Hounsfield units for {name}, {got}, none below 0{others}"
    return ""


def misfit_of_case(values: Sequence[ChannelValues], each: Sequence[Range], seen: Seen) -> str:
    """:func:`misfit` of the first channel that does not fit, with its number where there are several.

    Args:
        values: of each channel.
        each: range of each.
        seen: from the plan; empty where it has none.
    """
    for number, (one, own) in enumerate(zip(values, each, strict=False)):
        text = misfit(one, own, seen[number] if number < len(seen) else None)
        if text:
            return f"channel {number}: {text}" if len(each) > 1 else text
    return ""


def check_fit(volumes: Sequence[Volume], ranges: Ranges, seen: Seen) -> None:
    """Refuse a case whose values do not fit the ranges of its data set.

    Args:
        volumes: its image files.
        ranges: of the plan.
        seen: from the plan.

    Raises:
        InputError: when a channel does not fit; it says what was seen and what the others have.
        ConfigError: when there are ranges for another number of channels.
    """
    done = 0
    for volume, own in zip(volumes, file_ranges(volumes, ranges), strict=True):
        count = len(volume.channels)
        window = CT_WINDOWS[own[3:]] if isinstance(own, str) and own.startswith("ct:") else own
        each = range_of_each(window, count, str(volume.source))
        if any(not isinstance(one, str) or one == "dtype" for one in each):
            text = misfit_of_case(channel_values(volume, None), each, seen[done : done + count])
            if text:
                raise InputError(
                    f"{volume.source}: {text}. Rescale it as the others are, leave it out, or protect it apart from "
                    "them; --range percentile takes each file's own percentiles."
                )
        done += count
