# SPDX-License-Identifier: Apache-2.0
"""What brings the stored values of an original back from the published ones, exactly, in few bytes.

Bit patterns are subtracted modulo 2**n, which is exact for every type, NaN included. Floats that lie on a grid, such as
those that were converted from whole numbers, are first moved along it, so that hardly a bit is left over. Differences
are folded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...), so that small steps of either sign have zeros in their high bytes,
and cut into byte planes, each packed by bzip2. Of zlib, LZMA and bzip2 that one makes noise and codes smallest, and is
several times as fast as LZMA (`docs/sharing.md` has the figures).
"""

from __future__ import annotations

import bz2
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError

_STEP = struct.Struct("<d")
"""Distance of the values of floats that lie on a grid; 0 for none."""
_PLANE = struct.Struct("<Q")
"""Bytes of a packed plane; none of one that is zero everywhere."""
_MOST_STEPS = float(1 << 30)
_PARTS = (1, 2, 3, 4)


def pack_difference(original: NDArray[Any], published: NDArray[Any]) -> bytes:
    """Pack what turns published values into the original ones.

    Args:
        original: stored values, any shape; integers or floats of at most 64 bits.
        published: of the same shape and dtype.

    Returns:
        What :func:`unpack_difference` reads.
    """
    step = _step_of(original, published)
    if step == 0:
        return _STEP.pack(0.0) + _planes(_bits(original) - _bits(published))
    places = _places(original, step) - _places(published, step)
    moved = _bits(original) - _bits(_moved(published, places, step))
    return _STEP.pack(step) + _planes(places.astype(np.int32).view(np.uint32)) + _planes(moved)


def unpack_difference(packed: bytes, published: NDArray[Any]) -> NDArray[Any]:
    """The original values.

    Args:
        packed: from :func:`pack_difference`.
        published: as there.

    Returns:
        Values of the shape and dtype of ``published``, byte order included.

    Raises:
        InputError: when it is damaged, or would become larger than the published values.
    """
    if len(packed) < _STEP.size:
        raise _damaged("too few bytes")
    (step,) = _STEP.unpack_from(packed)
    place, start = _STEP.size, published
    if step != 0:
        if published.dtype.kind != "f" or not (np.isfinite(step) and step > 0):
            raise _damaged("a grid that is none")
        places, place = _unplanes(packed, place, published.size, 4)
        start = _moved(published, places.view(np.int32).astype(np.float64).reshape(published.shape), step)
    difference, place = _unplanes(packed, place, published.size, published.dtype.itemsize)
    if place != len(packed):
        raise _damaged("bytes behind the planes")
    native = (_bits(start) + difference).view(published.dtype.newbyteorder("=")).reshape(published.shape)
    return _ordered(native, published.dtype)


def _step_of(original: NDArray[Any], published: NDArray[Any]) -> float:
    """Distance of the values that floats use, as far as their changes show it; 0 where nothing tells.

    It need not be right: what a wrong one leaves over is packed, too.
    """
    if original.dtype.kind != "f":
        return 0.0
    other = (_bits(original) != _bits(published)).reshape(original.shape)
    old, new = original[other], published[other]  # all that counts
    with np.errstate(all="ignore"):
        values = old.astype(np.float64)
        moved = np.abs(values - new.astype(np.float64))
        moved = moved[np.isfinite(moved) & (moved > 0)]
        if not moved.size:
            return 0.0
        seen = values[np.isfinite(values)]
        least = _refined(float(np.median(moved[moved < 1.01 * moved.min()])), moved)
        most = max(np.abs(seen).max(), np.abs(new[np.isfinite(new)]).max(initial=0.0))
    best, left = 0.0, other.sum() / 2  # where more is left over than that, they lie on no grid
    for parts in _PARTS:  # a code may use every second place alone
        step = _refined(least / parts, seen)
        if step and most / step < _MOST_STEPS and (over := _left_over(old, new, step)) < left:
            best, left = step, over
        if left == 0:
            break
    return best


def _refined(step: float, seen: NDArray[np.float64]) -> float:
    """The step whose multiples lie nearest to some values; 0 where there is none."""
    for _ in range(3):
        if not (np.isfinite(step) and step > 0 and np.abs(seen / step).max() < _MOST_STEPS):
            return 0.0
        count = np.rint(seen / step)
        step = float((count * seen).sum() / max(float((count * count).sum()), 1.0))
    return step if np.isfinite(step) and step > 0 else 0.0


def _left_over(original: NDArray[Any], published: NDArray[Any], step: float) -> int:
    """How many values a move along a grid does not bring back."""
    places = _places(original, step) - _places(published, step)
    return int(np.count_nonzero(_bits(original) != _bits(_moved(published, places, step))))


def _places(values: NDArray[Any], step: float) -> NDArray[np.float64]:
    """Number of the grid's place that each value is nearest to; 0 for NaN and infinity."""
    with np.errstate(all="ignore"):
        found: NDArray[np.float64] = np.rint(values.astype(np.float64) / step)
    return np.where(np.isfinite(found), found, 0.0)


def _moved(published: NDArray[Any], places: NDArray[np.float64], step: float) -> NDArray[Any]:
    """Published values moved along the grid; where nothing moves, the very bits stay."""
    with np.errstate(all="ignore"):
        found = ((_places(published, step) + places) * step).astype(published.dtype)
    bits = np.where(places.reshape(-1) == 0, _bits(published), _bits(found))
    native = bits.view(published.dtype.newbyteorder("=")).reshape(published.shape)
    return _ordered(native, published.dtype)


def _ordered(native: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same values in the byte order of a dtype, bit for bit: a conversion might change a signalling NaN."""
    found: NDArray[Any] = native if dtype.isnative else native.byteswap().view(dtype)
    return found


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Bit patterns as unsigned numbers of this machine, in the order of the array's axes."""
    native = np.ascontiguousarray(values)
    if not native.dtype.isnative:
        native = native.byteswap().view(native.dtype.newbyteorder("="))
    flat: NDArray[Any] = native.reshape(-1).view(f"u{native.dtype.itemsize}")
    return flat


def _planes(difference: NDArray[Any]) -> bytes:
    """Unsigned differences modulo 2**n, folded, as packed byte planes."""
    signed = difference.view(f"i{difference.itemsize}").reshape(-1)
    sign = (signed >> signed.dtype.type(8 * signed.itemsize - 1)).view(difference.dtype)
    folded = (difference.reshape(-1) << difference.dtype.type(1)) ^ sign
    rows = folded.astype(folded.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, folded.itemsize)
    return b"".join(_pack(np.ascontiguousarray(rows[:, place])) for place in range(folded.itemsize))


def _unplanes(packed: bytes, place: int, size: int, width: int) -> tuple[NDArray[Any], int]:
    """The differences, ``(size,)``, and where their planes end."""
    rows = np.empty((size, width), np.uint8)
    for number in range(width):
        plane, place = _unpack(packed, place, size)
        rows[:, number] = np.frombuffer(plane, np.uint8)
    folded = rows.reshape(-1).view(f"<u{width}").astype(f"=u{width}")
    one = folded.dtype.type(1)
    return (folded >> one) ^ (~(folded & one) + one), place


def _pack(plane: NDArray[np.uint8]) -> bytes:
    data = bz2.compress(plane.tobytes()) if plane.any() else b""
    return _PLANE.pack(len(data)) + data


def _unpack(packed: bytes, place: int, size: int) -> tuple[bytes, int]:
    """A plane of exactly ``size`` bytes, never more, and where the next one begins."""
    if place + _PLANE.size > len(packed):
        raise _damaged("too few planes")
    (length,) = _PLANE.unpack_from(packed, place)
    start = place + _PLANE.size
    data = packed[start : start + length]
    if len(data) != length:
        raise _damaged("a damaged plane")
    if not data:
        return bytes(size), start
    unpacker = bz2.BZ2Decompressor()
    try:
        plane = unpacker.decompress(data, size + 1)
    except (OSError, ValueError, EOFError):
        raise _damaged("a damaged plane") from None
    if len(plane) != size or not unpacker.eof or unpacker.unused_data:
        raise _damaged(f"a plane that is not of {size} values")
    return plane, start + length


def _damaged(what: str) -> InputError:
    return InputError(f"expected the packed difference as umed writes it, got {what}. Fetch it again.")
