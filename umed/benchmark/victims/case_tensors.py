# SPDX-License-Identifier: Apache-2.0
"""Cases of a data set as tensors for victims: physical values, nothing normalised."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from umed.benchmark.grid.case_split import labelled_ids
from umed.core.config import CT_WINDOWS
from umed.core.errors import InputError
from umed.core.mask_rules import MaskRules
from umed.core.types import Case, Dataset, Volume
from umed.data.formats import read
from umed.data.layouts import find_dataset
from umed.data.mask_values import class_values, present, rank
from umed.data.masks import read_labels
from umed.plan.range_choice import ct_window

Change = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Image ``(C, *spatial)`` and label ``(*spatial)`` to the same on another grid."""
AIR = -500.0
"""HU; only CT holds values below it."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Cases in memory, each at its own size.

    Args:
        ids: case ids.
        images: one tensor a case, ``(C, *spatial)`` float32.
        labels: one tensor a case, ``(*spatial)`` uint8, class of each voxel.
        classes: number of classes, background included.
        truths: labels on the grid that predictions are judged on, where that differs from ``labels``.
        values: of the classes in the files, in the order of their numbers, see :func:`umed.data.mask_values.rank`.
        scales: full scale of each case in the units of its image (255 for 8-bit pictures), what epsilon is a share of.
        spacings: size of a voxel of each case along each axis in ``unit``.
        unit: ``"mm"``, or ``"px"`` where the files do not know their size.
    """

    ids: tuple[str, ...]
    images: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]
    classes: int
    truths: tuple[torch.Tensor, ...] | None = None
    values: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    spacings: tuple[tuple[float, ...], ...] = ()
    unit: str = "px"

    def __post_init__(self) -> None:
        if not self.scales:
            object.__setattr__(self, "scales", tuple(float(image.max() - image.min()) for image in self.images))
        if not self.spacings:
            object.__setattr__(self, "spacings", tuple((1.0,) * label.ndim for label in self.labels))

    def map(
        self, image: Callable[[torch.Tensor, float], torch.Tensor], label: Callable[[torch.Tensor], torch.Tensor]
    ) -> Samples:
        """Change every image, given with its full scale, and every label; the labels of before stay as truths."""
        images = tuple(image(one, scale) for one, scale in zip(self.images, self.scales, strict=True))
        truths = self.labels if self.truths is None else self.truths
        return replace(self, images=images, labels=tuple(map(label, self.labels)), truths=truths)

    def clip(self, window: tuple[float, float] | None) -> Samples:
        """Clip every image to a window, which then is its full scale; ``None`` leaves them as they are."""
        if window is None:
            return self
        low, high = window
        images = tuple(image.clamp(low, high) for image in self.images)
        return replace(self, images=images, scales=(high - low,) * len(images))

    def pick(self, ids: Collection[str]) -> Samples:
        """Keep some of the cases, in the order of this record; InputError when one is missing."""
        missing = sorted(set(ids) - set(self.ids))
        if missing:
            raise InputError(f"benchmark: expected case {missing[0]!r} among {len(self.ids)} cases, but it is missing.")
        rows = [row for row, name in enumerate(self.ids) if name in ids]
        kept: dict[str, Any] = {}
        for name in ("ids", "images", "labels", "truths", "scales", "spacings"):
            items = getattr(self, name)
            kept[name] = None if items is None else tuple(items[row] for row in rows)
        return replace(self, **kept)


def load_samples(
    root: str | Path,
    ids: Collection[str] | None = None,
    change: Change | None = None,
    rules: MaskRules | None = None,
    values: tuple[int, ...] | None = None,
) -> Samples:
    """Read cases from files: physical values, nothing normalised or clipped.

    Args:
        root: a data set in any layout that umed reads, original or written by ``umed protect``.
        ids: which cases, ``None`` for all that have a label.
        change: what each case goes through as it is read, before the next one is.
        rules: how masks are read, ``None`` for what the data set itself says.
        values: of the classes, as in other samples that these are to be compared with; ``None`` for those that occur.

    Returns:
        The cases, sorted by id; what a mask ignores counts as background.

    Raises:
        InputError: When a case is missing or cannot be read.
    """
    dataset = find_dataset(Path(root))
    wanted = set(labelled_ids(root) if ids is None else ids)
    cases = [case for case in dataset.cases if case.id in wanted and case.labels]
    missing = sorted(wanted - {case.id for case in cases})
    if missing:
        raise InputError(f"{root}: expected a labelled case {missing[0]!r}, found none. Run umed inspect on it.")
    dataset = dataset if rules is None else replace(dataset, rules=rules)
    loaded = [_load(dataset, case, change) for case in cases]
    images, drawn, scales, spacings, units = zip(*loaded, strict=True)
    values = class_values([present(label.numpy()) for label in drawn]) if values is None else values
    labels = tuple(torch.from_numpy(rank(label.numpy(), values).astype(np.uint8)) for label in drawn)
    return Samples(
        tuple(case.id for case in cases),
        images,
        labels,
        len(values) + 1,
        values=values,
        scales=scales,
        spacings=spacings,
        unit=units[0],
    )


def window_of(samples: Samples) -> tuple[float, float] | None:
    """The CT window in HU of what is labelled, ``None`` for what is no CT.

    Cases are those that a thief may know, never test cases; every set of a comparison must be clipped to the same
    window. Air and metal would make up most of a CT image's spread; no segmentation pipeline feeds them to its network.
    """
    if min(float(image.min()) for image in samples.images) >= AIR:
        return None
    pairs = zip(samples.images, samples.labels, strict=True)
    inside = [float(image[:, label > 0].median()) for image, label in pairs if label.any()]
    return CT_WINDOWS[ct_window(float(np.median(inside)) if inside else None)]


def full_scale(image: torch.Tensor, volume: Volume) -> float:
    """What epsilon is a share of: the scale of the type for pictures, else the image's percentiles 0.5 to 99.5.

    In physical units, as the image ``(C, *spatial)``; the plan of ``umed protect`` has it the same way.
    """
    if volume.unit == "px" and volume.encoding.is_integer:
        low, high = volume.encoding.stored_limits
        return (high - low) * abs(volume.encoding.slope)
    low, high = np.percentile(image.numpy(), (0.5, 99.5))
    return float(max(high - low, 1e-12))


def _load(
    dataset: Dataset, case: Case, change: Change | None
) -> tuple[torch.Tensor, torch.Tensor, float, tuple[float, ...], str]:
    """Read one case: channels of all its files stacked, its label, full scale, size of a voxel, and unit of that."""
    assert case.labels
    root = dataset.root
    volumes = [read(root / path) for path in case.images]
    parts = [v.channels.astype(np.float32) * v.encoding.slope + v.encoding.inter for v in volumes]
    image = torch.from_numpy(np.ascontiguousarray(np.concatenate(parts).astype(np.float32, copy=False)))
    classes = read_labels([root / path for path in case.labels], case.classes, volumes[0], dataset.rules)
    kind = np.uint8 if classes.dtype.itemsize == 1 and classes.dtype.kind == "u" else np.int32
    label = torch.from_numpy(np.maximum(np.ascontiguousarray(classes), 0).astype(kind))
    scale, spacing, grid = full_scale(image, volumes[0]), tuple(map(float, volumes[0].spacing)), label.shape
    if change is not None:
        image, label = change(image, label)
        spacing = tuple(width * old / new for width, old, new in zip(spacing, grid, label.shape, strict=True))
    return image, label, scale, spacing, volumes[0].unit
