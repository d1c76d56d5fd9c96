# SPDX-License-Identifier: Apache-2.0
"""What the values of one channel of a case look like, from which its range follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.types import Encoding, Volume

AIR = -500.0
"""Whole numbers below it look like Hounsfield units; air has -1000."""
_SAMPLE = 1 << 13
_SHARES = np.arange(0, 101, 5)


@dataclass(frozen=True)
class ChannelValues:
    """Physical values of one channel.

    Args:
        integer: whether whole numbers are stored.
        least: smallest value; of floats the smallest of a sample.
        most: largest one.
        low: percentile 0.5 of a sample.
        high: percentile 99.5.
        foreground: median inside the label, ``None`` where nothing is labelled.
        inside: every twentieth percentile inside the label, of a sample; empty where nothing is labelled.
        ends: smallest and largest value that the type can hold, ``None`` for floats.
        rounded: whether they are floats, all of them whole numbers, as programs write what was stored as integers.
    """

    integer: bool
    least: float
    most: float
    low: float
    high: float
    foreground: float | None = None
    inside: tuple[float, ...] = ()
    ends: tuple[float, float] | None = None
    rounded: bool = False

    @property
    def whole(self) -> float | None:
        """Width of all that the type can hold, ``None`` for floats."""
        return None if self.ends is None else self.ends[1] - self.ends[0]

    @property
    def hounsfield(self) -> bool:
        """Whether these look like Hounsfield units: whole numbers, some of them about air."""
        return (self.integer or self.rounded) and self.least < AIR

    def share_within(self, low: float, high: float) -> float:
        """About how much of what is labelled lies in a range, not at its ends; 1 where nothing is labelled."""
        if not self.inside:
            return 1.0
        values = np.asarray(self.inside)
        fine = np.interp(np.linspace(0, len(values) - 1, 401), np.arange(len(values)), values)
        return float(((fine > low) & (fine < high)).mean())


def channel_values(volume: Volume, labels: NDArray[Any] | None) -> tuple[ChannelValues, ...]:
    """Describe each channel of a file.

    Args:
        volume: the file.
        labels: class of each voxel, shape of its grid; ``None`` to leave the labelled values out.

    Returns:
        One record a channel; all 0 for a channel without a finite value.
    """
    marked = None if labels is None else (labels > 0).T  # turned: NIfTI is walked along memory
    return tuple(_describe(channel, marked, volume.encoding) for channel in volume.channels)


def _describe(channel: NDArray[Any], marked: NDArray[np.bool_] | None, code: Encoding) -> ChannelValues:
    sample = _thin(channel.ravel(order="K"))
    if not sample.size:
        return ChannelValues(code.is_integer, 0.0, 0.0, 0.0, 0.0)
    ends = channel if code.is_integer else sample  # a whole pass without a copy only where nothing can be NaN
    low, high = np.percentile(sample, (0.5, 99.5), method="nearest")
    least, most, low, high = (float(value) * code.slope + code.inter for value in (ends.min(), ends.max(), low, high))
    if code.slope < 0:
        least, most, low, high = most, least, high, low
    foreground, inside = None, tuple[float, ...]()
    if marked is not None:
        values = channel.T[marked]
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if values.size:
            foreground = float(np.median(values)) * code.slope + code.inter
            shares = np.percentile(_thin(values), _SHARES, method="nearest") * code.slope + code.inter
            inside = tuple(float(value) for value in shares)
    limits = sorted(end * code.slope + code.inter for end in code.stored_limits)
    scale = (limits[0], limits[1]) if code.is_integer else None
    rounded = not code.is_integer and bool((np.rint(sample) == sample).all())
    return ChannelValues(code.is_integer, least, most, low, high, foreground, inside, scale, rounded)


def _thin(values: NDArray[Any]) -> NDArray[Any]:
    """Every n-th finite value, some thousands."""
    some = values[:: -(-values.size // _SAMPLE) | 1]  # an odd stride does not stay in one column of the grid
    return some[np.isfinite(some)] if some.dtype.kind == "f" else some
