# SPDX-License-Identifier: Apache-2.0
"""A series slice by slice: what is read at once, in which encoding, and the range of its values.

Memory depends on a span of slices, never on the series. Every span sees enough neighbours for its regions to be those
of the whole series, so that protecting and verifying agree whatever the span.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import BudgetError, InputError, UmedError
from umed.core.ranges import CT_WINDOWS, is_each
from umed.core.types import Encoding
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader
from umed.plan.planning import Plan
from umed.plan.range_choice import ct_window

PIXELS_AT_ONCE = 1 << 23
"""Pixels of a span: 32 slices of 512 x 512."""
GRID = 8
"""3-D spans begin at multiples of it, in step with every carrier and with the generators' poolings."""
MOST_SLICES = 32
CONTEXT = 4
"""Slices beyond the reach of the dilation that a 3-D method may look at."""


@dataclass(frozen=True)
class Span:
    """Slices that are treated together.

    Args:
        seen: first slice that is read, and one past the last.
        kept: the part of it whose result counts.
        encoding: of the kept slices; others that are seen are expressed in it.
    """

    seen: tuple[int, int]
    kept: tuple[int, int]
    encoding: Encoding


def slice_encoding(series: Series, index: int) -> Encoding:
    """What the stored values of one slice mean.

    Args:
        series: image series.
        index: slice.

    Raises:
        InputError: when its pixels cannot be perturbed.
    """
    instance = series.instances[series.slices[index][0]]
    if instance.encoding is None:
        raise InputError(f"{series.id}: {instance.unprotectable or 'its pixels cannot be perturbed'}")
    return instance.encoding


def spans(series: Series, plan: Plan) -> Iterator[Span]:
    """Cut a series into spans; slices of different encodings (PET, some MR) never share one.

    Args:
        series: image series.
        plan: with ``spatial_dims`` 2 no span needs neighbours.

    Yields:
        Spans in slice order that together keep every slice once.
    """
    count = len(series.slices)
    first = series.instances[0]
    size = first.shape[1] * first.shape[2] * first.samples
    flat = plan.spatial_dims == 2
    most = min(MOST_SLICES, max(1, PIXELS_AT_ONCE // max(1, size)))
    step = most if flat else max(GRID, most // GRID * GRID)
    rim = 0 if flat else GRID * math.ceil((reach(series, plan) + CONTEXT) / GRID)
    for start in range(0, count, step):
        low, stop = start, min(start + step, count)
        while low < stop:
            encoding = slice_encoding(series, low)
            high = low + 1
            while high < stop and slice_encoding(series, high) == encoding:
                high += 1
            seen = low if flat else max(0, (low - rim) // GRID * GRID)
            yield Span((seen, min(high + rim, count)), (low, high), encoding)
            low = high


def reach(series: Series, plan: Plan) -> int:
    """Slices that the dilation of the plan reaches across, rounded up; 0 where it stays within a slice."""
    if plan.spatial_dims == 2:
        return 0
    step = spacing(series)[0] if plan.radius_unit == "mm" else 1.0
    return math.ceil(plan.radius / step - 1e-9)


def spacing(series: Series) -> tuple[float, float, float]:
    """Distance of slices, rows and columns; mm where the series has a geometry."""
    if series.geometry is not None:
        between, rows, columns = series.geometry.spacing
        return (between if between > 0 else 1.0, rows, columns)
    return (1.0, *series.spacing)


class Slices:
    """Decoded slices of a series; a few files are kept, since neighbouring spans share slices.

    A file that cannot be decoded does not stop the others: its slices are zeros and listed in :attr:`broken`.

    Args:
        series: image series.
        limits: bounds against hostile files.
    """

    def __init__(self, series: Series, limits: Limits) -> None:
        self.series, self.limits = series, limits
        self.broken: dict[int, str] = {}
        first = series.instances[0]
        self._size = first.shape[1] * first.shape[2] * first.samples
        self._kept: OrderedDict[int, tuple[NDArray[np.generic], NDArray[np.bool_] | None]] = OrderedDict()

    def read(self, start: int, stop: int) -> tuple[list[NDArray[np.generic]], NDArray[np.bool_]]:
        """Stored values of some slices.

        Args:
            start: first slice.
            stop: one past the last.

        Returns:
            One array ``(rows, columns[, 3])`` a slice, and where nothing may be changed (padding, broken files),
            ``(stop - start, rows, columns)``.
        """
        rows, columns = self.series.instances[0].shape[1:]
        found: list[NDArray[np.generic]] = []
        fixed = np.zeros((stop - start, rows, columns), bool)
        for place, (file, frame) in enumerate(self.series.slices[start:stop]):
            try:
                values, padding = self._decode(file)
            except UmedError as error:
                self.broken[file] = str(error)
                found.append(self._blank(file))
                fixed[place] = True
                continue
            found.append(values[frame])
            if padding is not None:
                fixed[place] = padding[frame]
        return found, fixed

    def _decode(self, file: int) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        if file in self.broken:
            raise InputError(self.broken[file])
        if file in self._kept:
            self._kept.move_to_end(file)
            return self._kept[file]
        instance = self.series.instances[file]
        dataset = reader.read(instance.path, self.limits, pixels=True)
        values = pixel_data.decode(dataset, self.limits)
        check_values(instance, values)
        self._kept[file] = values, pixel_data.untouchable(dataset, values)
        while len(self._kept) > 1 and sum(v.size for v, _ in self._kept.values()) > 2 * PIXELS_AT_ONCE:
            self._kept.popitem(last=False)
        return self._kept[file]

    def _blank(self, file: int) -> NDArray[np.generic]:
        instance = self.series.instances[file]
        colours = (instance.samples,) if instance.samples > 1 else ()
        dtype = instance.encoding.dtype if instance.encoding is not None else "<u2"
        return np.zeros((*instance.shape[1:], *colours), np.dtype(dtype))


def check_values(instance: Instance, values: NDArray[np.generic]) -> None:
    """Make sure that pixels are of the shape that the header told.

    Raises:
        InputError: when they are not.
    """
    colours = (instance.samples,) if instance.samples > 1 else ()
    expected = (*instance.shape, *colours)
    if values.shape != expected:
        raise InputError(f"{instance.name}: expected pixels of shape {expected}, got {values.shape}. Repair the file.")


def value_range(series: Series, plan: Plan, slices: Slices, mask: Mask) -> str | tuple[float, float]:
    """The range that all slices of a series share.

    Args:
        series: image series.
        plan: its range; ``"percentile"`` is worked out over every slice without its padding, exactly, by nearest rank;
            ``"auto"``, for folders of several modalities, is the CT window that suits the mask, else percentiles. No
            other modality than CT ever takes a window of CT by its name.
        slices: reader.
        mask: classes of the series.

    Returns:
        ``"dtype"``, or physical values (lo, hi).

    Raises:
        BudgetError: when there is nothing between the percentiles.
    """
    assert not is_each(plan.range)  # a plan of series has one for all
    if not isinstance(plan.range, str) or plan.range == "dtype":
        return plan.range  # type: ignore[return-value]
    if plan.range.startswith("ct:") and series.modality == "CT":
        return plan.range
    first = slice_encoding(series, 0)
    if plan.range == "auto" and series.modality == "CT":
        inside = masked_values(series, mask, slices)
        return CT_WINDOWS[ct_window(float(np.median(inside)) if inside.size else None)]
    if plan.range == "auto" and series.geometry is None and np.dtype(first.dtype) == np.uint8:
        return "dtype"
    found = percentiles(series, slices, plan.percentiles)
    if found is None:
        raise BudgetError(f"{series.id}: expected pixels outside the padding, got none. Leave this series out.")
    low, high = found
    if not low < high:
        raise BudgetError(
            f"{series.id}: expected values that differ, got percentiles {plan.percentiles} both at {low:g}. "
            "Set range to [lo, hi] or widen percentiles."
        )
    return low, high


def percentiles(series: Series, slices: Slices, shares: tuple[float, float]) -> tuple[float, float] | None:
    """Physical values below which shares of a series lie, slice by slice, exactly, by nearest rank.

    Args:
        series: image series.
        slices: reader.
        shares: per cent.

    Returns:
        Both values; ``None`` where all is padding or cannot be read.
    """
    counts: dict[Encoding, dict[int, int]] = {}
    for index in range(len(series.slices)):
        [values], fixed = slices.read(index, index + 1)
        seen, numbers = np.unique(values[~fixed[0]], return_counts=True)
        kept = counts.setdefault(slice_encoding(series, index), {})
        for value, number in zip(seen.tolist(), numbers.tolist(), strict=True):
            kept[value] = kept.get(value, 0) + number
    pairs = sorted((v * e.slope + e.inter, n) for e, kept in counts.items() for v, n in kept.items())
    if not pairs:
        return None
    total = np.cumsum([number for _, number in pairs])
    low, high = (
        pairs[min(int(np.searchsorted(total, share / 100 * total[-1])), len(pairs) - 1)][0] for share in shares
    )
    return low, high


def masked_values(series: Series, mask: Mask, slices: Slices) -> NDArray[np.float64]:
    """Physical values inside the mask on its middle, first and last slice, which say what was labelled.

    Args:
        series: image series.
        mask: its mask, not empty.
        slices: reader.

    Returns:
        The values without padding, flat.
    """
    found = []
    middle = (mask.extent[0] + mask.extent[1] - 1) // 2
    for index in dict.fromkeys((middle, mask.extent[0], mask.extent[1] - 1)):
        encoding = slice_encoding(series, index)
        [values], fixed = slices.read(index, index + 1)
        chosen = (np.asarray(mask.slices(index, index + 1))[0] > 0) & ~fixed[0]
        found.append(values[chosen].astype(np.float64).ravel() * encoding.slope + encoding.inter)
    return np.concatenate(found)
