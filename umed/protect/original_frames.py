# SPDX-License-Identifier: Apache-2.0
"""Signatures of the frames of DICOM files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from umed.core.errors import InputError, UmedError, error_line
from umed.core.types import Progress
from umed.data import files, planes
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader


def original_frames(
    root: Path, progress: Progress | None = None, limits: Limits = LIMITS
) -> tuple[dict[bytes, str], dict[str, str], list[tuple[str, str]]]:
    """Read all frames of a folder or zip.

    Args:
        root: folder or zip of DICOM files.
        progress: called with ``"originals"`` for each file.
        limits: bounds on what is read.

    Returns:
        Name of a file by the signature of each of its frames, and by its SHA-256; and names with reasons of images that
        cannot be decoded.
    """
    slices: dict[bytes, str] = {}
    digests: dict[str, str] = {}
    unreadable: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="umed-check-") as work:
        listed, _ = reader.find(root, Path(work), limits)
        for done, (path, name) in enumerate(listed, 1):
            try:
                found = read_frames(path, limits)
            except UmedError as error:
                found = None
                unreadable.append((name, error_line(error).replace(f"{path}: ", "")))
            if found is not None:
                digests[files.sha256(path)] = name
                slices.update((one, name) for one in found[0])
            if progress is not None:
                progress("originals", done, len(listed))
    return slices, digests, unreadable


def read_frames(path: Path, limits: Limits = LIMITS) -> tuple[frozenset[bytes], str, bool] | None:
    """Signatures of the frames of one DICOM file, its SeriesInstanceUID, and whether it holds an icon of its picture.

    Args:
        path: the file.
        limits: bounds on what is read.

    Returns:
        ``None`` for what is no DICOM file, or holds no pixels.

    Raises:
        InputError: when its pixels cannot be decoded.
    """
    try:
        dataset = reader.read(path, limits, pixels=True)
    except InputError:
        return None
    with reader.guard(path):
        icon = "IconImageSequence" in dataset
        series = str(dataset.get("SeriesInstanceUID", ""))
        if "PixelData" not in dataset or "BitsAllocated" in dataset and dataset.BitsAllocated == 1:
            return (frozenset(), series, icon) if icon else None
        values = pixel_data.decode(dataset, limits)
    found: set[bytes] = set()
    for frame in values:
        channels = frame.transpose(2, 0, 1) if frame.ndim == 3 else frame[None]
        found.update(one for channel in channels for one in planes.signatures(channel.reshape(1, -1)))
    return frozenset(found - {b""}), series, icon
