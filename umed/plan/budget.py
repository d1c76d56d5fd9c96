# SPDX-License-Identifier: Apache-2.0
"""From epsilon to stored steps: the only place in umed that rounds and clips.

Epsilon is a fraction of a range [lo, hi] of physical values. For integer files the change of a voxel is a whole
number of stored steps, at most ``floor(epsilon * (hi - lo) / |slope|)``; for float files it is bounded by the same
number unfloored, after rounding to the file's precision; files that use a coarser grid of values than their type keep
to it (:mod:`umed.plan.lattice`). Voxels outside [lo, hi] (air, metal, NaN) are never changed,
and changed ones never leave it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import BudgetError, ConfigError
from umed.core.ranges import Range, Ranges, is_each, range_of_each
from umed.core.types import Encoding, Volume
from umed.plan.file_range import resolve_range
from umed.plan.lattice import Lattice, lattice_within

_BLOCK = 1 << 18
_EXACT = float(2**53)  # 64-bit integers beyond this cannot be told apart as floats and stay untouched


@dataclass(frozen=True)
class Budget:
    """How far the stored values of one file may move.

    Args:
        steps: bound in whole stored steps for integer files, ``None`` for float files.
        bound_stored: bound in stored values; equals ``steps`` for integer files.
        low: smallest stored value that may be changed or reached.
        high: largest one.
        unit_range: physical values (lo, hi) that methods see as 0 and 1.
        background: bound in stored values outside the labels; ``None`` where it is the same everywhere.
        lattice: grid of the file's values, where it is coarser than that of its type.
        channels: budget of each channel, where a file holds channels of different ranges; the other fields are then
            those of the first one. Empty where all channels are alike.
    """

    steps: int | None
    bound_stored: float
    low: float
    high: float
    unit_range: tuple[float, float]
    background: float | None = None
    lattice: Lattice | None = None
    channels: tuple[Budget, ...] = ()

    def of(self, channel: int) -> Budget:
        """Budget of one channel."""
        return self.channels[channel] if self.channels else self

    def bounds(self, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Bound of each voxel in stored values.

        Args:
            inside: where voxels are labelled.
        """
        weak = self.bound_stored if self.background is None else self.background
        return np.where(inside, self.bound_stored, weak)

    @property
    def peak(self) -> float:
        """Peak of PSNR in stored values: the width of the range."""
        return self.high - self.low


def make_budget(
    volume: Volume,
    *,
    epsilon: float,
    range: Ranges = "auto",  # noqa: A002 - the name users know from the settings
    percentiles: tuple[float, float] = (0.5, 99.5),
    background: float | None = None,
) -> Budget:
    """Turn epsilon into the bound of one file.

    Args:
        volume: the file.
        epsilon: largest change as a fraction of the range, in (0, 1].
        range: see :func:`umed.plan.file_range.resolve_range`; or one for each channel, then ``"percentile"`` and the
            grid of values are those of that channel alone.
        percentiles: see there.
        background: largest change outside the labels as a fraction of the range; ``None`` for the same.

    Returns:
        The budget in stored values. A background that is below one stored step leaves the background as it is.

    Raises:
        ConfigError: if epsilon or range make no sense.
        BudgetError: if the bound is below one stored step; says which epsilon works.
    """
    if not is_each(range):
        return _make_budget(volume, epsilon, range, percentiles, background)  # type: ignore[arg-type]
    each = range_of_each(range, len(volume.channels), str(volume.source))  # type: ignore[arg-type]
    if len(each) == 1:
        return _make_budget(volume, epsilon, each[0], percentiles, background)
    found = []
    for number, (channel, one) in enumerate(zip(volume.channels, each, strict=True)):
        alone = replace(
            volume, stored=channel, channels_last=False, alpha=False, source=Path(f"{volume.source}, channel {number}")
        )
        found.append(_make_budget(alone, epsilon, one, percentiles, background))
    return replace(found[0], channels=tuple(found))


def _make_budget(
    volume: Volume,
    epsilon: float,
    range: Range,  # noqa: A002
    percentiles: tuple[float, float],
    background: float | None,
) -> Budget:
    """The budget of all channels of a file as one."""
    if not 0 < epsilon <= 1:
        raise ConfigError(f"epsilon: expected a fraction in (0, 1], such as 4/255 = 0.0157, got {epsilon}.")
    lo, hi = resolve_range(volume, range, percentiles)
    encoding = volume.encoding
    step = abs(encoding.slope)
    ends = sorted(((lo - encoding.inter) / encoding.slope, (hi - encoding.inter) / encoding.slope))
    limits = encoding.stored_limits
    low, high = max(ends[0], limits[0]), min(ends[1], limits[1])
    bound = epsilon * (hi - lo) / step
    if encoding.is_integer:
        low, high = math.ceil(max(low, -_EXACT) - 1e-9), math.floor(min(high, _EXACT) + 1e-9)
        steps = math.floor(bound + 1e-9)
        least, unit = 1.0, "1 stored step"
    else:
        steps = None
        most = min(max(abs(low), abs(high)), limits[1] / 2)
        least, unit = float(np.spacing(np.dtype(encoding.dtype).type(most))), "the float precision"
    if low >= high or not math.isfinite(bound):
        raise BudgetError(
            f"{volume.source}: expected a range that the file can hold, got [{lo:g}, {hi:g}] for stored values "
            f"{limits[0]:g} to {limits[1]:g}. Set another range."
        )
    if bound + 1e-9 < least:
        raise BudgetError(
            f"{volume.source}: expected an epsilon of at least {unit} ({least:g} stored), got {epsilon:.4g} of range "
            f"[{lo:g}, {hi:g}] = {bound:.3g}. Use epsilon >= {_up(least * step / (hi - lo)):.4g} or a "
            f"range at least {_up(least * step / epsilon):.4g} wide."
        )
    weak = None if background is None else background * (hi - lo) / step
    if weak is not None and steps is not None:
        weak = float(math.floor(weak + 1e-9))
    most = float(bound if steps is None else steps)
    grid = lattice_within(volume.channels, most, str(volume.source), epsilon)
    return Budget(steps, most, float(low), float(high), (lo, hi), weak, grid)


def to_unit(channels: NDArray[Any], encoding: Encoding, budget: Budget) -> NDArray[np.float32]:
    """Show stored values to a method.

    Args:
        channels: stored values, any shape; channels first where they have ranges of their own.
        encoding: what they mean.
        budget: its ``unit_range`` becomes [0, 1].

    Returns:
        float32 in [0, 1], same shape; values outside the range are clipped, NaN is 0.
    """
    if budget.channels:
        return np.stack([to_unit(one, encoding, part) for one, part in zip(channels, budget.channels, strict=True)])
    lo, hi = budget.unit_range
    small = np.dtype(encoding.dtype).itemsize <= 2
    values = channels.astype(np.float32 if small else np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        values *= encoding.slope / (hi - lo)
        values += (encoding.inter - lo) / (hi - lo)
    unit = values.astype(np.float32, copy=False)
    np.nan_to_num(unit, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    unit.clip(0.0, 1.0, out=unit)
    return unit


def apply(
    stored: NDArray[Any],
    direction: NDArray[Any],
    support: NDArray[np.bool_],
    budget: Budget,
    encoding: Encoding,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Add a perturbation to stored values so that every promise holds.

    Args:
        stored: stored values ``(C, *box)``, a crop of ``Volume.channels``.
        direction: ``(C, *box)``, in [-1, 1] (clipped otherwise); 1 is the whole budget.
        support: ``(*box)``, the only voxels that may change.
        budget: from :func:`make_budget`.
        encoding: what the values mean.
        inside: ``(*box)``, labelled voxels; needed where the budget has a background of its own.

    Returns:
        A new array like ``stored``: every change within the bound, inside the support and inside the range.

    Raises:
        BudgetError: if the direction is not finite or of another shape.
    """
    _check_direction(stored, direction, support)
    changed: NDArray[Any] = stored.copy(order="K")
    for channel, (target, wanted) in enumerate(zip(changed, direction, strict=True)):
        mine = budget.of(channel)
        bounds = None if mine.background is None or inside is None else mine.bounds(inside)
        order: Literal["C", "F"] = "F" if target.flags.f_contiguous else "C"
        flat = target.ravel(order=order)  # everything in the order of the file: walks along memory, not across it
        allowed, amounts = support.ravel(order=order), wanted.ravel(order=order)
        most = None if bounds is None else bounds.ravel(order=order)
        for start in range(0, flat.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            where = start + np.flatnonzero(in_range(flat[part], mine) & allowed[part])
            flat[where] = _moved(flat[where], amounts[where], mine, None if most is None else most[where])
        if not np.shares_memory(flat, target):
            target[...] = flat.reshape(target.shape, order=order)
    return changed


def insert(volume: Volume, box: tuple[slice, ...], changed: NDArray[Any]) -> NDArray[Any]:
    """Put a changed crop back into a copy of the whole file's stored values.

    Args:
        volume: the file.
        box: where the crop lies, one slice an axis.
        changed: ``(C, *box)`` from :func:`apply`, without an alpha plane.
    """
    stored: NDArray[Any] = volume.stored.copy(order="K")
    view = np.moveaxis(stored, -1, 0) if volume.channels_last else stored[None]
    view[(slice(0, len(changed)),) + box] = changed
    return stored


def straight_through(direction: Any, steps: Any) -> Any:
    """Round a direction to whole stored steps with the gradient of the identity.

    Args:
        direction: torch tensor in [-1, 1] (any type with ``round`` and ``detach``).
        steps: ``Budget.steps``, or a tensor of them that broadcasts; ``None`` (float files) leaves it as it is.

    Returns:
        The direction that :func:`apply` will use, differentiable.
    """
    if steps is None:
        return direction
    return direction + ((direction * steps).round() / steps - direction).detach()


def in_range(stored: NDArray[Any], budget: Budget) -> NDArray[np.bool_]:
    """Where stored values lie in the budget's range and so may be changed.

    Args:
        stored: stored values, any shape; NaN is never in range.
        budget: from :func:`make_budget`, of all these values.
    """
    whole = stored.dtype.kind in "iu"  # whole numbers compare without a float copy
    values = stored if whole else stored.astype(np.float64, copy=False)
    low, high = (int(budget.low), int(budget.high)) if whole else (budget.low, budget.high)
    with np.errstate(invalid="ignore"):
        return np.asarray((values >= low) & (values <= high))


def scale_for_psnr(
    stored: NDArray[Any],
    direction: NDArray[Any],
    support: NDArray[np.bool_],
    budget: Budget,
    encoding: Encoding,
    *,
    target: float,
    values: int,
    inside: NDArray[np.bool_] | None = None,
) -> tuple[float, float]:
    """Largest factor in (0, 1] by which a direction must be scaled so that a file reaches a PSNR.

    Args:
        stored: stored values ``(C, *box)``.
        direction: ``(C, *box)``, float32.
        support: ``(*box)``.
        budget: from :func:`make_budget`; the peak is the width of its range. Channels with ranges of their own each
            reach the target on theirs.
        encoding: what the values mean.
        target: PSNR in dB over the whole file.
        values: number of values in the whole file (voxels times channels, without alpha).
        inside: ``(*box)``, labelled voxels; needed where the budget has a background of its own.

    Returns:
        The factor (a float32 number), and the PSNR with it.

    Raises:
        BudgetError: if nothing would be left of the perturbation; says what PSNR the smallest change has. An image that
            is not protected is never passed off as one that is.
    """
    _check_direction(stored, direction, support)
    if budget.channels:
        wanted = {"target": target, "values": values // len(budget.channels), "inside": inside}
        found = [
            scale_for_psnr(stored[i : i + 1], direction[i : i + 1], support, one, encoding, **wanted)  # type: ignore[arg-type]
            for i, one in enumerate(budget.channels)
        ]
        return min(one[0] for one in found), min(one[1] for one in found)
    parts = []
    for channel, wanted in zip(stored, direction, strict=True):
        where = in_range(channel, budget) & support
        most = None if budget.background is None or inside is None else budget.bounds(inside[where])
        parts.append((channel[where], wanted[where], most))

    def psnr(scale: float) -> float:
        total = 0.0
        for old, wanted, most in parts:
            new = _moved(old, wanted if scale == 1 else wanted * np.float32(scale), budget, most)
            moved = new.astype(np.float64) - old.astype(np.float64)
            total += float(np.dot(moved, moved))
        return math.inf if total == 0 else 10 * math.log10(budget.peak**2 * values / total)

    full = psnr(1.0)
    if full >= target:
        return 1.0, full
    fine, coarse = 0.0, 1.0  # PSNR falls with the factor: keep psnr(fine) >= target > psnr(coarse)
    for _ in range(20):
        middle = (fine + coarse) / 2
        fine, coarse = (middle, coarse) if psnr(middle) >= target else (fine, middle)
    reached = psnr(fine)
    if math.isinf(reached):
        raise BudgetError(
            f"psnr_target: expected at most {psnr(coarse):.2f} dB, the PSNR of the smallest change this file can hold, "
            f"got {target:g} dB. Lower psnr_target."
        )
    return fine, reached


def _up(value: float) -> float:
    """Round up to four digits, so that what a message proposes works."""
    digit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return math.ceil(value / digit - 1e-9) * digit


def _check_direction(stored: NDArray[Any], direction: NDArray[Any], support: NDArray[np.bool_]) -> None:
    if direction.shape != stored.shape or support.shape != stored.shape[1:]:
        raise BudgetError(
            f"direction: expected shape {stored.shape} and support {stored.shape[1:]}, got {direction.shape} and "
            f"{support.shape}. A method returns one value a channel and voxel of the box."
        )
    if not math.isfinite(float(np.sum(direction, dtype=np.float64))):  # one pass without a mask of the same size
        raise BudgetError("direction: expected finite values, got NaN or infinity. The method diverged: train again.")


def _moved(
    old: NDArray[Any], direction: NDArray[Any], budget: Budget, bounds: NDArray[np.float64] | None = None
) -> NDArray[Any]:
    """New stored values for voxels that may change, each within its own bound."""
    direction = np.clip(direction.astype(np.float64), -1.0, 1.0)
    if budget.lattice is not None:
        return budget.lattice.move(old, direction, budget.bound_stored, bounds, (budget.low, budget.high))
    if budget.steps is not None:
        whole = np.rint(direction * budget.steps).astype(np.int64)
        if bounds is not None:
            whole = np.clip(whole, -bounds.astype(np.int64), bounds.astype(np.int64))
        whole = np.clip(old.astype(np.int64) + whole, int(budget.low), int(budget.high))
        return np.asarray(whole.astype(old.dtype))
    start = old.astype(np.float64)
    most = budget.bound_stored if bounds is None else bounds
    moved_by = np.clip(direction * budget.bound_stored, -most, most)
    new = np.clip(start + moved_by, budget.low, budget.high).astype(old.dtype)
    for _ in range(4):  # rounding to the file's precision may step over an end by half a unit: step back
        value = new.astype(np.float64)
        over = (np.abs(value - start) > most) | (value < budget.low) | (value > budget.high)
        if not over.any():
            return new
        new[over] = np.nextafter(new[over], old[over])
    new[over] = old[over]
    return new
