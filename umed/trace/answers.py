# SPDX-License-Identifier: Apache-2.0
"""What a suspect network said of each query: masks or probabilities, from files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError, error_line
from umed.data import formats
from umed.data.formats import ending

NPZ = ".npz"
PROPERTIES = ".pkl"
"""What nnU-Net lays beside an NPZ; never opened, but it tells whose axes these are where all sides are equal."""
NAMES = ("probabilities", "softmax")
"""Keys of an NPZ that hold probabilities: nnU-Net v2's and v1's; else its only array."""
MOST_BYTES = 1 << 33
"""Larger arrays are refused before they are unpacked."""


@dataclass(frozen=True, eq=False)
class SuspectAnswer:
    """One answer.

    Args:
        shares: of each class ``(K, *spatial)`` float32 in [0, 1], the background first.
        soft: whether they are probabilities; of a mask they are 0 and 1.
    """

    shares: NDArray[np.float32]
    soft: bool


def find_answers(folder: Path, queries: Iterable[str]) -> dict[str, Path]:
    """The file that answers each query: called like it, with any ending that is read; probabilities before masks.

    Raises:
        InputError: when two files of one kind answer a query.
    """
    wanted, found = set(queries), dict[str, Path]()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        query, soft = _stem(path), path.suffix.lower() == NPZ
        if query not in wanted or not (soft or ending(path)):
            continue
        other = found.get(query)
        if other is not None and (other.suffix.lower() == NPZ) == soft:
            raise InputError(
                f"{folder}: expected one answer to {query}, got {other.name}, {path.name}. Keep one of them."
            )
        if other is None or soft:
            found[query] = path
    return found


def read_answer(path: Path, shape: Sequence[int], values: Sequence[int]) -> SuspectAnswer:
    """Read an answer on the grid of its query.

    Args:
        path: mask in any format that umed reads, with the values of the data set's masks or the numbers 0 to K - 1 of
            the classes; or NPZ with probabilities ``(K, *spatial)``.
        shape: spatial shape of the query as it was stored.
        values: of the classes in the data set's masks, without the background.

    Raises:
        InputError: when it cannot be read, has another shape, or values that are no class.
    """
    if path.suffix.lower() == NPZ:
        return SuspectAnswer(_probabilities(path, shape, len(values) + 1), soft=True)
    stored = formats.read(path).channels
    if stored.shape[0] > 1 and (stored == stored[:1]).all():  # a grey mask that was saved in colour
        stored = stored[:1]
    if stored.shape != (1, *shape):
        raise InputError(
            f"{path}: expected a mask of {tuple(shape)}, as its query has, got {stored.shape[1:]} in "
            f"{stored.shape[0]} channels. Write the answers on the grid of the queries."
        )
    mask, own, numbers = stored[0], [0, *values], list(range(len(values) + 1))
    seen = set(np.unique(mask).tolist())
    if len(values) == 1 and 0 in seen and len(seen) == 2:
        numbers = sorted(seen)  # one class: any other value than 0 means it
    elif seen <= set(own):
        numbers = own
    elif not seen <= set(numbers):
        strange = sorted(seen - set(own))[:3]
        raise InputError(f"{path}: expected the classes {own} of the masks, or 0 to {len(values)}, got {strange}.")
    return SuspectAnswer(np.stack([(mask == number).astype(np.float32) for number in numbers]), soft=False)


def _probabilities(path: Path, shape: Sequence[int], classes: int) -> NDArray[np.float32]:
    try:
        with zipfile.ZipFile(path) as packed:
            sizes = [member.file_size for member in packed.infolist()]
        if sum(sizes) > MOST_BYTES:
            raise InputError(f"{path}: expected at most {MOST_BYTES >> 30} GB, got {sum(sizes) >> 30} GB.")
        with np.load(path, allow_pickle=False) as arrays:
            name = next((name for name in NAMES if name in arrays.files), None)
            name = arrays.files[0] if name is None and len(arrays.files) == 1 else name
            if name is None:
                raise InputError(f"{path}: expected one array, or one called {NAMES[0]!r}, got {arrays.files}.")
            found = np.asarray(arrays[name])
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: expected probabilities in an NPZ, got: {error_line(error)}") from error
    if found.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected numbers, got {found.dtype}.")
    found = found.astype(np.float32)
    if found.shape == tuple(shape) and classes == 2:  # of the foreground alone
        found = np.stack([1 - found, found])
    turned = found.shape[1:] != tuple(shape) or (len(shape) == 3 and path.with_suffix(PROPERTIES).is_file())
    if turned and found.shape[1:] == tuple(reversed(shape)):
        found = np.ascontiguousarray(found.transpose(0, *range(found.ndim - 1, 0, -1)))  # nnU-Net's axes: z, y, x
    if found.shape == (classes, 1, *shape):  # a 2D picture as nnU-Net keeps it
        found = found[:, 0]
    if found.shape != (classes, *shape):
        raise InputError(
            f"{path}: expected probabilities {(classes, *shape)}, the background first, got {found.shape}."
        )
    if not np.isfinite(found).all() or found.min() < -1e-3 or found.max() > 1.001:
        raise InputError(f"{path}: expected probabilities from 0 to 1, got {found.min():g} to {found.max():g}.")
    return found.clip(0, 1)


def _stem(path: Path) -> str:
    name = path.name.lower()
    known = NPZ if name.endswith(NPZ) else ending(path)
    return path.name[: len(path.name) - len(known)] if known else path.stem
