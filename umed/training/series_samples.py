# SPDX-License-Identifier: Apache-2.0
"""Training cases out of DICOM series: one sample a span of slices that holds foreground, read when it is asked for."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from umed.cases.spans import Slices, Span, spans, value_range
from umed.cases.units import Unit, open_unit
from umed.core.errors import InputError, UmedError
from umed.core.types import Regions
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Limits, Series
from umed.plan.budget import to_unit
from umed.plan.planning import Plan
from umed.training.patches import Sample

logger = logging.getLogger(__name__)
MIB = 2**20
UNUSABLE = "cannot be read, or has other channels than most series"


class SeriesSamples(Sequence[Sample]):
    """Spans of masked series as unit images in the crop around their support.

    Slices that cannot be decoded are black and lose their label, so that nothing is learnt from them.

    Args:
        series: image series with a mask.
        masks: by series id.
        plan: the resolved plan; ``training.cache_mb`` bounds the cache.
        limits: bounds against hostile files.

    Raises:
        InputError: when no span can be used.
    """

    def __init__(self, series: Sequence[Series], masks: Mapping[str, Mask], plan: Plan, limits: Limits) -> None:
        self.plan, self.limits, self.masks = plan, limits, masks
        self.left_out: list[tuple[str, str]] = []
        self.broken: dict[str, dict[str, str]] = {}  # by series id: name of each file that cannot be decoded, and why
        self._places: list[tuple[Series, Span, str | tuple[float, float]]] = []
        self._cache: OrderedDict[int, Sample] = OrderedDict()
        for one in series:
            try:
                if one.instances[0].samples != plan.channels:
                    raise InputError(f"expected {plan.channels} channels, got {one.instances[0].samples}")
                self._add(one)
            except UmedError as error:
                logger.warning("series %s is left out of training", one.id)
                self.left_out.append((one.id, " ".join(str(error).split())))
        if not self._places:
            raise InputError("expected at least one series to train on, got none that can be read. Run umed inspect.")

    def _add(self, series: Series) -> None:
        before = len(self._places)
        first, last = self.masks[series.id].extent
        shared = value_range(series, self.plan, Slices(series, self.limits), self.masks[series.id])
        for span in spans(series, self.plan):
            if span.kept[0] < last and span.kept[1] > first:
                self._places.append((series, span, shared))
                if self._read(len(self._places) - 1) is None:
                    self._places.pop()
        if len(self._places) == before and series.id in self.broken:
            name, reason = next(iter(self.broken[series.id].items()))
            raise InputError(f"{name}: {reason}")

    def _read(self, index: int) -> Sample | None:
        series, span, shared = self._places[index]
        slices = Slices(series, self.limits)
        unit = open_unit(series, self.masks[series.id], span, self.plan, slices, shared)
        regions = self._readable(series, unit, slices.broken)
        if regions.empty or not regions.support.any() or not regions.labels.any():
            return None
        box = (slice(None), *regions.box)
        crop = unit.volume.channels[box]
        image = np.ascontiguousarray(to_unit(crop, span.encoding, unit.budget))
        sample = Sample(image, regions, f"{series.id}/{span.kept[0]}", (unit.budget.steps,) * len(image))
        self._cache[index] = sample
        most = self.plan.training.cache_mb * MIB
        while len(self._cache) > 1 and sum(kept.image.nbytes for kept in self._cache.values()) > most:
            self._cache.popitem(last=False)
        return sample

    def _readable(self, series: Series, unit: Unit, broken: Mapping[int, str]) -> Regions:
        """Take the labels of slices out that could not be decoded, and remember their files."""
        for file, reason in broken.items():
            one = series.instances[file]
            self.broken.setdefault(series.id, {})[one.name] = reason.removeprefix(f"{one.path}: ")
        if not broken or unit.regions.empty:
            return unit.regions
        box = unit.regions.box[0]
        first = unit.span.seen[0]
        gone = [file in broken for file, _ in series.slices[first + box.start : first + box.stop]]
        labels = unit.regions.labels.copy()
        labels[np.array(gone)] = 0
        return replace(unit.regions, labels=labels)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        sample = self._read(index)
        if sample is None:
            raise InputError("expected the mask of the first reading, got an empty one. Do not change files meanwhile.")
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))
