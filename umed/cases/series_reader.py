# SPDX-License-Identifier: Apache-2.0
"""A DICOM series that is open for reading: its units are spans of slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from umed.cases.source import Unit
from umed.cases.span_units import open_unit
from umed.cases.spans import Slices, Span, spans
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Limits, Series
from umed.plan.planning import Plan


class SeriesReader:
    """A series that is open for reading; its units are spans.

    Args:
        series: image series.
        mask: its mask.
        plan: the resolved plan.
        limits: bounds against hostile files.
        range_of: gives the range that all slices share, from their reader.
    """

    def __init__(
        self,
        series: Series,
        mask: Mask,
        plan: Plan,
        limits: Limits,
        range_of: Callable[[Slices], str | tuple[float, float]],
    ) -> None:
        self.series, self.mask, self.plan, self.limits = series, mask, plan, limits
        self.slices, self._range_of = Slices(series, limits), range_of

    @cached_property
    def spans(self) -> list[Span]:
        """Its spans, in slice order."""
        return list(spans(self.series, self.plan))

    @property
    def shared(self) -> str | tuple[float, float]:
        """The range that all slices share."""
        return self._range_of(self.slices)

    def __len__(self) -> int:
        return len(self.spans)

    def unit(self, index: int, margin: int = 8) -> Unit:
        """Read a span."""
        return open_unit(self.series, self.mask, self.spans[index], self.plan, self.slices, self.shared, margin)

    def masked_units(self) -> Sequence[int]:
        """Spans that meet the slices of the mask."""
        first, last = self.mask.extent
        return [k for k, span in enumerate(self.spans) if span.kept[0] < last and span.kept[1] > first]

    def training_unit(self, index: int) -> Unit:
        """A span; slices that cannot be decoded are black and lose their label, so that nothing is learnt from them."""
        unit, broken = self.unit(index), self.slices.broken
        if not broken or unit.regions.empty:
            return unit
        box, seen = unit.regions.box[0], self.spans[index].seen[0]
        gone = [file in broken for file, _ in self.series.slices[seen + box.start : seen + box.stop]]
        labels = unit.regions.labels.copy()
        labels[np.array(gone)] = 0
        return replace(unit, regions=replace(unit.regions, labels=labels))

    @property
    def broken(self) -> dict[str, str]:
        """Files that could not be decoded so far."""
        found = {}
        for file, reason in self.slices.broken.items():
            one = self.series.instances[file]
            found[one.name] = reason.removeprefix(f"{one.path}: ")
        return found
