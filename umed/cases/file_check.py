# SPDX-License-Identifier: Apache-2.0
"""Proof for a case of files: read again, regions and bounds worked out again, every voxel compared with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from umed.cases.file_source import FileSource, labels_digest, same_ending
from umed.cases.output_folder import CaseFinding, OutputFolder
from umed.cases.proposals import is_proposal
from umed.core.errors import InputError
from umed.core.types import Case, Regions, Volume
from umed.data import files, formats
from umed.data.container import container_difference
from umed.plan.budget import Budget
from umed.plan.metrics import different
from umed.plan.planning import Plan
from umed.plan.promise import Moved, compare

GIVE_RECORD = "is in the input but not in the output; if the run could not protect it, give --private"


def check_case(
    source: FileSource, case_id: str, plan: Plan | None, entry: Mapping[str, Any] | None, output: OutputFolder
) -> CaseFinding:
    """Check one case.

    Args:
        source: of the originals.
        case_id: of one of its cases.
        plan: the promise.
        entry: of the case in the private record; ``None`` where its status follows from the files alone: then bytes
            beside the values are looked for, and a case that is all but restored is none that is protected.
        output: what was written.

    Returns:
        What was found.
    """
    case = source.by_id[case_id]
    assert plan is not None  # of files there always is one
    if entry is not None:
        found = CaseFinding(str(entry["status"]), str(entry.get("reason", "")))
    elif not case.labels:
        found = CaseFinding("skipped", "no label, so there is no telling what to protect; not copied")
    else:
        found = CaseFinding("protected")
    names = [*source.written(case), *source.labels_of(case)]
    there = [name.as_posix() for name in names if name.as_posix() in output or (output.root / name).is_symlink()]
    if found.status not in ("protected", "unchanged"):
        found.failures += [f"{name}: expected no file of a {found.status} case, got one; remove it" for name in there]
        return found
    if entry is None and not there:
        found.status, found.failures = "missing", [GIVE_RECORD]
        return found
    if not case.labels:
        found.failures.append(f"expected a label of a {found.status} case, got none in the input")
        return found
    found.files = {name.as_posix(): f"{found.status} image" for name in source.written(case)}
    found.files |= {name.as_posix(): "label" for name in source.labels_of(case)}
    found.failures += _check_labels(source, case, entry, output, found)
    _check_images(source, case, plan, entry, output, found)
    return found


def _check_images(
    source: FileSource,
    case: Case,
    plan: Plan,
    entry: Mapping[str, Any] | None,
    output: OutputFolder,
    found: CaseFinding,
) -> None:
    """Regions and bounds, worked out again, and every voxel."""
    unit = source.open(case.id, plan).unit(0, margin=0)
    empty = unit.regions.empty
    if entry is None and empty:
        found.status, found.reason = "unchanged", "the label is empty, so there is nothing to protect"
    elif empty != (found.status == "unchanged"):
        kind, wanted = ("an empty", "unchanged") if empty else ("a", "protected")
        found.failures.append(f"expected status {wanted} for {kind} label, got {found.status}")
    what = "unprotected image" if empty else "protected image"
    found.files |= {name.as_posix(): what for name in source.written(case)}
    records = _records(entry, len(case.images)) if entry is not None else [None] * len(case.images)
    if records is None:
        found.failures.append("expected one entry a file in the record, got others")
        return
    limits: tuple[Budget | None, ...] = unit.limits or (None,) * len(unit.volumes)
    changed = False
    for volume, limit, image, path, record in zip(
        unit.volumes, limits, case.images, case.outputs, records, strict=True
    ):
        name = path.as_posix()
        if limit is not None:
            found.bounds |= {one.bound_stored for one in limit.channels or (limit,)}
        whole = [name, *(path.with_name(other).as_posix() for other, _ in volume.beside)]
        if missing := [one for one in whole if one not in output]:
            found.failures += [f"{one}: expected a file, got {output.absent(one)}" for one in missing]
            continue
        if record is not None and (volume.sha256 or files.sha256(volume.source)) != record.get("sha256_in"):
            found.failures.append(f"{image.as_posix()}: expected the original of the run, got another one")
        try:
            written = formats.read(output.root / name)
        except InputError as error:
            found.failures.append(f"{name}: cannot be read again: {error}")
            continue
        output.know(name, written.sha256)
        for other, digest in written.beside:
            output.know(path.with_name(other).as_posix(), digest)
        mark = plan.mark and not empty
        failures, differs = compare_volumes(volume, written, unit.regions, limit, mark=mark)
        changed |= differs
        if entry is None and not failures:
            failures = _hidden(volume, written, unit.regions, limit, mark=mark, same=same_ending(image, path))
        found.failures += [f"{name}: {failure}" for failure in failures]
    if not empty and not changed:
        found.failures.append("expected changed voxels in a protected case, got none")


def _records(entry: Mapping[str, Any], count: int) -> list[Mapping[str, Any] | None] | None:
    """Entries of the record, one a file; ``None`` where they are not."""
    listed = entry.get("files")
    return list(listed) if isinstance(listed, list) and len(listed) == count else None


def _hidden(
    source: Volume, written: Volume, regions: Regions, budget: Budget | None, *, mark: bool, same: bool
) -> list[str]:
    """What only a record would settle otherwise: bytes beside the values, and an image that is as good as restored."""
    if budget is None and same:  # it was copied
        equal = files.sha256(source.source) == files.sha256(written.source) and source.beside == written.beside
        return [] if equal else ["expected a copy of the original, byte for byte, got other bytes"]
    found = container_difference(source, written, mark=mark)
    broken = [found] if found else []
    if budget is not None:
        moved = Moved()
        moved.add(source.channels, written.channels, regions, budget)
        broken += moved.broken()
    return broken


def _check_labels(
    source: FileSource, case: Case, entry: Mapping[str, Any] | None, output: OutputFolder, found: CaseFinding
) -> Iterator[str]:
    """Every label file is the same, and called a proposal only if it is one."""
    digests = {path: files.sha256(source.root / path) for path in source.labels_of(case)}
    found.label_sha256 = digest = labels_digest([digests[path] for path in case.labels])
    for path, wanted in digests.items():
        name = path.as_posix()
        if name not in output:
            yield f"{name}: expected the label, got {output.absent(name)}"
        elif output.sha256(name) != wanted:
            yield f"{name}: expected identical bytes, got others"
    if entry is None:
        return
    if entry.get("label_sha256") != digest:
        yield "the label's checksum in the record is not that of the input"
    proposals = source.proposals
    if is_proposal(entry) != (proposals is not None and proposals.hold(case.id, found.status, digest)):
        yield f"expected the mask to be called {'an annotation' if is_proposal(entry) else 'a proposal'}, got the other"


def check_file(
    source: Volume, written: Path, regions: Regions, budget: Budget | None, *, mark: bool = False
) -> tuple[list[str], bool]:
    """Read a written file again and compare it with its source.

    Args:
        source: the source as it was read.
        written: the written file.
        regions: of the case; empty ones mean that nothing may differ.
        budget: of the file, ``None`` only with empty regions.
        mark: whether a PNG or TIFF carries the mark of :mod:`umed.data.mark`.

    Returns:
        Broken promises, empty if all hold, and whether any value differs from the source.
    """
    try:
        other = formats.read(written)
    except InputError as error:
        return [f"cannot be read again: {error}"], False
    return compare_volumes(source, other, regions, budget, mark=mark)


def compare_volumes(
    source: Volume, other: Volume, regions: Regions, budget: Budget | None, *, mark: bool
) -> tuple[list[str], bool]:
    """:func:`check_file` of a file that was read again already."""
    found = formats.header_difference(source, other, mark=mark)
    failures = [found] if found else []
    if other.stored.shape != source.stored.shape or other.stored.dtype.str != source.stored.dtype.str:
        got = f"{other.stored.shape} {other.stored.dtype.str}"
        return [*failures, f"expected stored values {source.stored.shape} {source.stored.dtype.str}, got {got}"], False
    if source.alpha and different(source.stored[..., -1], other.stored[..., -1]).any():
        failures.append("expected an untouched alpha plane, got changes")
    compared = compare(source.channels, other.channels, regions, budget)
    return failures + compared.broken(), compared.changed


def check_folder(source: FileSource, released: set[str], output: OutputFolder) -> tuple[list[str], set[str]]:
    """Check what belongs to no case: the index and the sidecars.

    Args:
        source: of the originals.
        released: ids of the cases that are in the output.
        output: what was written.

    Returns:
        A sentence for each broken promise, and the names of these files.
    """
    problems, dataset = [], source.dataset
    contents, copies = source.others(released)
    for path, content in contents.items():
        name = path.as_posix()
        if name not in output or (output.root / name).read_bytes() != content:
            problems.append(f"{name}: expected an index of exactly the released cases, got another or none")
    for path, own in copies.items():
        name = path.as_posix()
        if name not in output or output.sha256(name) != files.sha256(dataset.root / own):
            problems.append(f"{name}: expected identical bytes, got others or no file")
    return problems, {path.as_posix() for path in (*contents, *copies)}
