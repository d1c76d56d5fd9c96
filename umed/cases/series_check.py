# SPDX-License-Identifier: Apache-2.0
"""Proof for a DICOM series: read again, and compared with its source, which is found through the UID map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from umed.cases.instance_check import blanked, bytes_difference
from umed.cases.output_folder import CaseFinding, OutputFolder
from umed.cases.proposals import is_proposal
from umed.cases.series_reader import SeriesReader
from umed.cases.series_source import SeriesSource
from umed.cases.spans import Slices
from umed.core.errors import UmedError
from umed.deid.identity import Names
from umed.dicom.members import FileRef
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader as files
from umed.plan.planning import Plan
from umed.plan.promise import Moved, compare

UNCHANGED = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "SegmentationType", "MaximumFractionalValue",
)  # fmt: skip
"""Attributes that say what pixels mean and where they lie; the same in source and output."""

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Syntaxes whose pixel bytes are carried over as they are when there is nothing to change."""
GIVE_RECORD = "is in the input but not in the output; if the run could not protect it, give --private"
REFERRING = ("SEG", "RTSTRUCT", "PR", "KO")
"""Modalities of masks and presentation states, whose references to images are compared."""


def check_case(
    source: SeriesSource, case_id: str, plan: Plan | None, entry: Mapping[str, Any] | None, output: OutputFolder
) -> CaseFinding:
    """Check one series.

    Checked: bound in stored steps, pixels outside the support, outside the range and in the padding identical, all
    other pixels identical, attributes of :data:`UNCHANGED` identical, references of masks follow, masks that are
    proposals called so.

    Args:
        source: of the originals, under the names of the output.
        case_id: of one of its series.
        plan: the promise; ``None`` where nothing was to be perturbed.
        entry: of the series in the private record; ``None`` where its status follows from the files alone: then every
            byte is compared with what umed writes, and a series that is all but restored is none that is protected.
        output: what was written.

    Returns:
        What was found.
    """
    series = source.by_id[case_id]
    found = (
        _expected(source, series) if entry is None else CaseFinding(str(entry["status"]), str(entry.get("reason", "")))
    )
    targets = {source.identity.target(instance).as_posix(): instance for instance in series.instances}
    if entry is None and found.status != "failed":
        if not any(name in output for name in targets):
            found.status, found.failures = "missing", [GIVE_RECORD]
            return found
        listed = set(targets)
    else:
        listed = set() if entry is None else set(entry.get("sha256", {}))
    for name in sorted(targets.keys() - listed):
        if name in output or name in output.odd:
            found.failures.append(f"{name}: expected no file of a {_aside(found.status)} one, got one; remove it")
    found.failures += [
        f"{name}: is in the record, but no source file belongs to it" for name in listed - targets.keys()
    ]
    there: dict[str, Instance] = {}
    for name in sorted(listed & targets.keys()):
        if name not in output:
            more = "; if the run put it aside, give --private" if entry is None else ""
            found.failures.append(f"{name}: expected a file, got {output.absent(name)}{more}")
            continue
        there[name] = targets[name]
        problems = _check_header(targets[name], output.root / name, source.identity, source.limits)
        found.failures += [f"{name}: {text}" for text in problems]
    kind = "carried" if series.kind != "image" else f"{'' if found.status == 'protected' else 'un'}protected image"
    found.files = dict.fromkeys(listed & targets.keys(), kind)
    _check_pixels(source, series, plan, entry, there, output, found)
    if entry is not None:
        found.failures += _check_proposal(source, series, found.status, entry)
    return found


def _aside(status: str) -> str:
    return "failed" if status == "failed" else "quarantined"


def _expected(source: SeriesSource, series: Series) -> CaseFinding:
    """What a run makes of a series, from the originals alone."""
    if series.kind != "image":
        return CaseFinding("carried", "its references follow")
    if series.id in source.masked.refusals:
        return CaseFinding("failed", source.masked.refusals[series.id])
    if source.usable(series):
        return CaseFinding("protected")
    return CaseFinding("unchanged", "the mask is empty, so there is nothing to protect")


def _check_proposal(source: SeriesSource, series: Series, status: str, entry: Mapping[str, Any]) -> Iterator[str]:
    proposals = source.masked.proposals
    expected = proposals is not None and proposals.hold(series.id, status)
    without = status == "protected" and series.id not in source.masked.masks  # then nobody can tell
    if is_proposal(entry) != expected and not without:
        yield f"expected the mask to be called {'an annotation' if is_proposal(entry) else 'a proposal'}, got the other"


def _check_pixels(
    source: SeriesSource,
    series: Series,
    plan: Plan | None,
    entry: Mapping[str, Any] | None,
    there: Mapping[str, Instance],
    output: OutputFolder,
    found: CaseFinding,
) -> None:
    """Pixels of the files that are there, and where no record vouches for them, their bytes."""
    limits, identity = source.limits, source.identity
    boxes: Mapping[str, Any] = entry.get("rectangles", {}) if entry is not None else blanked(there, identity, limits)
    if found.status != "protected":
        for name, instance in there.items():
            texts = _check_same(instance, output.root / name, boxes.get(name, ()), limits)
            found.failures += [f"{name}: {text}" for text in texts]
    elif series.id not in source.masked.masks or plan is None:
        found.failures.append("expected the mask of a protected series, got none; give --masks as in the run")
        return
    else:
        moved = Moved() if entry is None else None
        reader = source.open(series.id, plan)
        found.failures += _check_protected(reader, identity, there, boxes, output.root, found.bounds, moved)
        found.failures += moved.broken() if moved is not None else []
    if entry is None and not found.failures:
        for name, instance in there.items():
            text = bytes_difference(
                instance, output.root / name, identity, limits, perturbed=found.status == "protected"
            )
            found.failures += [f"{name}: {text}"] if text else []


def _check_header(instance: Instance, written: Path, identity: Names, limits: Limits) -> Iterator[str]:
    """Attributes that must not differ, and UIDs that must be those of the map."""
    old = files.read(instance.path, limits, pixels=False)
    new = files.read(written, limits, pixels=False)
    problems: list[str] = []
    with files.guard(instance.name):  # values of a foreign file are converted only now, and may be broken
        for keyword in UNCHANGED:
            if old.get(keyword) != new.get(keyword):
                problems.append(f"expected the source's {keyword}, got another")
        if str(new.get("SOPInstanceUID")) != identity.uid(instance.sop_uid):
            problems.append("expected the SOPInstanceUID of the UID map, got another")
        if str(old.get("Modality", "")) in REFERRING:
            named = [identity.uid(str(uid)) for uid in _values_of(old, "ReferencedSOPInstanceUID")]
            if sorted(map(str, _values_of(new, "ReferencedSOPInstanceUID"))) != sorted(named):
                problems.append("expected references that follow the UID map, got others")
        if [list(c) for c in _values_of(old, "ContourData")] != [list(c) for c in _values_of(new, "ContourData")]:
            problems.append("expected the contours of the source, got others")
    yield from problems


def _values_of(dataset: Dataset, keyword: str) -> Iterator[Any]:
    """Values of an attribute at every depth; elements that pydicom cannot read hold none, and are never released."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:
            continue
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _values_of(item, keyword)
        elif element.keyword == keyword and element.value:
            yield element.value


def _check_protected(
    reader: SeriesReader,
    identity: Names,
    there: Mapping[str, Instance],
    boxes: Mapping[str, Any],
    output: Path,
    bounds: set[float],
    moved: Moved | None,
) -> Iterator[str]:
    """Broken promises of the pixels that were not blanked out."""
    series = reader.series
    names = {instance.sop_uid: name for name, instance in there.items()}
    after = replace(
        series,
        instances=tuple(
            replace(i, path=output / identity.target(i), name=names.get(i.sop_uid, "")) for i in series.instances
        ),
    )
    written, changed = Slices(after, reader.limits), False
    for index, span in enumerate(reader.spans):
        unit = reader.unit(index, margin=0)
        [volume], [budget] = unit.volumes, unit.limits
        bounds.add(budget.bound_stored)
        stored = volume.stored.copy()  # slices that are not there, and what was blanked out, count as unchanged
        stack, _ = written.read(*span.kept)
        for place, new in enumerate(stack):
            name = names.get(series.instances[series.slices[span.kept[0] + place][0]].sop_uid)
            if name is None:
                continue
            row = unit.kept.start + place
            for top, left, height, width in boxes.get(name, ()):
                new = new.copy()
                part = (slice(top, top + height), slice(left, left + width))
                new[part] = stored[row][part]
            stored[row] = new
        old, all_of_it = (one.channels for one in (volume, replace(volume, stored=stored)))
        if moved is not None:
            moved.add(old, all_of_it, unit.regions, budget, kept=unit.kept)
        before, now = old[:, unit.kept], all_of_it[:, unit.kept]
        compared = compare(before, now, unit.regions, budget, start=unit.kept.start, mask="mask")
        changed |= compared.changed
        yield from (f"slices {span.kept[0] + 1} to {span.kept[1]}: {text}" for text in compared.broken())
    for file, reason in written.broken.items():
        if series.instances[file].sop_uid in names:
            yield f"{identity.target(series.instances[file])}: cannot be read again: {reason}"
    if not changed:
        yield "expected changed pixels in a protected series, got none"


def _check_same(instance: Instance, written: Path, boxes: Any, limits: Limits) -> Iterator[str]:
    """Pixels that must be those of the source, but for rectangles that were blanked out."""
    before, after = _values(instance.path, limits), _values(written, limits)
    if (before is None) != (after is None):
        yield "expected pixels in both files or in none, got them in one"
    if before is None or after is None:
        return
    if before.shape != after.shape or before.dtype != after.dtype:
        yield f"expected pixels {before.shape} {before.dtype}, got {after.shape} {after.dtype}"
        return
    differing = before != after
    for top, left, height, width in boxes:
        differing[:, top : top + height, left : left + width] = False
    if differing.any():
        yield f"expected the pixels of the source, got {int(differing.sum())} others"


def _values(path: FileRef, limits: Limits) -> NDArray[Any] | None:
    """Decoded pixels; raw bytes for kinds that are never decoded (float, YBR), nothing for files without pixels."""
    dataset = files.read(path, limits, pixels=True)
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            return np.frombuffer(dataset[keyword].value, np.uint8)[None]
    if "PixelData" not in dataset:
        return None
    if dataset.get("BitsAllocated") == 1:
        with files.guard(path):
            return np.asarray(dataset.pixel_array)
    try:
        return pixel_data.decode(dataset, limits)
    except UmedError:
        if dataset.file_meta.TransferSyntaxUID not in PLAIN:
            raise
        return np.frombuffer(dataset.PixelData, np.uint8)[None]


def check_folder(source: SeriesSource, released: set[str], output: OutputFolder) -> tuple[list[str], set[str]]:
    """Nothing: every file of a DICOM output belongs to a series."""
    return [], set()
