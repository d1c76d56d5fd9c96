# SPDX-License-Identifier: Apache-2.0
"""A span of a series in memory, as a unit; the same for training, protecting and checking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from umed.cases.source import Unit
from umed.cases.spans import Slices, Span, slice_encoding, spacing
from umed.core.types import Encoding, Volume
from umed.dicom.objects import Series
from umed.plan.budget import make_budget
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions


class Labels(Protocol):
    """Classes on the grid of a series, a few slices at a time; :class:`umed.dicom.masks.series_masks.Mask` is one."""

    def slices(self, start: int, stop: int) -> NDArray[Any]:
        """Class of each voxel, shape ``(stop - start, rows, columns)``."""
        ...


def open_unit(
    series: Series,
    labels: Labels,
    span: Span,
    plan: Plan,
    slices: Slices,
    value_range: str | tuple[float, float],
    margin: int = 8,
) -> Unit:
    """Read a span.

    Args:
        series: image series.
        labels: its mask.
        span: from :func:`umed.cases.spans.spans`.
        plan: the resolved plan.
        slices: reader.
        value_range: from :func:`umed.cases.spans.value_range`.
        margin: voxels of context around the support.

    Returns:
        The unit.

    Raises:
        BudgetError: when the bound is below one stored step.
        InputError: when the mask cannot be read.
    """
    values, fixed = slices.read(*span.seen)
    stack = [
        _express(one, slice_encoding(series, span.seen[0] + place), span.encoding) for place, one in enumerate(values)
    ]
    volume = make_volume(series, np.stack(stack), span.encoding)
    regions = plan_regions(np.asarray(labels.slices(*span.seen)), volume, plan, margin)
    if not regions.empty and fixed.any():
        free = ~fixed[regions.box]
        frames = None if regions.frames is None else regions.frames & free
        regions = replace(regions, contour=regions.contour & free, interior=regions.interior & free, frames=frames)
    budget = make_budget(
        volume,
        epsilon=plan.epsilon,
        range=value_range,
        percentiles=plan.percentiles,
        background=plan.epsilon_background,
    )
    kept = slice(span.kept[0] - span.seen[0], span.kept[1] - span.seen[0])
    return Unit(f"{series.id}/{span.kept[0]}", (volume,), regions, (budget,), kept)


def make_volume(series: Series, stored: NDArray[Any], encoding: Encoding) -> Volume:
    """Some slices of a series as a volume.

    Args:
        series: where they come from.
        stored: ``(slices, rows, columns[, 3])``.
        encoding: what they mean.
    """
    return Volume(
        stored=stored,
        encoding=encoding,
        spacing=spacing(series),
        unit="mm" if series.geometry is not None else "px",
        channels_last=stored.ndim == 4,
        source=Path(series.id),
    )


def any_channel(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of ``(slices, rows, columns[, 3])`` where any channel is true."""
    return np.asarray(mask.any(axis=-1)) if mask.ndim == 4 else mask


def _express(stored: NDArray[Any], mine: Encoding, wanted: Encoding) -> NDArray[Any]:
    """Stored values of a neighbour in another slice's encoding; only ever context, never written."""
    if mine == wanted:
        return stored
    low, high = wanted.stored_limits
    physical = stored.astype(np.float64) * mine.slope + mine.inter
    return np.clip(np.rint((physical - wanted.inter) / wanted.slope), low, high).astype(np.dtype(wanted.dtype))
