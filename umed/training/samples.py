# SPDX-License-Identifier: Apache-2.0
"""The training cases of a learnt method, read from their source when asked for and kept while memory allows."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from umed.cases.source import Source, Unit
from umed.core.errors import InputError, UmedError, error_line
from umed.core.progress import counted
from umed.core.types import Progress
from umed.plan.budget import to_unit
from umed.plan.planning import Plan
from umed.training.patches import Sample

logger = logging.getLogger(__name__)
MIB = 2**20
READING = "read for training"
"""Stage in which every case is read once."""


def training_samples(
    source: Source, plan: Plan, *, public: bool, progress: Progress | None = None
) -> tuple[CaseSamples, list[tuple[str, str]]]:
    """Read what can be trained on.

    Args:
        source: data set.
        plan: the resolved plan.
        public: whether the reasons go into a release, and so may not name a file of the source.
        progress: called with :data:`READING`, the cases done and the cases in all.

    Returns:
        The samples, and name and reason of all that is left out.

    Raises:
        InputError: when no case can be used.
    """
    samples = CaseSamples(source, plan, progress)
    return samples, source.not_trained(samples.left_out, samples.broken, public=public)


class CaseSamples(Sequence[Sample]):
    """Units with a mask as unit images in the crop around their support.

    Each is read once to begin with, so that the length is known; cases that cannot be read or have an empty mask are
    left out. Least recently used samples are dropped when the cache is full and read again when needed.

    Args:
        source: data set.
        plan: the resolved plan; ``training.cache_mb`` bounds the cache.
        progress: as for :func:`training_samples`.

    Raises:
        InputError: when no case can be used.
    """

    def __init__(self, source: Source, plan: Plan, progress: Progress | None = None) -> None:
        self.source, self.plan = source, plan
        self.left_out: list[tuple[str, str]] = []
        self.broken: dict[str, dict[str, str]] = {}
        """By case: name of each file that cannot be decoded, and why; the rest of the case is used."""
        self._places: list[tuple[str, int]] = []
        self._cache: OrderedDict[tuple[str, int], Sample] = OrderedDict()
        self._bytes = 0
        for case in counted(source.trainable(), READING, progress):
            try:
                self._add(case)
            except (UmedError, OSError, ValueError, EOFError) as error:
                logger.warning("case %s is left out of training", case)
                self.left_out.append((case, error_line(error)))
        if not self._places:
            raise InputError(
                f"{source.root}: expected at least one case to train on, got none that can be read. Run umed inspect."
            )

    def _add(self, case: str) -> None:
        """Find the units of a case that hold foreground."""
        found = [(case, index) for index in self.source.open(case, self.plan).masked_units() if self._read(case, index)]
        if not found and case in self.broken:
            name, reason = next(iter(self.broken[case].items()))
            raise InputError(f"{name}: {reason}")
        self._places += found

    def _read(self, case: str, index: int) -> Sample | None:
        reader = self.source.open(case, self.plan)
        unit = reader.training_unit(index)
        if reader.broken:
            self.broken.setdefault(case, {}).update(reader.broken)
        sample = self._sample(unit)
        if sample is not None:
            self._cache[case, index] = sample
            self._bytes += _size(sample)
            while self._bytes > self.plan.training.cache_mb * MIB and len(self._cache) > 1:
                self._bytes -= _size(self._cache.popitem(last=False)[1])
        return sample

    def _sample(self, unit: Unit) -> Sample | None:
        regions = unit.regions
        if regions.empty or not regions.support.any() or not regions.labels.any():
            return None
        box = (slice(None), *regions.box)
        pairs = list(zip(unit.volumes, unit.limits, strict=True))
        parts = [to_unit(volume.channels[box], volume.encoding, limit) for volume, limit in pairs]
        steps = tuple(
            limit.of(channel).steps
            for part, (_, limit) in zip(parts, pairs, strict=True)
            for channel in range(len(part))
        )
        image = np.ascontiguousarray(np.concatenate(parts))
        if len(image) != self.plan.channels:
            source = unit.volumes[0].source
            raise InputError(f"{source}: expected {self.plan.channels} channels, got {len(image)}. Leave the case out.")
        return Sample(image=image, regions=regions, case_id=unit.name, steps=steps)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        place = self._places[index]
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        sample = self._read(*place)
        if sample is None:
            raise InputError(
                f"{place[0]}: expected the mask of the first reading, got an empty one. Do not change files meanwhile."
            )
        return sample


def _size(sample: Sample) -> int:
    regions = sample.regions
    return int(sample.image.nbytes + regions.labels.nbytes + regions.contour.nbytes + regions.interior.nbytes)
