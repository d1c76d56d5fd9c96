# SPDX-License-Identifier: Apache-2.0
"""Proof for a case of files: read again, regions and bounds worked out again, every voxel compared with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from umed.cases.file_source import FileSource
from umed.cases.proposals import is_proposal
from umed.core.errors import InputError
from umed.core.types import Regions, Volume
from umed.data import files, formats, layouts
from umed.plan.budget import Budget
from umed.plan.metrics import different
from umed.plan.planning import Plan
from umed.plan.promise import compare


def check_case(
    source: FileSource, case_id: str, plan: Plan | None, entry: Mapping[str, Any], output: Path
) -> Iterator[str]:
    """Broken promises of one case.

    Args:
        source: of the originals.
        case_id: of one of its cases.
        plan: that the output is said to follow.
        entry: of the case in the manifest.
        output: output root.

    Yields:
        A sentence each.
    """
    case, status = source.by_id[case_id], str(entry["status"])
    assert plan is not None  # of files there always is one
    if status not in ("protected", "unchanged"):
        names = [*case.outputs, *([case.label] if case.label is not None else [])]
        there = [name.as_posix() for name in names if (output / name).exists()]
        yield from (f"{name}: expected no file of a {status} case, got one; remove it" for name in there)
        return
    records = entry.get("files")
    if case.label is None or not isinstance(records, list) or len(records) != len(case.images):
        yield "expected a label and one record a file in the manifest, got others"
        return
    yield from _check_label(source, case.id, case.label, entry, output)
    unit = source.open(case.id, plan).unit(0, margin=0)
    if unit.regions.empty != (status == "unchanged"):
        kind = "an empty" if unit.regions.empty else "a"
        yield f"expected status {'unchanged' if unit.regions.empty else 'protected'} for {kind} label, got {status}"
    changed = False
    limits: tuple[Budget | None, ...] = unit.limits or (None,) * len(unit.volumes)
    for volume, limit, name, record in zip(unit.volumes, limits, case.outputs, records, strict=True):
        where, written = name.as_posix(), output / name
        if not written.is_file():
            yield f"{where}: expected a file, got nothing"
            continue
        sums = files.sha256(volume.source), files.sha256(written)
        if sums != (record.get("sha256_in"), record.get("sha256_out")):
            yield f"{where}: expected the checksums in the manifest, got others; a file was changed since"
        if limit is not None and record.get("epsilon_steps") != limit.steps:
            yield f"{where}: expected {limit.steps} steps in the manifest, got {record.get('epsilon_steps')}"
        failures, differs = check_file(volume, written, unit.regions, limit, mark=plan.mark and status == "protected")
        yield from (f"{where}: {failure}" for failure in failures)
        changed |= differs
    if not unit.regions.empty and not changed:
        yield "expected changed voxels in a protected case, got none"


def _check_label(source: FileSource, case: str, label: Path, entry: Mapping[str, Any], output: Path) -> Iterator[str]:
    """The label is the same, and called a proposal only if it is one."""
    digest = files.sha256(source.root / label)
    if not (output / label).is_file():
        yield f"{label.as_posix()}: expected the label, got no file"
    elif files.sha256(output / label) != digest:
        yield f"{label.as_posix()}: expected identical bytes, got others"
    if entry.get("label_sha256") != digest:
        yield "the label's checksum in the manifest is not that of the input"
    proposals, status = source.proposals, str(entry["status"])
    if is_proposal(entry) != (proposals is not None and proposals.hold(case, status, digest)):
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
    found = formats.header_difference(source, other, mark=mark)
    failures = [found] if found else []
    if other.stored.shape != source.stored.shape or other.stored.dtype.str != source.stored.dtype.str:
        got = f"{other.stored.shape} {other.stored.dtype.str}"
        return [*failures, f"expected stored values {source.stored.shape} {source.stored.dtype.str}, got {got}"], False
    if source.alpha and different(source.stored[..., -1], other.stored[..., -1]).any():
        failures.append("expected an untouched alpha plane, got changes")
    compared = compare(source.channels, other.channels, regions, budget)
    return failures + compared.broken(), compared.changed


def check_folder(source: FileSource, entries: Mapping[str, Mapping[str, Any]], output: Path) -> list[str]:
    """Unknown files in the output, and an index or sidecar that is not what it should be.

    Args:
        source: of the originals.
        entries: of the manifest, by case id.
        output: output root.

    Returns:
        A sentence each.
    """
    problems, dataset = [], source.dataset
    expected = {path.as_posix() for path in dataset.sidecars}
    for case in dataset.cases:
        if case.label is not None:
            expected |= {path.as_posix() for path in (*case.outputs, case.label)}  # failed ones are checked by case
    released = {name for name, entry in entries.items() if entry["status"] in ("protected", "unchanged")}
    content = layouts.index_bytes(dataset, released)
    if content is not None:
        expected.add(layouts.INDEX.as_posix())
        index = output / layouts.INDEX
        if not index.is_file() or index.read_bytes() != content:
            problems.append(f"{layouts.INDEX}: expected an index of exactly the released cases, got another or none")
    for path in dataset.sidecars:
        if not (output / path).is_file() or files.sha256(output / path) != files.sha256(dataset.root / path):
            problems.append(f"{path.as_posix()}: expected identical bytes, got others or no file")
    for found in sorted(output.rglob("*")):
        relative = found.relative_to(output)
        if found.is_dir() and not found.is_symlink():
            continue
        ours = relative.parts[0] == files.RECORDS and not formats.looks_like_image(found)
        if relative.as_posix() not in expected and not ours:
            problems.append(f"{relative.as_posix()}: expected no such file, got one; it was not written by this run")
    return problems
