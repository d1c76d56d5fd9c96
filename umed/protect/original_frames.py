# SPDX-License-Identifier: Apache-2.0
"""Frames of DICOM originals, and where they turn up in a release: as pixels, or as bytes of some other element."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from umed.cases.pixel_copies import ICON, PIXEL_DATA, binary_elements, name_of, remove_copies
from umed.core.errors import InputError, UmedError, error_line
from umed.core.progress import counted
from umed.core.types import Progress
from umed.data import planes
from umed.dicom.members import FileRef, digest_of
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader

_ANCHOR = 8
"""Bytes of a frame by which it is looked for."""


@dataclass(frozen=True)
class FileFrames:
    """What one DICOM file holds.

    Args:
        frames: signatures of its frames.
        series: its SeriesInstanceUID.
        icon: whether it holds an icon of its picture.
        removed: whether it says that the patient's identity was removed (PatientIdentityRemoved).
        surplus: tags of what a protected image does not hold, see :func:`umed.cases.pixel_copies.remove_copies`.
        copies: signatures of the frames of originals that elements beside the pixels hold, by tag.
    """

    frames: frozenset[bytes]
    series: str
    icon: bool
    removed: bool
    surplus: tuple[str, ...]
    copies: dict[str, frozenset[bytes]]


@dataclass
class RawFrames:
    """Frames of originals as bytes, found again at any place in others.

    Each is known by a few bytes that are as rare in it as any; where they turn up, the whole frame is compared by hash.
    """

    known: dict[int, set[tuple[int, int, bytes, bytes]]] = field(default_factory=lambda: defaultdict(set))
    least: int = 0

    def add(self, raw: bytes, signature: bytes) -> None:
        """Remember a frame, unless it has fewer than eight bytes."""
        if len(raw) < _ANCHOR:
            return
        words = np.frombuffer(raw, "<u8", len(raw) // _ANCHOR)
        values, first, counts = np.unique(words, return_index=True, return_counts=True)
        rarest = int(np.argmin(counts))
        entry = (int(first[rarest]) * _ANCHOR, len(raw), hashlib.sha256(raw).digest(), signature)
        self.known[int(values[rarest])].add(entry)
        self.least = min(self.least or len(raw), len(raw))

    def find(self, value: bytes) -> frozenset[bytes]:
        """Signatures of the frames that lie whole in some bytes."""
        if not self.known or len(value) < self.least:
            return frozenset()
        anchors = np.array(sorted(self.known), np.uint64)
        found: set[bytes] = set()
        for shift in range(_ANCHOR):
            words = np.frombuffer(value, "<u8", (len(value) - shift) // _ANCHOR, shift)
            for index in np.flatnonzero(np.isin(words, anchors)).tolist():
                for offset, size, digest, signature in self.known[int(words[index])]:
                    start = shift + index * _ANCHOR - offset
                    if signature in found or start < 0 or start + size > len(value):
                        continue
                    if hashlib.sha256(value[start : start + size]).digest() == digest:
                        found.add(signature)
        return frozenset(found)


def original_frames(
    root: Path, progress: Progress | None = None, limits: Limits = LIMITS
) -> tuple[dict[bytes, str], dict[str, str], list[tuple[str, str]], RawFrames]:
    """Read all frames of a folder or zip.

    Args:
        root: folder or zip of DICOM files.
        progress: called with ``"originals"`` for each file.
        limits: bounds on what is read.

    Returns:
        Name of a file by the signature of each of its frames, and by its SHA-256; names with reasons of images that
        cannot be decoded; and the frames as bytes.
    """
    slices: dict[bytes, str] = {}
    digests: dict[str, str] = {}
    unreadable: list[tuple[str, str]] = []
    raw = RawFrames()
    listed, _ = reader.find(root, limits)
    for path, name in counted(listed, "originals", progress):
        try:
            found = _remember(path, raw, limits)
        except UmedError as error:
            found = None
            unreadable.append((name, error_line(error).replace(f"{path}: ", "")))
        if found is not None:
            digests[digest_of(path)] = name
            slices.update((one, name) for one in found)
    return slices, digests, unreadable, raw


def _remember(path: FileRef, raw: RawFrames, limits: Limits) -> frozenset[bytes] | None:
    """Signatures of the frames of an original, whose bytes are kept in mind; ``None`` without pixels."""
    try:
        dataset = reader.read(path, limits, pixels=True)
    except InputError:
        return None
    with reader.guard(path):
        if "PixelData" not in dataset or _is_mask(dataset):
            return frozenset() if ICON in dataset else None
        values = pixel_data.decode(dataset, limits)
        stored: bytes = dataset.PixelData
        native = not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    found: set[bytes] = set()
    for number, frame in enumerate(values):
        signatures = list(_signatures(frame))
        found.update(signatures)
        decoded = np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes()
        as_stored = stored[number * len(decoded) : (number + 1) * len(decoded)] if native else decoded
        if signatures:
            for one in {decoded, as_stored}:
                raw.add(one, signatures[0])
    return frozenset(found)


def read_frames(path: Path, limits: Limits = LIMITS, originals: RawFrames | None = None) -> FileFrames | None:
    """Look at one DICOM file.

    Args:
        path: the file.
        limits: bounds on what is read.
        originals: to look for in everything but its pixels.

    Returns:
        ``None`` for what is no DICOM file.

    Raises:
        InputError: when its pixels cannot be decoded.
    """
    try:
        dataset = reader.read(path, limits, pixels=True)
    except InputError:
        return None
    with reader.guard(path):
        icon = ICON in dataset
        removed = str(dataset.get("PatientIdentityRemoved", "")).strip().upper() == "YES"
        series = str(dataset.get("SeriesInstanceUID", ""))
        copies = {} if originals is None else _copies(dataset, originals)
        pictured = PIXEL_DATA in dataset and not _is_mask(dataset)
        values = pixel_data.decode(dataset, limits) if pictured else ()
        surplus = tuple(tag for tag, _ in remove_copies(dataset)) if pictured else ()
    found = frozenset(one for frame in values for one in _signatures(frame))
    return FileFrames(found, series, icon, removed, tuple(one for one in surplus if one != name_of(ICON)), copies)


def _copies(dataset: FileDataset, originals: RawFrames) -> dict[str, frozenset[bytes]]:
    """Frames of originals in elements beside the pixels, by tag."""
    found: dict[str, frozenset[bytes]] = {}
    for element in binary_elements(dataset):
        held = originals.find(element.value)
        if held:
            found[element.name] = found.get(element.name, frozenset()) | held
    return found


def _is_mask(dataset: FileDataset) -> bool:
    return "BitsAllocated" in dataset and dataset.BitsAllocated == 1


def _signatures(frame: NDArray[Any]) -> Iterator[bytes]:
    """Of each colour of a frame; none where it is flat."""
    channels = frame.transpose(2, 0, 1) if frame.ndim == 3 else frame[None]
    yield from (one for channel in channels for one in planes.signatures(channel.reshape(1, -1)) if one)
