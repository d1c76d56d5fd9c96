# SPDX-License-Identifier: Apache-2.0
"""Signatures of the originals of a data set, by which they and their slices are found again in a release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from umed.cases.records import RECORD
from umed.core.config import Settings, from_mapping
from umed.core.errors import UmedError, error_line
from umed.core.keyfile import Key
from umed.core.progress import counted
from umed.core.types import Case, Dataset, Progress, Volume
from umed.data import files, formats, layouts, planes
from umed.data.declared import ruled
from umed.data.dicom_input import is_dicom, require_dicom
from umed.plan.facts import open_case
from umed.plan.planning import Plan
from umed.protect.manifest import read_record
from umed.protect.restored import as_good_as_restored

if TYPE_CHECKING:
    from umed.protect.original_frames import RawFrames

MOST_BYTES = 4 << 30
"""Files larger than this are not looked into."""


@dataclass(frozen=True)
class Original:
    """One original image that is meant to be protected.

    Args:
        name: of its file, below the input.
        channels: signatures of the slices with a label, for each channel.
    """

    name: str
    channels: tuple[frozenset[bytes], ...]

    def unchanged(self, found: frozenset[bytes]) -> float:
        """Share of the labelled slices that are found again, of the channel where it is smallest.

        A method may leave one colour as it is, so a picture counts as unchanged only when every channel is.
        """
        return min((len(one & found) / len(one) for one in self.channels if one), default=0.0)


@dataclass
class Originals:
    """What is known about the originals.

    Args:
        images: those that are meant to be protected, by the name of the file that is released for them.
        slices: name of an original by the signature of each of its labelled slices (DICOM: of each frame).
        digests: name of an original by the SHA-256 of its file.
        unreadable: name and reason of those that could only be told by their bytes.
        series: whether they are DICOM files, whose masks are not looked at.
        restored: by name of a released image, why it is as good as its original.
        raw: frames of DICOM originals as bytes (:class:`umed.protect.original_frames.RawFrames`).
    """

    images: dict[str, Original] = field(default_factory=dict)
    slices: dict[bytes, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    series: bool = False
    restored: dict[str, str] = field(default_factory=dict)
    raw: RawFrames | None = None


def read_originals(
    root: Path,
    output: Path,
    progress: Progress | None = None,
    settings: Settings | None = None,
    *,
    layout: Path | None = None,
) -> Originals:
    """Read a data set once, and beside each labelled image of files what is released for it.

    Args:
        root: the data set, or a folder or zip of DICOM files.
        output: the release.
        progress: called with ``"originals"``, cases done and cases in all.
        settings: of the run, which say how masks are read; ``None`` where they are not known.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.

    Raises:
        InputError: when it is neither.
    """
    if layout is None and is_dicom(root):
        require_dicom()
        from umed.protect.original_frames import original_frames

        found = Originals(series=True)
        found.slices, found.digests, found.unreadable, found.raw = original_frames(root, progress)
        return found
    dataset, found = ruled(layouts.find_dataset(root, layout), settings), Originals()
    for case in counted(dataset.cases, "originals", progress):
        _add(found, dataset, case, output)
    return found


def settings_of_run(private: Path | None, key: Key | None) -> Settings | None:
    """Of the run, where its record is at hand: they say how masks are read."""
    if private is None or key is None or not (private / RECORD).is_file():
        return None
    try:
        plan = read_record(private, key)["plan"]
        return from_mapping(Plan, plan, "plan") if plan else None
    except UmedError:  # said by umed verify
        return None


def _add(found: Originals, dataset: Dataset, case: Case, released: Path) -> None:
    try:
        opened = open_case(dataset, case)
    except (UmedError, OSError) as error:
        for name in case.images:
            whole = formats.with_companions(dataset.root, name)
            for path in whole[1:] or whole:  # a header alone holds nothing that is protected, and stays as it is
                with suppress(OSError):  # one that may not be read cannot be looked for, which the warning says
                    found.digests[files.sha256(dataset.root / path)] = name.as_posix()
        first = case.images[0].as_posix()
        found.unreadable.append((first, error_line(error).replace(f"{dataset.root}/", "").removeprefix(f"{first}: ")))
        return
    if opened.labels is None or not (opened.labels > 0).any():
        return
    for volume, name, output in zip(opened.volumes, case.images, case.outputs, strict=True):
        original = Original(name.as_posix(), tuple(_labelled(volume, opened.labels > 0)))
        found.images[output.as_posix()] = original
        held = [digest for _, digest in volume.beside] or [volume.sha256 or files.sha256(volume.source)]
        found.digests |= dict.fromkeys(held, original.name)
        found.slices.update((one, original.name) for channel in original.channels for one in channel)
        if fault := _restored(volume, released / output, opened.labels):
            found.restored[output.as_posix()] = fault


def _restored(volume: Volume, released: Path, labels: NDArray[np.bool_]) -> str:
    """Nothing is said here of what cannot be read: the search through the release does."""
    if released.is_symlink() or not released.is_file() or released.stat().st_size > MOST_BYTES:
        return ""
    try:
        return as_good_as_restored(volume, formats.read(released), labels)
    except Exception:  # a hostile file
        return ""


def _labelled(volume: Volume, labels: NDArray[np.bool_]) -> Iterator[frozenset[bytes]]:
    """Signatures of the slices with a label, a set for each channel and scale."""
    axes = range(labels.ndim)
    rows: list[NDArray[np.bool_]] = [np.ones(1, bool)]
    if labels.ndim == 3:
        rows = [np.asarray(labels.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    for grid in planes.volume_grids(volume):
        stacks = zip(planes.stacks(grid), rows, strict=True)
        yield frozenset(one for stack, some in stacks for one in planes.signatures(stack[some])) - {b""}
