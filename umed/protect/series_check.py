# SPDX-License-Identifier: Apache-2.0
"""Proof, from the files alone, that a DICOM release keeps its promises; finds the pairs again through the UID map."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from umed.cases.proposals import Proposals, is_proposal
from umed.cases.series_proposals import find_masks
from umed.cases.spans import Slices, spans, value_range
from umed.cases.units import any_channel, open_unit
from umed.core.errors import ConfigError, UmedError
from umed.core.types import Progress
from umed.data.files import RECORDS, sha256
from umed.deid.identity import Derived, Names, Renamed
from umed.deid.keys import Key
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Instance, Limits, Scan, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader
from umed.dicom.read.scan import scan
from umed.plan.budget import in_range
from umed.plan.metrics import different
from umed.plan.planning import Plan

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

Found = tuple[str, str, tuple[str, ...], str]
"""Case id, status, broken promises, reason."""


def check_release(
    source: Path,
    output: Path,
    manifest: Mapping[str, Any],
    *,
    key_file: Path | None = None,
    masks: Path | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> tuple[list[Found], list[str]]:
    """Check a DICOM release against its source.

    Checked: bound in stored steps, pixels outside the support, outside the range and in the padding identical, all
    other pixels identical, attributes of :data:`UNCHANGED` identical, references of masks follow, checksums as in the
    manifest, masks that are proposals called so, no unknown file.

    Args:
        source: folder or zip that was released.
        output: what was written.
        manifest: of the output.
        key_file: key of the run, needed for an anonymized output.
        masks: folder with masks that the run was given.
        limits: bounds against hostile files.
        progress: called with ``"verify"``, series done and series in all.

    Returns:
        What was found about each series, and broken promises that belong to none.

    Raises:
        ConfigError: when the key is missing or another one.
        InputError: when the source cannot be read at all.
    """
    bounds = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="umed-") as work:
        found = scan(source, Path(work), bounds)
        identity = _identity(manifest, key_file, found)
        plan = Plan.from_json(json.dumps(manifest["plan"])) if manifest["plan"] else None
        chosen, _, proposals = find_masks(found, masks, bounds) if plan is not None else ({}, [], None)
        entries = {str(entry["id"]): entry for entry in manifest["cases"]}
        checks: list[Found] = []
        for done, series in enumerate(found.series):
            entry = entries.get(series.id)
            if entry is None:
                checks.append((series.id, "missing", ("is not in the manifest: resume the run",), ""))
                continue
            status, reason = str(entry["status"]), str(entry.get("reason", ""))
            try:
                failures = tuple(_check_series(series, chosen.get(series.id), plan, entry, output, identity, bounds))
                failures += tuple(_check_mark(series, entry, chosen, proposals))
            except (UmedError, OSError) as error:
                failures = (" ".join(str(error).split()),)
            except Exception as error:  # what surprises the check is not proven
                failures = (f"cannot be checked ({type(error).__name__}: {' '.join(str(error).split())})",)
            checks.append((series.id, status, failures, reason))
            if progress is not None:
                progress("verify", done + 1, len(found.series))
        return checks, _check_folder(output, entries, {one.id for one in found.series})


def _identity(manifest: Mapping[str, Any], key_file: Path | None, found: Scan) -> Names:
    if manifest.get("identity") == "derived":
        done = set(manifest.get("derived", ()))
        return Derived([i.sop_uid for one in found.series if one.id in done for i in one.instances])
    if key_file is None:
        raise ConfigError("--key-file: expected the key of the run, since the output is anonymized, got none. Give it.")
    key = Key.load(key_file)
    if key.digest() != manifest.get("key"):
        raise ConfigError(f"--key-file {key_file}: expected the key of the run, got another one. Give that key.")
    return Renamed(key)


def _check_series(
    series: Series,
    mask: Mask | None,
    plan: Plan | None,
    entry: Mapping[str, Any],
    output: Path,
    identity: Names,
    limits: Limits,
) -> Iterator[str]:
    """Broken promises of one series."""
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
    if entry["status"] == "protected":
        if mask is None or plan is None:
            yield "expected the mask of a protected series, got none; give --masks as in the run"
            return
        changed = False
        boxes = entry.get("rectangles", {})
        for text in _check_protected(series, mask, plan, there, boxes, output, identity, limits):
            changed |= text is None
            if text is not None:
                yield text
        if not changed:
            yield "expected changed pixels in a protected series, got none"
        return
    for name, instance in there.items():
        boxes = entry.get("rectangles", {}).get(name, ())
        yield from (f"{name}: {text}" for text in _check_same(instance, output / name, boxes, limits))


def _check_mark(
    series: Series, entry: Mapping[str, Any], masks: Mapping[str, Mask], proposals: Proposals | None
) -> Iterator[str]:
    """Whether a proposal is called so, and nothing else is; without its mask nobody can tell."""
    expected = proposals is not None and proposals.hold(series.id, entry["status"])
    if is_proposal(entry) != expected and (entry["status"] != "protected" or series.id in masks):
        yield f"expected the mask to be called {'an annotation' if is_proposal(entry) else 'a proposal'}, got the other"


def _check_header(instance: Instance, written: Path, identity: Names, limits: Limits) -> Iterator[str]:
    """Attributes that must not differ, and UIDs that must be those of the map."""
    old = reader.read(instance.path, limits, pixels=False)
    new = reader.read(written, limits, pixels=False)
    problems: list[str] = []
    with reader.guard(instance.name):  # values of a foreign file are converted only now, and may be broken
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
    series: Series,
    mask: Mask,
    plan: Plan,
    there: Mapping[str, Instance],
    boxes: Mapping[str, Any],
    output: Path,
    identity: Names,
    limits: Limits,
) -> Iterator[str | None]:
    """Broken promises of the pixels that were not blanked out; ``None`` for every span in which something changed."""
    names = {instance.sop_uid: name for name, instance in there.items()}
    after = replace(
        series,
        instances=tuple(
            replace(i, path=output / identity.target(i), name=names.get(i.sop_uid, "")) for i in series.instances
        ),
    )
    source, written = Slices(series, limits), Slices(after, limits)
    shared = value_range(series, plan, source, mask)
    for span in spans(series, plan):
        unit = open_unit(series, mask, span, plan, source, shared, margin=0)
        stack, _ = written.read(*span.kept)
        present = np.array([series.instances[series.slices[k][0]].sop_uid in names for k in range(*span.kept)])
        old, new = unit.volume.stored[unit.inner][present], np.stack(stack)[present]
        moved = any_channel(different(old, new))
        shown = [
            names[uid] for k in range(*span.kept) if (uid := series.instances[series.slices[k][0]].sop_uid) in names
        ]
        for place, name in enumerate(shown):
            for top, left, height, width in boxes.get(name, ()):
                moved[place, top : top + height, left : left + width] = False
        if not moved.any():
            continue
        yield None
        where = f"slices {span.kept[0] + 1} to {span.kept[1]}"
        beyond = int((moved & ~unit.kept_support()[present]).sum())
        if beyond:
            yield f"{where}: expected no change outside ROI, contour and padding, got {beyond} changed pixels"
        first, second = old[moved], new[moved]
        pushed = int((~(in_range(first, unit.budget) & in_range(second, unit.budget)) & (first != second)).sum())
        if pushed:
            yield f"{where}: expected values outside the range untouched and none pushed out, got {pushed}"
        steps = np.abs(second.astype(np.int64) - first.astype(np.int64))
        bounds = np.broadcast_to(unit.kept_bounds(), unit.kept_support().shape)[present][moved]
        over = steps > (bounds[:, None] if steps.ndim == 2 else bounds)
        if over.any():
            weak = "" if unit.budget.background is None else f" and {unit.budget.background:g} outside the mask"
            most = f"{unit.budget.bound_stored:g} stored{weak}"
            yield f"{where}: expected changes of at most {most}, got {steps[over].max()}"
    for file, reason in written.broken.items():
        if series.instances[file].sop_uid in names:
            yield f"{identity.target(series.instances[file])}: cannot be read again: {reason}"


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
    dataset = reader.read(path, limits, pixels=True)
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            return np.frombuffer(dataset[keyword].value, np.uint8)[None]
    if "PixelData" not in dataset:
        return None
    if dataset.get("BitsAllocated") == 1:
        with reader.guard(path):
            return np.asarray(dataset.pixel_array)
    try:
        return pixel_data.decode(dataset, limits)
    except UmedError:
        if dataset.file_meta.TransferSyntaxUID not in PLAIN:
            raise
        return np.frombuffer(dataset.PixelData, np.uint8)[None]


def _check_folder(output: Path, entries: Mapping[str, Mapping[str, Any]], known: set[str]) -> list[str]:
    """Files that nobody wrote, and cases that the source does not have."""
    expected = {name for entry in entries.values() for name in entry.get("sha256", {})}
    problems = [f"{name}: is in the manifest but not in the input" for name in entries.keys() - known]
    for path in sorted(output.rglob("*")):
        relative = path.relative_to(output)
        if path.is_dir() and not path.is_symlink():
            continue
        if relative.parts[0] != RECORDS and relative.as_posix() not in expected:
            problems.append(f"{relative.as_posix()}: expected files of the manifest only, got another; remove it")
    return problems
