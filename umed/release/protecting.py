# SPDX-License-Identifier: Apache-2.0
"""One series through a method: span by span, every file written as soon as its last slice is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.series_figures import Figures
from umed.cases.spans import Slices, spans, value_range
from umed.cases.units import Unit, any_channel, open_unit
from umed.core.errors import BudgetError, InputError, VerificationError
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader
from umed.plan.metrics import different
from umed.plan.planning import Plan

if TYPE_CHECKING:
    from umed.methods.base import Method

Sink = Callable[[Instance, NDArray[Any], bool], None]
"""Takes an instance, all its new stored values, and whether any of them changed."""


def protect_series(
    series: Series, mask: Mask, method: Method, plan: Plan, seed: str, limits: Limits, sink: Sink
) -> tuple[Figures, dict[int, str]]:
    """Perturb a series.

    Args:
        series: image series.
        mask: its mask.
        method: ready for use.
        plan: the resolved plan.
        seed: stable name of the series.
        limits: bounds against hostile files.
        sink: called once for each file that can be read, in slice order.

    Returns:
        The figures, and the files that could not be read: index into ``series.instances`` and reason.

    Raises:
        BudgetError: when a bound is below one stored step, or nothing can be changed.
        InputError: when no file can be read.
        VerificationError: when a promise is broken.
    """
    slices = Slices(series, limits)
    shared = value_range(series, plan, slices, mask)
    figures = Figures()
    done = _Files(series, limits, slices.broken, sink)
    for span in spans(series, plan):
        unit = open_unit(series, mask, span, plan, slices, shared)
        before = unit.volume.stored[unit.inner]
        after = before
        if unit.touched:
            name = f"{seed}/{span.kept[0]}"
            [whole] = method([unit.volume], unit.regions, plan=plan, case_id=name, limits=[unit.budget])
            after = whole[unit.inner]
            check_unit(unit, before, after)
        figures.add(unit, before, after)
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            done.put(span.kept[0] + place, new, bool((old != new).any()))
    if len(slices.broken) == len(series.instances):
        raise InputError(
            f"{series.id}: expected at least one readable file, got none: {next(iter(slices.broken.values()))}"
        )
    if not figures.changed:
        name = "the range of each slice" if shared == "dtype" else f"the range {shared}"
        raise BudgetError(
            f"{series.id}: expected pixels in its ROI that may change, got none: all are padding or outside {name}. "
            "Set range so that it holds the values of the ROI, or leave the series out."
        )
    return figures, slices.broken


def check_unit(unit: Unit, before: NDArray[Any], after: NDArray[Any]) -> None:
    """The promises of one span.

    Args:
        unit: the span.
        before: stored values of its kept slices.
        after: new ones.

    Raises:
        VerificationError: when the bound or the support is broken.
    """
    found = Figures()
    found.add(unit, before, after)
    beyond = unit.budget.background is not None and _beyond(unit, before, after)
    if found.largest > unit.budget.bound_stored or beyond:
        raise VerificationError(
            f"expected steps up to {unit.budget.bound_stored:g}, got {found.largest:g}. Report a bug."
        )
    if (any_channel(different(before, after)) & ~unit.kept_support()).any():
        raise VerificationError("expected changes inside ROI and contour only, got others. Report a bug.")


def _beyond(unit: Unit, before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether any pixel moved further than it may where it is."""
    bounds = np.asarray(unit.kept_bounds())
    size = np.abs(after.astype(np.float64) - before.astype(np.float64))
    return bool((size > (bounds[..., None] if size.ndim == 4 and bounds.ndim == 3 else bounds)).any())


class _Files:
    """Collects the slices of each file; a file of one frame is passed on at once."""

    def __init__(self, series: Series, limits: Limits, broken: dict[int, str], sink: Sink) -> None:
        self.series, self.limits, self.broken, self.sink = series, limits, broken, sink
        self._open: dict[int, tuple[NDArray[Any], set[int], bool]] = {}
        self._wanted: dict[int, set[int]] = {}
        for file, frame in series.slices:
            self._wanted.setdefault(file, set()).add(frame)

    def put(self, index: int, values: NDArray[Any], changed: bool) -> None:
        file, frame = self.series.slices[index]
        if file in self.broken:
            self._open.pop(file, None)
            return
        instance = self.series.instances[file]
        if instance.shape[0] == 1:
            self.sink(instance, values[None], changed)
            return
        if file not in self._open:
            dataset = reader.read(instance.path, self.limits, pixels=True)
            self._open[file] = np.array(pixel_data.decode(dataset, self.limits)), set(), False
        stack, frames, before = self._open[file]
        stack[frame] = values
        frames.add(frame)
        self._open[file] = stack, frames, before or changed
        if frames == self._wanted[file]:
            self.sink(instance, stack, before or changed)
            del self._open[file]
