# SPDX-License-Identifier: Apache-2.0
"""The training cases of a learnt method, read from their files when they are asked for and kept while memory allows."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from umed.core.errors import InputError, UmedError
from umed.core.types import Case, Dataset
from umed.plan.budget import to_unit
from umed.plan.facts import open_case
from umed.plan.limits import make_limits
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions
from umed.training.patches import Sample

logger = logging.getLogger(__name__)
MIB = 2**20


class FileSamples(Sequence[Sample]):
    """Labelled cases of a data set as unit images in the crop around their support.

    Each case is read once to begin with, so that the length is known; those that cannot be read or have an empty label
    are left out. Least recently used cases are dropped when the cache is full and read again when needed.

    Args:
        dataset: data set.
        plan: the resolved plan; ``training.cache_mb`` bounds the cache.

    Raises:
        InputError: when no case can be used.
    """

    def __init__(self, dataset: Dataset, plan: Plan) -> None:
        self.dataset = dataset
        self.plan = plan
        self.left_out: list[tuple[str, str]] = []
        self._cache: OrderedDict[str, Sample] = OrderedDict()
        self._bytes = 0
        self._cases: list[Case] = []
        for case in dataset.cases:
            if case.label is not None and self._usable(case):
                self._cases.append(case)
        if not self._cases:
            raise InputError(f"{dataset.root}: expected at least one case to train on, got none that can be read.")

    def _usable(self, case: Case) -> bool:
        try:
            sample = self._read(case)
        except (UmedError, OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split()).replace(f"{self.dataset.root}/", "")
            logger.warning("case %s is left out of training: %s", case.id, reason)
            self.left_out.append((case.id, reason))
            return False
        if sample is None:
            return False
        self._keep(sample)
        return True

    def _read(self, case: Case) -> Sample | None:
        opened = open_case(self.dataset, case)
        first = opened.volumes[0]
        assert opened.labels is not None
        regions = plan_regions(opened.labels, first, self.plan)
        if regions.empty:
            return None
        limits = make_limits(opened.volumes, self.plan)
        box = (slice(None), *regions.box)
        parts = [to_unit(v.channels[box], v.encoding, limit) for v, limit in zip(opened.volumes, limits, strict=True)]
        steps = tuple(limit.steps for part, limit in zip(parts, limits, strict=True) for _ in part)
        image = np.ascontiguousarray(np.concatenate(parts))
        if len(image) != self.plan.channels:
            raise InputError(f"{first.source}: expected {self.plan.channels} channels as most cases, got {len(image)}.")
        return Sample(image=image, regions=regions, case_id=case.id, steps=steps)

    def _keep(self, sample: Sample) -> None:
        self._cache[sample.case_id] = sample
        self._bytes += _size(sample)
        while self._bytes > self.plan.training.cache_mb * MIB and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._bytes -= _size(dropped)

    def __len__(self) -> int:
        return len(self._cases)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        case = self._cases[index]
        if case.id in self._cache:
            self._cache.move_to_end(case.id)
            return self._cache[case.id]
        sample = self._read(case)
        if sample is None:
            raise InputError(f"{case.id}: expected the label of the first reading, got an empty one.")
        self._keep(sample)
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


def _size(sample: Sample) -> int:
    regions = sample.regions
    return int(sample.image.nbytes + regions.labels.nbytes + regions.contour.nbytes + regions.interior.nbytes)
