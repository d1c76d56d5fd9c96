# SPDX-License-Identifier: Apache-2.0
"""Masks on the grid of a series, kept packed slice by slice, so that a thousand slices take a few megabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError

MOST = 32767
"""Largest class number: classes are int16 everywhere in umed."""
_LEVEL = 1  # zlib level; label maps are long runs, which the fastest level packs well


@dataclass(frozen=True, eq=False)
class Mask:
    """Classes of every voxel of an image series.

    Args:
        source: names of the files that it comes from, separated by ``", "``.
        classes: class number to label, foreground only, by ascending number.
        shape: slices, rows, columns of the series.
        packed: one entry a slice, in slice order: its packed int16 classes, or empty where all is background.
        notes: what a user should know, for example that contours lie on slices that are not in the series.
        files: label files that it was read from, which may be proposals; SEG and RTSTRUCT are not among them.
    """

    source: str
    classes: Mapping[int, str]
    shape: tuple[int, int, int]
    packed: tuple[bytes, ...]
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def extent(self) -> tuple[int, int]:
        """First slice with foreground and one past the last, ``(0, 0)`` if there is none."""
        filled = [number for number, plane in enumerate(self.packed) if plane]
        return (filled[0], filled[-1] + 1) if filled else (0, 0)

    def slices(self, start: int, stop: int) -> NDArray[np.int16]:
        """Classes of slices from ``start`` to before ``stop``, int16 ``(slices, rows, columns)``; 0 is background."""
        out = np.zeros((max(stop - start, 0), *self.shape[1:]), np.int16)
        for plane, packed in zip(out, self.packed[start:stop], strict=True):
            if packed:
                plane[:] = np.frombuffer(zlib.decompress(packed), "<i2").reshape(plane.shape)
        return out


def pack(plane: NDArray[np.int16]) -> bytes:
    """Classes ``(rows, columns)`` of one slice as :class:`Mask` keeps them; empty where all is background."""
    return zlib.compress(np.ascontiguousarray(plane, "<i2").tobytes(), _LEVEL) if plane.any() else b""


def build(
    source: str,
    classes: Mapping[int, str],
    shape: tuple[int, int, int],
    planes: Iterable[tuple[int, NDArray[np.int16]]],
    notes: Sequence[str] = (),
) -> Mask:
    """Make a mask from numbers and classes ``(rows, columns)`` of slices, in any order.

    Where a slice comes twice, the higher class stays.
    """
    packed = [b""] * shape[0]
    for number, plane in planes:
        if packed[number]:
            before = np.frombuffer(zlib.decompress(packed[number]), "<i2").reshape(shape[1:])
            plane = np.maximum(plane, before)
        packed[number] = pack(plane)
    return Mask(source, dict(sorted(classes.items())), shape, tuple(packed), tuple(dict.fromkeys(notes)))


def merge(masks: Sequence[Mask]) -> Mask:
    """Put several masks of one series into one.

    A single mask keeps its class numbers. Several are renumbered 1, 2, ... in the order given, and within each by its
    own numbers; InputError for more classes than int16 holds. Where classes overlap the higher one stays; the union,
    which is all that protection looks at, is the same.
    """
    if len(masks) == 1:
        return masks[0]
    count = sum(len(mask.classes) for mask in masks)
    if count > MOST:
        raise InputError(f"{masks[0].source}: expected at most {MOST} classes for one series, got {count}. Merge some.")
    classes: dict[int, str] = {}
    tables: list[NDArray[np.int16]] = []
    for mask in masks:
        table = np.zeros(max(mask.classes, default=0) + 1, np.int16)
        for number, label in mask.classes.items():
            table[number] = len(classes) + 1
            classes[len(classes) + 1] = label
        tables.append(table)
    packed = []
    for number in range(masks[0].shape[0]):
        filled = [(mask, table) for mask, table in zip(masks, tables, strict=True) if mask.packed[number]]
        planes = [table[mask.slices(number, number + 1)[0]] for mask, table in filled]
        packed.append(pack(np.maximum.reduce(planes)) if planes else b"")
    notes = tuple(dict.fromkeys(note for mask in masks for note in mask.notes))
    origins = tuple(path for mask in masks for path in mask.files)
    return Mask(", ".join(mask.source for mask in masks), classes, masks[0].shape, tuple(packed), notes, origins)
