# SPDX-License-Identifier: Apache-2.0
"""The range of one file: from its name in the plan to physical values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from umed.core.errors import BudgetError, ConfigError
from umed.core.ranges import CT_WINDOWS, Ranges, is_each, range_of_each
from umed.core.types import Volume

_SAMPLE = 1 << 22


def resolve_range(
    volume: Volume, value_range: str | Sequence[float], percentiles: tuple[float, float] = (0.5, 99.5)
) -> tuple[float, float]:
    """Physical values (lo, hi) of a file's range.

    Args:
        volume: the file.
        value_range: ``"dtype"`` (all that the file can hold), ``"percentile"``, ``"ct:WINDOW"``, ``[lo, hi]``, or
            ``"auto"``: dtype for 8-bit pictures, else percentile.
        percentiles: for ``"percentile"``; NaN and infinity do not count. Of more than four million voxels every
            n-th is used.

    Returns:
        lo and hi, lo < hi.

    Raises:
        ConfigError: if the range is unknown or not ascending.
        BudgetError: if the file has no spread in this range.
    """
    where, encoding = volume.source, volume.encoding
    if value_range == "auto":
        value_range = "dtype" if volume.unit == "px" and np.dtype(encoding.dtype) == np.uint8 else "percentile"
    if isinstance(value_range, str) and value_range.startswith("ct:"):
        if value_range[3:] not in CT_WINDOWS:
            raise ConfigError(f"range: expected ct: and one of {', '.join(CT_WINDOWS)}, got {value_range!r}.")
        return CT_WINDOWS[value_range[3:]]
    if value_range == "dtype":
        if not encoding.is_integer:
            raise BudgetError(
                f"{where}: expected integers for range=dtype, got {encoding.dtype}. Use range=percentile or [lo, hi]."
            )
        ends = encoding.stored_limits
    elif value_range == "percentile":
        ends = _percentiles(volume, percentiles)
        if not ends[0] < ends[1]:
            raise BudgetError(
                f"{where}: expected values that differ, got percentiles {percentiles} both at {ends[0]:g}. "
                "Set range to [lo, hi] or widen percentiles."
            )
    elif not isinstance(value_range, str) and len(value_range) == 2:
        low, high = float(value_range[0]), float(value_range[1])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"range: expected [lo, hi] with lo < hi, got {list(value_range)}.")
        return low, high
    else:
        raise ConfigError(f"range: expected auto, dtype, percentile, ct:WINDOW or [lo, hi], got {value_range!r}.")
    first, last = (end * encoding.slope + encoding.inter for end in ends)
    return min(first, last), max(first, last)


def file_ranges(volumes: Sequence[Volume], ranges: Ranges) -> list[Ranges]:
    """The part of a plan's ranges that is each file's.

    Args:
        volumes: image files of a case.
        ranges: of the plan, one for all channels, or one for each channel of the case.

    Returns:
        One a file; a list only for a file of several channels.

    Raises:
        ConfigError: when there are ranges for another number of channels.
    """
    if not is_each(ranges):
        return [ranges] * len(volumes)
    counts = [len(volume.channels) for volume in volumes]
    each = iter(range_of_each(ranges, sum(counts), str(volumes[0].source)))  # type: ignore[arg-type]
    own = [tuple(next(each) for _ in range(count)) for count in counts]
    return [one if len(one) > 1 else one[0] for one in own]


def _percentiles(volume: Volume, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Stored values at two percentiles of all finite values."""
    if not (len(percentiles) == 2 and 0 <= percentiles[0] < percentiles[1] <= 100):
        raise ConfigError(f"percentiles: expected two ascending numbers in [0, 100], got {percentiles}.")
    values = volume.channels.ravel(order="K")
    values = values[:: -(-values.size // _SAMPLE) | 1]  # an odd stride does not stay in one column of the grid
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        raise BudgetError(f"{volume.source}: expected finite values, got none. Remove or repair the file.")
    low, high = np.percentile(values, percentiles, method="nearest")
    return float(low), float(high)
