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
from collections.abc import Iterable, Iterator
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
_CHUNK = 1 << 21
"""Values that are worked on at once, so that a large volume needs little more memory than it has bytes."""


def pack_difference(original: NDArray[Any], published: NDArray[Any]) -> bytes:
    """Pack what turns published values into the original ones.

    Args:
        original: stored values, any shape; integers or floats of at most 64 bits.
        published: of the same shape and dtype.

    Returns:
        What :func:`unpack_difference` reads.
    """
    step = _step_of(original, published)
    old, new = _flat(original), _flat(published)
    parts = [slice(start, start + _CHUNK) for start in range(0, old.size, _CHUNK)]
    if step == 0:
        return _STEP.pack(0.0) + _planes((_bits(old[one]) - _bits(new[one]) for one in parts), old.dtype.itemsize)

    def places() -> Iterator[NDArray[Any]]:
        for one in parts:
            yield (_places(old[one], step) - _places(new[one], step)).astype(np.int32).view(np.uint32)

    def rest() -> Iterator[NDArray[Any]]:
        for one, moved in zip(parts, places(), strict=True):
            yield _bits(old[one]) - _bits(_moved(new[one], moved.view(np.int32), step))

    return _STEP.pack(step) + _planes(places(), 4) + _planes(rest(), old.dtype.itemsize)


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
    new, place, width = _flat(published), _STEP.size, published.dtype.itemsize
    if step != 0 and not (published.dtype.kind == "f" and np.isfinite(step) and step > 0):
        raise _damaged("a grid that is none")
    moves, place = _unplanes(packed, place, new.size, 4 if step else 0)
    rest, place = _unplanes(packed, place, new.size, width)
    if place != len(packed):
        raise _damaged("bytes behind the planes")
    found = np.empty(new.size, new.dtype)
    for start in range(0, new.size, _CHUNK):
        one = slice(start, start + _CHUNK)
        before = _moved(new[one], _unfolded(moves, one).view(np.int32), step) if step else new[one]
        bits = _bits(before) + _unfolded(rest, one)
        found[one].view(f"u{width}")[:] = bits if new.dtype.isnative else bits.byteswap()
    return found.reshape(published.shape)


def _step_of(original: NDArray[Any], published: NDArray[Any]) -> float:
    """Distance of the values that floats use, as far as their changes show it; 0 where nothing tells.

    It need not be right: what a wrong one leaves over is packed, too.
    """
    if original.dtype.kind != "f":
        return 0.0
    old, new = _flat(original), _flat(published)
    other = _bits(old) != _bits(new)
    old, new = old[other], new[other]  # all that counts
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
    """How many values, ``(n,)``, a move along a grid does not bring back."""
    places = (_places(original, step) - _places(published, step)).astype(np.int32)
    return int(np.count_nonzero(_bits(original) != _bits(_moved(published, places, step))))


def _places(values: NDArray[Any], step: float) -> NDArray[np.float64]:
    """Number of the grid's place that each value is nearest to; 0 for NaN and infinity."""
    with np.errstate(all="ignore"):
        found: NDArray[np.float64] = np.rint(values.astype(np.float64) / step)
    return np.where(np.isfinite(found), found, 0.0)


def _moved(published: NDArray[Any], places: NDArray[np.int32], step: float) -> NDArray[Any]:
    """Published values, ``(n,)``, moved along the grid; where nothing moves, the very bits stay. In native order."""
    with np.errstate(all="ignore"):
        found = ((_places(published, step) + places) * step).astype(published.dtype.newbyteorder("="))
    bits = np.where(places == 0, _bits(published), _bits(found))
    return bits.view(published.dtype.newbyteorder("="))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """All values in the order of the axes, ``(n,)``."""
    return np.ascontiguousarray(values).reshape(-1)


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Bit patterns of values, ``(n,)``, as unsigned numbers of this machine."""
    native = values if values.dtype.isnative else values.byteswap().view(values.dtype.newbyteorder("="))
    found: NDArray[Any] = native.view(f"u{native.dtype.itemsize}")
    return found


def _planes(differences: Iterable[NDArray[Any]], width: int) -> bytes:
    """Unsigned differences modulo 2**n, chunk by chunk, folded, as packed byte planes."""
    planes = [_Plane() for _ in range(width)]
    for difference in differences:
        signed = difference.view(f"i{width}")
        folded = (difference << difference.dtype.type(1)) ^ (signed >> signed.dtype.type(8 * width - 1)).view(
            difference.dtype
        )
        rows = folded.astype(folded.dtype.newbyteorder("<"), copy=False).view(np.uint8).reshape(-1, width)
        for number, plane in enumerate(planes):
            plane.add(np.ascontiguousarray(rows[:, number]))
    return b"".join(plane.packed() for plane in planes)


class _Plane:
    """A byte plane that is being packed; zeros at its beginning wait until something else comes."""

    def __init__(self) -> None:
        self.packer: Any = None
        self.zeros = 0
        self.parts: list[bytes] = []

    def add(self, values: NDArray[np.uint8]) -> None:
        """Go on with these bytes, ``(n,)``."""
        if self.packer is None and not values.any():
            self.zeros += values.size
            return
        if self.packer is None:
            self.packer = bz2.BZ2Compressor()
            self.parts.append(self.packer.compress(bytes(self.zeros)))
        self.parts.append(self.packer.compress(values.data))

    def packed(self) -> bytes:
        """Its size and bytes; none where all are zero."""
        data = b"" if self.packer is None else b"".join([*self.parts, self.packer.flush()])
        return _PLANE.pack(len(data)) + data


def _unplanes(packed: bytes, place: int, size: int, width: int) -> tuple[list[NDArray[np.uint8]], int]:
    """Byte planes, each ``(size,)``, and where they end."""
    planes = []
    for _ in range(width):
        plane, place = _unpack(packed, place, size)
        planes.append(np.frombuffer(plane, np.uint8))
    return planes, place


def _unfolded(planes: list[NDArray[np.uint8]], part: slice) -> NDArray[Any]:
    """Unsigned differences of a part, ``(n,)``."""
    width = len(planes)
    rows = np.stack([plane[part] for plane in planes], axis=-1)
    folded = rows.reshape(-1).view(f"<u{width}").astype(f"=u{width}", copy=False)
    one = folded.dtype.type(1)
    found: NDArray[Any] = (folded >> one) ^ (~(folded & one) + one)
    return found


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
