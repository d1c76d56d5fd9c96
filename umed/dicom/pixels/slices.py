# SPDX-License-Identifier: Apache-2.0
"""Slices of a series, read one file or one frame at a time, so that a series never has to fit into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from umed.core.errors import InputError
from umed.dicom.objects import LIMITS, Instance, Limits, Series
from umed.dicom.pixels import decoding
from umed.dicom.read import reader, stream


def read_slices(series: Series, start: int, stop: int, limits: Limits = LIMITS) -> NDArray[Any]:
    """Stored values of the slices from ``start`` to before ``stop`` of an image series, one file open at a time.

    ``(stop - start, rows, columns)``, with colours ``(..., 3)``; see :func:`umed.dicom.pixels.decoding.decode`.
    InputError as there, with the path, or if the series has no such slices.
    """
    if not 0 <= start < stop <= len(series.slices):
        raise InputError(f"{series.id}: expected slices within 0 to {len(series.slices)}, got {start} to {stop}")
    out: NDArray[Any] | None = None
    for number in range(start, stop):
        instance, frame = series.slices[number]
        values = _one(series.instances[instance], frame, limits)
        if out is None:
            out = np.empty((stop - start, *values.shape), values.dtype)
        if values.shape != out.shape[1:] or values.dtype != out.dtype:
            found = f"{values.shape} {values.dtype}"
            raise InputError(f"{series.instances[instance].path}: expected {out.shape[1:]} {out.dtype}, got {found}")
        out[number - start] = values
    assert out is not None
    return out


_Open = tuple[FileDataset, int | None]
_OPEN: dict[tuple[str, int, int], _Open] = {}
"""The last multi-frame file, since most callers want many of its frames: its header with where its pixels start, or
the whole data set with the pixels still compressed and ``None``."""


def _one(instance: Instance, frame: int, limits: Limits) -> NDArray[Any]:
    """One frame of one file."""
    try:
        if instance.shape[0] == 1:
            return np.asarray(decoding.decode(reader.read(instance.path, limits, pixels=True), limits)[0])
        state = instance.path.stat()
        key = (str(instance.path), state.st_mtime_ns, state.st_size)
        if key not in _OPEN:
            _OPEN.clear()
            _OPEN[key] = _open(instance, limits)
        dataset, start = _OPEN[key]
        if start is None:
            return np.asarray(decoding.decode(dataset, limits, frame=frame)[0])
        return _seek(dataset, instance.path, start, frame, limits)
    except OSError as error:
        raise InputError(f"{instance.path}: cannot be read ({error.strerror})") from error
    except InputError as error:
        message = str(error)
        raise InputError(message if str(instance.path) in message else f"{instance.path}: {message}") from error


def _open(instance: Instance, limits: Limits) -> _Open:
    """A multi-frame file; the pixels stay on disk where each frame has its place there."""
    start = reader.pixels_at(instance.path, limits)
    with reader.guard(instance.path):
        compressed = UID(instance.syntax).is_encapsulated
    if start is None or compressed or instance.syntax == stream.BIG:
        return reader.read(instance.path, limits, pixels=True), None
    return reader.read(instance.path, limits, pixels=False), start


def _seek(dataset: FileDataset, path: Path, start: int, frame: int, limits: Limits) -> NDArray[Any]:
    """One frame of a file that is not compressed, through a data set that holds just this frame."""
    with reader.guard(path):
        dataset.NumberOfFrames = 1
        dataset.PixelData = b"\0\0"
        shape, dtype = decoding.expected(dataset)
        size = int(np.prod(shape[1:], dtype=object)) * dtype.itemsize
        if size > limits.pixels_bytes:
            raise InputError(f"{path}: expected frames of at most {limits.pixels_bytes} bytes, got {size}")
        with open(path, "rb") as file:
            file.seek(start + frame * size)
            raw = file.read(size)
        if len(raw) < size:
            raise InputError(f"{path}: expected {size} bytes for frame {frame}, got {len(raw)}")
        dataset.PixelData = raw + b"\0" * (size % 2)
        dataset["PixelData"].VR = "OB" if dtype.itemsize == 1 else "OW"
    return np.asarray(decoding.decode(dataset, limits)[0])
