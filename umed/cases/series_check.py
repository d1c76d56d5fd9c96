# SPDX-License-Identifier: Apache-2.0
"""Proof for a DICOM series, from the files alone; the pairs are found again through the UID map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from umed.cases.proposals import is_proposal
from umed.cases.series_reader import SeriesReader
from umed.cases.series_source import SeriesSource
from umed.cases.spans import Slices
from umed.core.errors import UmedError
from umed.data import formats
from umed.data.dicom_input import looks_like_dicom
from umed.data.files import RECORDS, sha256
from umed.deid.identity import Names
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader as files
from umed.plan.planning import Plan
from umed.plan.promise import compare

UNCHANGED = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "SegmentationType", "MaximumFractionalValue",
)  # fmt: skip
"""Attributes that say what pixels mean and where they lie; the same in source and output."""

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Syntaxes whose pixel bytes are carried over as they are when there is nothing to change."""
REFERRING = ("SEG", "RTSTRUCT", "PR", "KO")
"""Modalities of masks and presentation states, whose references to images are compared."""


def check_case(
    source: SeriesSource, case_id: str, plan: Plan | None, entry: Mapping[str, Any], output: Path
) -> Iterator[str]:
    """Broken promises of one series.

    Checked: bound in stored steps, pixels outside the support, outside the range and in the padding identical, all
    other pixels identical, attributes of :data:`UNCHANGED` identical, references of masks follow, checksums as in the
    manifest, masks that are proposals called so.

    Args:
        source: of the originals, under the names of the output.
        case_id: of one of its series.
        plan: that the output is said to follow; ``None`` where nothing was perturbed.
        entry: of the series in the manifest.
        output: output root.

    Yields:
        A sentence each.
    """
    series = source.by_id[case_id]
    yield from _check_series(source, series, plan, entry, output)
    proposals, status = source.masked.proposals, str(entry["status"])
    expected = proposals is not None and proposals.hold(series.id, status)
    without = status == "protected" and series.id not in source.masked.masks  # then nobody can tell
    if is_proposal(entry) != expected and not without:
        yield f"expected the mask to be called {'an annotation' if is_proposal(entry) else 'a proposal'}, got the other"


def _check_series(
    source: SeriesSource, series: Series, plan: Plan | None, entry: Mapping[str, Any], output: Path
) -> Iterator[str]:
    """Files, headers and pixels."""
    identity, limits = source.identity, source.limits
    digests: Mapping[str, str] = entry.get("sha256", {})
    targets = {identity.target(instance).as_posix(): instance for instance in series.instances}
    for name in targets.keys() - digests.keys():
        if (output / name).exists():
            yield f"{name}: expected no file of a quarantined one, got one; remove it"
    for name in digests.keys() - targets.keys():
        yield f"{name}: is in the manifest, but no source file belongs to it"
    there: dict[str, Instance] = {}
    for name, digest in digests.items():
        if name not in targets:
            continue
        if not (output / name).is_file():
            yield f"{name}: expected a file, got nothing"
            continue
        if sha256(output / name) != digest:
            yield f"{name}: expected the checksum in the manifest, got another; the file was changed since"
        there[name] = targets[name]
        yield from (f"{name}: {text}" for text in _check_header(targets[name], output / name, identity, limits))
    if entry["status"] != "protected":
        for name, instance in there.items():
            boxes = entry.get("rectangles", {}).get(name, ())
            yield from (f"{name}: {text}" for text in _check_same(instance, output / name, boxes, limits))
        return
    if series.id not in source.masked.masks or plan is None:
        yield "expected the mask of a protected series, got none; give --masks as in the run"
        return
    yield from _check_protected(source.open(series.id, plan), identity, there, entry.get("rectangles", {}), output)


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
    reader: SeriesReader, identity: Names, there: Mapping[str, Instance], boxes: Mapping[str, Any], output: Path
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
        before, now = (one.channels[:, unit.kept] for one in (volume, replace(volume, stored=stored)))
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


def _values(path: Path, limits: Limits) -> NDArray[Any] | None:
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


def check_folder(source: SeriesSource, entries: Mapping[str, Mapping[str, Any]], output: Path) -> list[str]:
    """Files that nobody wrote.

    Args:
        source: of the originals.
        entries: of the manifest, by series id.
        output: output root.

    Returns:
        A sentence each.
    """
    expected = {name for entry in entries.values() for name in entry.get("sha256", {})}
    problems = []
    for path in sorted(output.rglob("*")):
        relative = path.relative_to(output)
        if path.is_dir() and not path.is_symlink():
            continue
        ours = relative.parts[0] == RECORDS and not (formats.looks_like_image(path) or looks_like_dicom(path))
        if not ours and relative.as_posix() not in expected:
            problems.append(f"{relative.as_posix()}: expected files of the manifest only, got another; remove it")
    return problems
