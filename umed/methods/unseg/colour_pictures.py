# SPDX-License-Identifier: Apache-2.0
"""Flat pictures with their instances, from a data set of any layout: volumes give their labelled slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from umed.training.patches import Sample

LEAST = 16
"""Pixels; smaller pieces are specks of the annotation and teach nothing."""


@dataclass(frozen=True, eq=False)
class ColourPicture:
    """One flat picture.

    Args:
        name: case id, with the slice of a volume.
        image: ``(C, H, W)`` float32 in [0, 1].
        labels: ``(H, W)`` int16, 0 is background.
        steps: budget of each channel in stored steps, ``None`` for files of floats.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int16]
    steps: tuple[int | None, ...]


class Instances(Sequence[NDArray[np.bool_]]):
    """Masks of the instances, the connected parts of each label, the largest first; made when they are asked for.

    Args:
        labels: ``(H, W)``; classes are positive.
        least: pixels of the smallest part that counts; where all are smaller, the largest one still does.
        most: how many count.

    >>> [int(one.sum()) for one in Instances(np.array([[1, 0, 2], [1, 0, 0]], np.int16), least=2)]
    [2]
    """

    def __init__(self, labels: NDArray[np.int16], least: int = LEAST, most: int | None = None) -> None:
        self._parts: NDArray[np.int32] = np.zeros(labels.shape, np.int32)
        total = 0
        for value in np.unique(labels[labels > 0]):
            parts, count = ndimage.label(labels == value)
            np.copyto(self._parts, parts + total, where=parts > 0, casting="unsafe")
            total += count
        sizes = np.bincount(self._parts.ravel(), minlength=total + 1)[1:]
        order = np.argsort(-sizes, kind="stable")
        kept = order[sizes[order] >= least][:most]
        self._numbers = (kept if len(kept) else order[:1]) + 1

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:  # type: ignore[override]
        found: NDArray[np.bool_] = self._parts == self._numbers[index]
        return found

    def union(self) -> NDArray[np.bool_]:
        """All that count, together."""
        return np.isin(self._parts, self._numbers)


class SamplePictures(Sequence[ColourPicture]):
    """Training cases as flat pictures: each labelled slice of a volume is one.

    Args:
        samples: lazy sequence of :class:`umed.training.patches.Sample`.
        slice_axis: axis that slices of volumes are taken along; ``None`` for flat pictures.
    """

    def __init__(self, samples: Sequence[Sample], slice_axis: int | None) -> None:
        self.samples, self.axis = samples, slice_axis
        self._places: list[tuple[int, int | None]] = []
        for number, sample in enumerate(samples):
            if sample.regions.labels.ndim == 2:
                self._places.append((number, None))
            elif slice_axis is not None:
                others = tuple(axis for axis in range(3) if axis != slice_axis)
                labelled = (sample.regions.labels > 0).any(axis=others)
                self._places += [(number, int(k)) for k in np.flatnonzero(labelled)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> ColourPicture:  # type: ignore[override]
        number, plane = self._places[index]
        sample = self.samples[number]
        image, labels = sample.image, sample.regions.labels
        if plane is None or self.axis is None:
            return ColourPicture(sample.case_id, image, labels, sample.steps)
        name = f"{sample.case_id}/{plane}"
        image, labels = np.take(image, plane, self.axis + 1), np.take(labels, plane, self.axis)
        return ColourPicture(name, image, labels, sample.steps)


def as_colour(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Three channels, as Segment Anything takes them: colour as it is, anything else as the grey of its mean.

    Args:
        image: ``(C, ...)``.

    Returns:
        ``(3, ...)``.
    """
    if len(image) == 3:
        return image
    return np.repeat(image.mean(0, keepdims=True, dtype=np.float32), 3, axis=0)


def draw_target(labels: NDArray[np.int16], rng: np.random.Generator, whole: float) -> NDArray[np.bool_]:
    """What is prompted in one training step: one instance, or everything that is labelled.

    Args:
        labels: ``(H, W)`` with foreground.
        rng: source of randomness.
        whole: how often it is everything; a release is protected with one prompt a picture.

    Returns:
        Mask ``(H, W)``.
    """
    parts = Instances(labels)
    if len(parts) == 1 or rng.random() < whole:
        everything: NDArray[np.bool_] = labels > 0
        return everything
    return parts[int(rng.integers(len(parts)))]
