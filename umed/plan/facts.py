# SPDX-License-Identifier: Apache-2.0
"""What a data set holds: the facts from which the plan follows, and the table that ``umed inspect`` prints."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import BudgetError, UmedError, error_line
from umed.core.progress import counted
from umed.core.types import Case, Dataset, Progress, Volume
from umed.data.accounting import Accounting
from umed.data.declared import read_declared
from umed.data.formats import notes, read
from umed.data.layouts import find_dataset
from umed.data.mask_values import FULL_SCALE, IGNORED, class_values, present
from umed.data.masks import check_channels, read_labels
from umed.data.side_findings import FieldText
from umed.plan.band_spectrum import CaseSpectrum, measure_case, median_extent
from umed.plan.channel_values import ChannelValues, channel_values
from umed.plan.file_range import resolve_range

SAMPLE = 5  # cases read in full to make a plan, evenly spaced so that mixed data sets show
MEASURED = 24  # pictures whose spectrum is measured, and half as many volumes: always the same of a data set
MOST_VOXELS = 60_000_000  # in all, of cases that are only read for their spectrum: seconds, not minutes


@dataclass(frozen=True)
class CaseFacts:
    """One case as found.

    Args:
        id: case id.
        shape: spatial shape, empty when it cannot be read.
        spacing: size of a pixel along each axis, in ``unit``.
        unit: ``"mm"`` or ``"px"``.
        dtype: stored type.
        channels: channels that would be perturbed.
        classes: label values that occur; where foreground is named, its numbers.
        action: ``"protect"``, ``"copy"`` (empty label), ``"skip"`` (no label), ``"carry"`` (a DICOM object that refers
            to images) or ``"refuse"``.
        why: reason of every action but ``"protect"``, and what else is worth knowing about the files.
        foreground: median physical value inside the label, in the first channel.
        values: what the values of each channel look like; empty for a DICOM series.
        parts: image files.
        colour: whether the channels are colours of one picture, which share a range.
        modality: of a DICOM series; its shape is slices, rows, columns.
        syntax: of a DICOM series: names of its transfer syntaxes.
        masks: of a DICOM series: where its mask comes from.
        weak: whether it would be released with hardly anything of what is labelled changed.
    """

    id: str
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    unit: str = ""
    dtype: str = ""
    channels: int = 0
    classes: tuple[int, ...] = ()
    action: str = "protect"
    why: str = ""
    foreground: float | None = None
    values: tuple[ChannelValues, ...] = ()
    parts: int = 1
    colour: bool = False
    modality: str = ""
    syntax: str = ""
    masks: str = ""
    weak: bool = False


@dataclass(frozen=True)
class Facts:
    """A data set as found.

    Args:
        name: name of its folder.
        layout: name from the registry.
        modality: from ``dataset.json``.
        cases: the cases that were looked at; all of them after :func:`inspect`.
        count: cases in all.
        problems: what is there but cannot be a case.
        shape: median spatial shape of the readable cases, empty when there are none.
        spacing: median spacing.
        channels: image channels of a case.
        classes: number of classes with the background.
        class_values: their values in masks, see :class:`umed.plan.planning.Plan`.
        classes_from: where they come from, in words.
        integer: whether all looked-at cases hold integers.
        raster: whether the images are pictures without physical spacing.
        hounsfield: whether the values look like Hounsfield units.
        foreground: median over cases of the median value inside the label.
        parts: image files of a case.
        colour: whether the channels are colours of one picture.
        files: what is to be expected of every file; ``None`` where nobody has looked.
        spectra: natural spectrum of some cases, empty where none could be measured.
        texts: what stands in header fields and may name somebody; only where it was looked for.
    """

    name: str
    layout: str
    modality: tuple[str, ...] = ()
    cases: tuple[CaseFacts, ...] = ()
    count: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    channels: int = 1
    classes: int = 2
    class_values: tuple[int, ...] = ()
    classes_from: str = ""
    integer: bool = False
    raster: bool = False
    hounsfield: bool = False
    foreground: float | None = None
    parts: int = 1
    colour: bool = False
    files: Accounting | None = None
    spectra: tuple[CaseSpectrum, ...] = field(default=(), repr=False, compare=False)
    texts: tuple[FieldText, ...] = ()

    def exit_code(self, expected: Accounting) -> int:
        """Code that a run would end with, as far as can be seen: 0, 1 where nothing would be protected, else 3.

        Args:
            expected: what is to be expected of every file.
        """
        actions = Counter(case.action for case in self.cases)
        if self.layout != "dicom" and not actions["protect"]:
            return 1
        less = expected.grave or actions["copy"] > actions["protect"] or any(case.weak for case in self.cases)
        return 3 if less or any(text.kind == "free" for text in self.texts) else 0

    def to_json(self) -> str:
        """JSON for ``umed inspect --json``; of the spectra only the size of the ROI."""
        content = dataclasses.asdict(dataclasses.replace(self, spectra=(), files=None))
        content["files"] = None if self.files is None else self.files.to_dict()
        extent = median_extent(self.spectra, solid=False)
        content["spectra"] = {"cases": len(self.spectra), "roi_px": round(extent, 1) if self.spectra else None}
        return json.dumps(content, sort_keys=True, indent=2) + "\n"


@dataclass(frozen=True, eq=False)
class Opened:
    """A case in memory.

    Args:
        volumes: one an image file.
        labels: class of each voxel, ``None`` where the case has no label.
    """

    volumes: tuple[Volume, ...]
    labels: NDArray[Any] | None = field(repr=False, default=None)


def open_case(dataset: Dataset, case: Case) -> Opened:
    """Read a case: all its image files and its label, checked to lie on one grid.

    Args:
        dataset: data set.
        case: one of its cases.

    Returns:
        The case in memory.

    Raises:
        InputError: when a file cannot be read or written back exactly.
        GeometryError: when channels or the label lie on another grid.
    """
    volumes = [read(dataset.root / path) for path in case.images]
    check_channels(volumes)
    labels = (
        read_labels([dataset.root / path for path in case.labels], case.classes, volumes[0], dataset.rules)
        if case.labels
        else None
    )
    return Opened(tuple(volumes), labels)


_Spectra = dict[str, CaseSpectrum]
_Wanted = Mapping[int, Set[str]]
"""Ids of the cases whose spectrum is measured, by dimensions."""


def _look(dataset: Dataset, case: Case, wanted: _Wanted, spectra: _Spectra) -> CaseFacts:
    """Describe a case; of those to be measured the spectrum, too, while it is in memory."""
    if not case.labels:
        reason = "no label (test split)" if case.id in dataset.split else "no label"
        return CaseFacts(case.id, action="skip", why=f"{reason}; it would not be copied")
    try:
        opened = open_case(dataset, case)
    except (UmedError, OSError, ValueError, EOFError) as error:
        return CaseFacts(case.id, action="refuse", why=error_line(error))
    first, labels = opened.volumes[0], opened.labels
    for volume in opened.volumes:
        if volume.stored.dtype.kind == "f" and not np.isfinite(volume.stored).any():
            reason = f"{volume.source}: expected finite values, got none. Remove or repair the file."
            return CaseFacts(case.id, action="refuse", why=reason)
    if case.id in wanted.get(len(first.spatial_shape), ()):
        _measure(opened, case.id, spectra)
    assert labels is not None
    code = first.encoding
    seen = present(labels)
    classes = tuple(value for value in seen if value >= 0)
    values = tuple(one for volume in opened.volumes for one in channel_values(volume, labels))
    empty = not any(value > 0 for value in classes)
    remarks = ["the label is empty"] if empty else []
    remarks += ["a part is labelled ignore and stays as it is"] if seen[:1] == [IGNORED] else []
    remarks += [note for note in dict.fromkeys(note for volume in opened.volumes for note in notes(volume))]
    return CaseFacts(
        id=case.id,
        shape=first.spatial_shape,
        spacing=tuple(float(value) for value in first.spacing),
        unit=first.unit,
        dtype=np.dtype(code.dtype).name,
        channels=sum(len(volume.channels) for volume in opened.volumes),
        classes=classes,
        action="copy" if empty else "protect",
        why="; ".join(remarks),
        foreground=values[0].foreground,
        values=values,
        parts=len(opened.volumes),
        colour=all(is_colour(volume) for volume in opened.volumes),
    )


def is_colour(volume: Volume) -> bool:
    """Whether the channels of a file are colours of a picture: a raster's, or of a NIfTI file of RGB voxels."""
    return volume.channels_last and (volume.unit == "px" or getattr(volume.header, "colours", 1) > 1)


def _measure(opened: Opened, name: str, spectra: _Spectra) -> None:
    """Add the spectrum of a case in memory; nothing where nothing is labelled or the file has no spread."""
    first, labels = opened.volumes[0], opened.labels
    code = first.encoding
    assert labels is not None
    try:
        low, high = resolve_range(first, "percentile")
        alone = [replace(one, stored=part, channels_last=False) for one in opened.volumes for part in one.channels]
        ends = [resolve_range(one, "percentile") for one in alone] if len(alone) > 1 else [(low, high)]
    except BudgetError:
        return
    values = first.channels
    if len(opened.volumes) > 1:
        values = np.concatenate([one.channels * (one.encoding.slope / code.slope) for one in opened.volumes])
    whole = float(np.diff(code.stored_limits)[0]) * abs(code.slope) if code.is_integer else None
    axis = int(np.argmax(first.spacing)) if labels.ndim == 3 else None
    found = measure_case(
        values,
        labels,
        axis=axis,
        slope=abs(code.slope),
        percentiles=high - low,
        whole=whole,
        each=[top - bottom for bottom, top in ends],
        apart=len(opened.volumes) == len(alone),
    )
    if found is not None:
        spectra[name] = found


def _read_spectra(dataset: Dataset, seen: Set[str], dims: int, wanted: _Wanted, spectra: _Spectra) -> None:
    """Measure further cases, as long as there is time."""
    voxels = 0
    for case in dataset.cases:
        if case.id not in wanted.get(dims, set()) - seen or voxels > MOST_VOXELS:
            continue
        try:
            opened = open_case(dataset, case)
        except (UmedError, OSError, ValueError, EOFError):
            continue  # said when its turn comes
        voxels += sum(volume.stored.size for volume in opened.volumes)
        _measure(opened, case.id, spectra)


def _count_classes(dataset: Dataset, looked: list[CaseFacts]) -> tuple[tuple[int, ...], str]:
    """Foreground classes of all masks, in the order of their numbers, and where they come from in words."""
    rules, declared = dataset.rules, read_declared(dataset.root)
    if rules.values:
        return tuple(range(1, len(rules.values) + 1)), f"named: {', '.join(map(str, rules.values))}"
    seen = {value for facts in looked for value in facts.classes if value > 0}
    shift = 1 if rules.background and 0 not in rules.background else 0
    known = {value + shift for value in (declared.values if declared else ()) if value not in rules.background}
    if known and (seen <= known or known == {1} and seen - known <= set(FULL_SCALE)):
        return tuple(sorted(known)), "declared in dataset.json"
    values = tuple(sorted(known | seen)) if known else class_values([facts.classes for facts in looked])
    text = ", ".join(str(value - shift) for value in values[:12]) + (" ..." if len(values) > 12 else "")
    return values, f"the values {text} occur in the masks{' or are declared' if known else ''}"


def _evenly(dataset: Dataset, most: int) -> list[Case]:
    """Evenly spaced cases that have a label."""
    labelled = [case for case in dataset.cases if case.labels]
    if len(labelled) <= most or most < 2:
        return labelled[:most]
    return [labelled[round(i * (len(labelled) - 1) / (most - 1))] for i in range(most)]


def _most_common(numbers: list[int]) -> int:
    return max(sorted(set(numbers)), key=numbers.count)


def _median(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    most = max({len(row) for row in rows}, key=lambda n: sum(len(row) == n for row in rows))
    return tuple(float(value) for value in np.median([row for row in rows if len(row) == most], axis=0))


def gather(
    root: str | Path | Dataset, *, every: bool = False, spectrum: bool = True, progress: Progress | None = None
) -> Facts:
    """Look at a data set.

    Args:
        root: folder, or a data set that was found already.
        every: read every case; otherwise a few, evenly spaced, and all only when ``dataset.json`` does not name the
            classes or when none of those few can be read.
        spectrum: measure the natural spectrum of some cases; it does not depend on ``every``.
        progress: called with ``"look"``, the cases that were read and those that will be.

    Returns:
        The facts.

    Raises:
        InputError: when the folder is in no known layout.
    """
    dataset = root if isinstance(root, Dataset) else find_dataset(Path(root))
    declared = read_declared(dataset.root)
    every = every or not (declared and declared.values or dataset.rules.values)  # a rare class must not be missed
    some, spectra = _evenly(dataset, MEASURED if spectrum else 0), dict[str, CaseSpectrum]()
    wanted = {2: {case.id for case in some}, 3: {case.id for case in some[::2]}}
    first = dataset.cases if every else _evenly(dataset, SAMPLE)
    looked = [_look(dataset, case, wanted, spectra) for case in counted(first, "look", progress)]
    if not every and not any(facts.shape for facts in looked):
        looked = [_look(dataset, case, wanted, spectra) for case in counted(dataset.cases, "look", progress)]
    good = [facts for facts in looked if facts.shape]
    base = Facts(
        name=dataset.root.name,
        layout=dataset.layout,
        modality=dataset.modality,
        cases=tuple(looked),
        count=len(dataset.cases),
        problems=dataset.problems,
    )
    if not good:
        return base
    _read_spectra(dataset, {facts.id for facts in looked}, len(good[0].shape), wanted, spectra)
    values, classes_from = _count_classes(dataset, looked)
    inside = [facts.foreground for facts in good if facts.foreground is not None]
    return dataclasses.replace(
        base,
        shape=tuple(int(value) for value in _median([facts.shape for facts in good])),
        spacing=_median([facts.spacing for facts in good]),
        channels=_most_common([facts.channels for facts in good]),
        classes=len(values) + 1,
        class_values=values,
        classes_from=classes_from,
        integer=all(np.dtype(facts.dtype).kind in "iu" for facts in good),
        raster=all(facts.unit == "px" and len(facts.shape) == 2 for facts in good),
        hounsfield=any(facts.values[0].hounsfield for facts in good),
        foreground=float(np.median(inside)) if inside else None,
        parts=_most_common([facts.parts for facts in good]),
        colour=all(facts.colour for facts in good),
        spectra=tuple(spectra[name] for name in sorted(spectra)),
    )
