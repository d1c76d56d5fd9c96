# SPDX-License-Identifier: Apache-2.0
"""The grid of values that a file really uses, which may be coarser than its data type can hold.

Floats that were converted from whole numbers, or 8-bit pictures that were stored with 16 bits, use few values at equal
distances. Noise between them would tell itself apart from the image by arithmetic alone: whoever reads the distance off
the untouched voxels knows the noise of all others but for whole steps. So such files move by whole steps of their own;
floats also by half ones, where a whole one more would break the bound: half a step up and half a step down land on the
same grid, so that the sign stays hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import BudgetError

MOST_LEVELS = 1 << 16
"""A file with more different values uses no grid worth the name."""
SAMPLE = 1 << 22
_OFF = 1e-3
"""Share of a step by which the values of floats may lie beside the grid."""
_BESIDE = 1e-3
"""Share of the values that may lie elsewhere: one odd voxel must not hide the grid of all others."""


@dataclass(frozen=True)
class Lattice:
    """Values at equal distances.

    Args:
        origin: one of them, in stored values.
        step: their distance, in stored values, or half of it.
        levels: those that occur, ascending, in the file's own type.
    """

    origin: float
    step: float
    levels: NDArray[Any] = field(repr=False, compare=False)

    def move(
        self,
        old: NDArray[Any],
        direction: NDArray[np.float64],
        bound: float,
        bounds: NDArray[np.float64] | None,
        ends: tuple[float, float],
    ) -> NDArray[Any]:
        """New values on the grid.

        Args:
            old: stored values, any shape, within ``ends``.
            direction: of the same shape, in [-1, 1].
            bound: how far 1 goes, in stored values.
            bounds: bound of each value where it is not the same for all.
            ends: smallest and largest value that may be reached.

        Returns:
            Values of the same type, none further off than its bound; as they are where that is below one step.
        """
        start = old.astype(np.float64)
        steps = np.rint(direction * _whole(bound / self.step))
        if bounds is not None:
            most = _whole(bounds / self.step)
            steps = np.clip(steps, -most, most)
        place = np.rint((start - self.origin) / self.step)
        low, high = (np.ceil((ends[0] - self.origin) / self.step - _OFF), _whole((ends[1] - self.origin) / self.step))
        ideal = self.origin + np.clip(place + steps, low, high) * self.step
        new = self._as_the_file_has_it(ideal, old.dtype)
        value = new.astype(np.float64)
        over = np.abs(value - start) > (bound if bounds is None else bounds)
        over |= (value < ends[0]) | (value > ends[1]) | (steps == 0)
        over |= (
            np.abs((start - self.origin) / self.step - place) > 2 * _OFF
        )  # beside the grid: it would tell itself apart
        new[over] = old[over]  # half a unit of the float's precision too far: rather not at all
        return new

    def _as_the_file_has_it(self, values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The same values bit for bit as they occur in the file, where they do."""
        new = values.astype(dtype)
        known = self.levels.astype(np.float64)
        after = np.clip(np.searchsorted(known, values), 1, len(known) - 1)
        near = np.where(values - known[after - 1] < known[after] - values, after - 1, after)
        same = np.abs(known[near] - values) < self.step / 4
        new[same] = self.levels[near[same]]
        return new


def _whole(value: Any) -> Any:
    """Whole steps, where arithmetic on floats may have lost a bit of the last one."""
    return np.floor(np.asarray(value, np.float64) + 1e-6)


def find_lattice(values: NDArray[Any], bound: float) -> Lattice | None:
    """Find the grid of a file's values; values beside it, one in a thousand at most, do not count.

    Args:
        values: stored values, any shape; of more than four million every n-th is used.
        bound: how far values may move, in stored values.

    Returns:
        The grid, of floats that of half steps where the bound allows one more of them; ``None`` where it is that of the
        data type, there is none, or it is coarser than the bound.

    Example:
        >>> found = find_lattice(np.arange(0, 65535, 257, dtype=np.uint16), 1028)
        >>> found.step, find_lattice(np.arange(9, dtype=np.uint8), 4) is None
        (257.0, True)
    """
    return _fitting(_grid_of(values), values.dtype, bound)


def lattice_within(values: NDArray[Any], bound: float, where: str, epsilon: float) -> Lattice | None:
    """As :func:`find_lattice`, for a file that is to be released.

    Args:
        values: stored values, any shape.
        bound: how far values may move, in stored values.
        where: the file, for the message.
        epsilon: the bound as a share of the range.

    Raises:
        BudgetError: when the file's own steps are coarser than the bound: noise between them could be rounded off.
    """
    coarse = _grid_of(values)
    found = _fitting(coarse, values.dtype, bound)
    if found is None and coarse is not None:
        least = coarse.step / (2 if values.dtype.kind == "f" else 1)
        raise BudgetError(
            f"{where}: expected values that lie closer than the bound of {bound:.4g} stored, got steps of "
            f"{coarse.step:.4g}, between which any noise could be rounded off. Use epsilon >= "
            f"{1.001 * epsilon * least / bound:.4g}, or a wider range."
        )
    return found


def _fitting(found: Lattice | None, dtype: np.dtype[Any], bound: float) -> Lattice | None:
    """A grid that the bound allows to move on, of floats that of half steps where that goes further."""
    if found is not None and dtype.kind == "f" and _whole(2 * bound / found.step) > 2 * _whole(bound / found.step):
        found = replace(found, step=found.step / 2)
    return found if found is not None and found.step <= bound * (1 + 1e-6) else None


def _grid_of(values: NDArray[Any]) -> Lattice | None:
    """The grid that 99.9 % of the values share, however coarse; ``None`` where there is none but the type's."""
    flat = values.ravel(order="K")
    flat = flat[:: -(-flat.size // SAMPLE) | 1]
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    levels, counts = np.unique(flat, return_counts=True)
    if not 2 < levels.size <= MOST_LEVELS:
        return None
    found = _common(levels)
    if found is None:
        rare = np.argsort(counts, kind="stable")
        kept = np.sort(rare[np.cumsum(counts[rare]) > _BESIDE * flat.size])
        found = _common(levels[kept]) if 2 < kept.size < levels.size else None
    return found


def _common(levels: NDArray[Any]) -> Lattice | None:
    """The grid of some values, ascending."""
    if levels.dtype.kind in "iu":
        step = float(np.gcd.reduce(np.diff(levels.astype(object) if levels.itemsize == 8 else levels.astype(np.int64))))
        return Lattice(float(levels[0]), step, levels) if step > 1 else None
    exact = levels.astype(np.float64)
    step = float(np.diff(exact).min())
    if step <= 4 * float(np.spacing(np.abs(levels).max())):
        return None
    count = np.rint((exact - exact[0]) / step)
    step = float((exact[-1] - exact[0]) / count[-1])
    off = np.abs((exact - exact[0]) / step - np.rint((exact - exact[0]) / step)).max()
    return Lattice(float(exact[0]), step, levels) if off < _OFF else None
