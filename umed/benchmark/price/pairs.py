# SPDX-License-Identifier: Apache-2.0
"""A case before and after protection, read from both folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.config import from_mapping
from umed.core.errors import InputError
from umed.data import formats
from umed.data.declared import ruled
from umed.data.layouts import find_dataset
from umed.plan.facts import open_case
from umed.plan.limits import make_limits
from umed.plan.metrics import measure
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions
from umed.protect.manifest import record_of


@dataclass(frozen=True, eq=False)
class Pair:
    """One case in both forms.

    Args:
        id: of the case.
        before: unit image of the originals, ``(C, *spatial)`` float32 on the plan's range, which is [0, 1].
        after: the same of what was published.
        roi: labelled voxels, ``(*spatial)`` bool.
        changed: voxels of which any channel differs, ``(*spatial)`` bool.
        figures: what :func:`umed.plan.metrics.measure` says of the first file.
    """

    id: str
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    roi: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    figures: dict[str, Any]


def read_pairs(original: Path, protected: Path, ids: Sequence[str]) -> list[Pair]:
    """Read cases from an original data set and its protected copy, in the order of ``ids``.

    InputError when a case is missing or its files differ in shape.
    """
    plan = from_mapping(Plan, record_of(protected)["plan"], "plan")
    dataset = ruled(find_dataset(original), plan)
    cases = {case.id: case for case in dataset.cases}
    pairs = []
    for name in ids:
        if name not in cases:
            raise InputError(f"{original}: expected case {name!r}, found none. Run umed inspect on the folder.")
        case = cases[name]
        opened = open_case(dataset, case)
        assert opened.labels is not None
        before: list[NDArray[np.float32]] = []
        after: list[NDArray[np.float32]] = []
        figures: dict[str, Any] = {}
        limits = make_limits(opened.volumes, plan)
        for volume, output, budget in zip(opened.volumes, case.outputs, limits, strict=True):
            other = formats.read(protected / output)
            if other.stored.shape != volume.stored.shape:
                raise InputError(f"{output}: expected {volume.stored.shape} values, got {other.stored.shape}.")
            ends = np.array([budget.of(channel).unit_range for channel in range(len(volume.channels))])
            across = (-1, *[1] * len(volume.spatial_shape))
            low, width = (one.astype(np.float32).reshape(across) for one in (ends[:, 0], ends[:, 1] - ends[:, 0]))
            for one, target in ((volume, before), (other, after)):
                physical = one.channels.astype(np.float32) * one.encoding.slope + one.encoding.inter
                target.append(np.asarray((physical - low) / width, np.float32))
            if not figures:
                regions = plan_regions(opened.labels, volume, plan)
                figures = measure(volume, other.stored, regions, budget, slice_axis=plan.slice_axis)
        first, second = np.concatenate(before), np.concatenate(after)
        pairs.append(Pair(name, first, second, opened.labels > 0, (first != second).any(0), figures))
    return pairs


def slices(image: NDArray[np.float32], most: int = 8) -> NDArray[np.float32]:
    """2D pictures ``(n, H, W)`` of an image ``(C, H, W[, D])``: every channel of evenly spaced slices."""
    if image.ndim == 3:
        return image
    chosen = np.unique(np.linspace(0, image.shape[-1] - 1, min(most, image.shape[-1])).astype(int))
    return np.moveaxis(image[..., chosen], -1, 0).reshape(-1, *image.shape[1:3])
