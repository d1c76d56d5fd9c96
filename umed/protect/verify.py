# SPDX-License-Identifier: Apache-2.0
"""Proof, from the files alone, that an output folder keeps every promise.

Nothing that the run computed is trusted: images and labels are read again, regions and bounds are worked out again
from the plan in ``umed/manifest.json``, and every voxel of every written file is compared with its source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from umed.cases.proposals import Proposals, is_proposal, read_proposals
from umed.core.errors import ConfigError, InputError, UmedError
from umed.core.types import Case, Dataset, Progress, Regions, Volume
from umed.data import files, formats, layouts
from umed.data.dicom_input import require_dicom
from umed.data.masks import check_channels, read_label
from umed.plan.budget import Budget, in_range, make_budget
from umed.plan.metrics import different
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions
from umed.protect.manifest import read_manifest

_SLAB = 1 << 20


@dataclass(frozen=True)
class CaseCheck:
    """What was found about one case.

    Args:
        id: case id.
        status: as in the manifest, or ``"missing"``.
        failures: promises that are broken; empty if all hold.
        reason: why the case is not protected, from the manifest.
    """

    id: str
    status: str
    failures: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify`.

    Args:
        cases: one entry a case of the input.
        problems: broken promises that belong to no case: unknown files, a wrong index.
        notes: what a reader must know though no promise is broken.
    """

    cases: tuple[CaseCheck, ...]
    problems: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """True when every promise holds. Cases that were left out on purpose do not count against it."""
        return not self.problems and not any(case.failures for case in self.cases)

    @property
    def exit_code(self) -> int:
        """0 when every promise holds, else 1."""
        return 0 if self.ok else 1

    @property
    def unprotected(self) -> tuple[CaseCheck, ...]:
        """Cases without protection: unchanged (empty label), failed, or skipped."""
        return tuple(case for case in self.cases if case.status not in ("protected", "carried"))

    def to_json(self) -> str:
        """JSON for ``umed verify --json``."""
        content = {
            "ok": self.ok,
            "cases": [{"id": c.id, "status": c.status, "failures": c.failures, "reason": c.reason} for c in self.cases],
            "problems": self.problems,
            **({"notes": self.notes} if self.notes else {}),
        }
        return json.dumps(content, sort_keys=True, indent=2) + "\n"

    def summary(self, limit: int = 20) -> str:
        """A few lines for people.

        Args:
            limit: most lines of each kind.
        """
        counts: dict[str, int] = {}
        for case in self.cases:
            counts[case.status] = counts.get(case.status, 0) + 1
        states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        broken = [f"  {case.id}: {failure}" for case in self.cases for failure in case.failures]
        broken += [f"  {problem}" for problem in self.problems]
        left = [f"  {case.id}: {case.status}, {case.reason}" for case in self.unprotected]
        verdict = "every promise holds." if self.ok else f"{len(broken)} broken:"
        lines = [f"{len(self.cases)} cases ({states}): {verdict}"]
        lines += _short(broken, limit)
        if left:
            lines += ["Not protected:", *_short(left, limit)]
        lines += self.notes
        return "\n".join(lines)


def verify(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path | None = None,
    masks: str | Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check an output folder against its input, file by file and voxel by voxel.

    Checked: bound in stored steps, voxels outside the support and outside the range bit-identical, NIfTI header bytes
    identical, labels identical, checksums as in the manifest, nothing of failed or skipped cases and no unknown file in
    the output, an index that lists exactly the released cases, and that masks which are proposals are called so.

    Args:
        input: the data set that was protected.
        output: what was written.
        key_file: for DICOM: key of an anonymized output; the pairs are found again through the UID map.
        masks: for DICOM: folder with masks that the run was given.
        progress: called with ``"verify"``, cases done and cases in all.

    Returns:
        What holds and what does not.

    Raises:
        ConfigError: if the key is missing or another one.
        InputError: if one of the folders cannot be read at all.
    """
    root = Path(output)
    manifest = read_manifest(root)
    if manifest["layout"] == "dicom":
        return _verify_dicom(Path(input), root, manifest, key_file, masks, progress)
    if key_file is not None or masks is not None:
        raise ConfigError("key_file, masks: expected a DICOM output for them, got another. Leave them out.")
    dataset = layouts.find_dataset(Path(input))
    proposals = read_proposals(dataset.root)
    plan = Plan.from_json(json.dumps(manifest["plan"]))
    entries: dict[str, Mapping[str, Any]] = {str(entry["id"]): entry for entry in manifest["cases"]}
    checks = []
    for done, case in enumerate(dataset.cases):
        checks.append(_check_case(dataset, case, root, plan, entries.get(case.id), proposals))
        if progress is not None:
            progress("verify", done + 1, len(dataset.cases))
    unknown = entries.keys() - {case.id for case in dataset.cases}
    problems = [f"{name}: is in the manifest but not in the input" for name in unknown]
    if len(entries) != len(manifest["cases"]):
        problems.append("manifest: lists a case twice")
    released = {name for name, entry in entries.items() if entry["status"] in ("protected", "unchanged")}
    problems += _check_folder(dataset, root, released)
    notes = tuple(filter(None, [str(manifest.get("labels", ""))]))
    return Verification(tuple(checks), tuple(sorted(problems)), notes)


def _verify_dicom(
    source: Path,
    output: Path,
    manifest: Mapping[str, Any],
    key_file: str | Path | None,
    masks: str | Path | None,
    progress: Progress | None,
) -> Verification:
    """The same for DICOM, whose libraries are an extra."""
    require_dicom()
    from umed.protect.series_check import check_release

    checks, problems = check_release(
        source,
        output,
        manifest,
        key_file=None if key_file is None else Path(key_file),
        masks=None if masks is None else Path(masks),
        progress=progress,
    )
    notes = tuple(filter(None, [str(manifest.get("labels", ""))]))
    return Verification(tuple(CaseCheck(*check) for check in checks), tuple(sorted(problems)), notes)


def check_file(source: Volume, written: Path, regions: Regions, budget: Budget | None) -> tuple[str, ...]:
    """Read a written file again and compare it with its source; used by ``protect`` before the file gets its name.

    Args:
        source: the source as it was read.
        written: the written file, which may still have its temporary name.
        regions: of the case; empty ones mean that nothing may differ.
        budget: of the file, ``None`` only with empty regions.

    Returns:
        Broken promises, empty if all hold.
    """
    return tuple(_check_file(source, written, regions, budget)[0])


def _check_file(source: Volume, written: Path, regions: Regions, budget: Budget | None) -> tuple[list[str], bool]:
    """Broken promises of one file, and whether any value of it differs from the source."""
    try:
        other = formats.read(written)
    except InputError as error:
        return [f"cannot be read again: {error}"], False
    found = formats.header_difference(source, other)
    failures = [found] if found else []
    if other.stored.shape != source.stored.shape or other.stored.dtype.str != source.stored.dtype.str:
        got = f"{other.stored.shape} {other.stored.dtype.str}"
        return [*failures, f"expected stored values {source.stored.shape} {source.stored.dtype.str}, got {got}"], False
    if source.alpha and different(source.stored[..., -1], other.stored[..., -1]).any():
        failures.append("expected an untouched alpha plane, got changes")
    found_values, changed = _check_values(source.channels, other.channels, regions, budget)
    return failures + found_values, changed


def _check_values(
    before: NDArray[Any], after: NDArray[Any], regions: Regions, budget: Budget | None
) -> tuple[list[str], bool]:
    """Compare values ``(C, *spatial)`` slab by slab: support, range and bound."""
    outside = beyond = above = 0
    largest, changed = 0.0, False
    for one, other in zip(before, after, strict=True):
        for part in _slabs(one):
            old, new = one[part], other[part]
            order: Literal["C", "F"] = "F" if old.flags.f_contiguous else "C"
            moved = np.flatnonzero(different(old, new).ravel(order=order))
            if not moved.size:
                continue
            changed = True
            outside += int((~_support(regions, part).ravel(order=order)[moved]).sum())
            if budget is None:
                continue
            old, new = old.ravel(order=order)[moved], new.ravel(order=order)[moved]
            beyond += int((~(in_range(old, budget) & in_range(new, budget))).sum())
            with np.errstate(invalid="ignore"):
                size = np.abs(new.astype(np.float64) - old.astype(np.float64))
            bounds: NDArray[np.float64] | float = budget.bound_stored
            if budget.background is not None:
                bounds = budget.bounds(_labelled(regions, part).ravel(order=order)[moved])
            over = ~(size <= bounds)
            above += int(over.sum())
            largest = max(largest, float(size[over].max(initial=0.0)))
    failures = []
    if outside:
        failures.append(f"expected no change outside ROI and dilated contour, got {outside} changed values")
    if beyond:
        failures.append(f"expected values outside the range untouched and none pushed out, got {beyond} that break it")
    if above and budget is not None:
        weak = "" if budget.background is None else f" and {budget.background:g} outside the labels"
        most = f"{budget.bound_stored:g} stored{weak}"
        failures.append(f"expected changes of at most {most}, got {largest:g} ({above} above)")
    return failures, changed


def _slabs(values: NDArray[Any]) -> Iterator[tuple[slice, ...]]:
    """Cut a grid into slabs of a million values along the axis that is slowest in memory."""
    if not values.size:
        return
    axis = int(np.argmax(np.abs(values.strides)))
    step = max(1, _SLAB * values.shape[axis] // values.size)
    whole = [slice(0, size) for size in values.shape]
    for start in range(0, values.shape[axis], step):
        whole[axis] = slice(start, min(start + step, values.shape[axis]))
        yield tuple(whole)


def _support(regions: Regions, part: tuple[slice, ...]) -> NDArray[np.bool_]:
    """The support within a part of the full grid."""
    return _within(regions, part, lambda seen: seen.support)


def _labelled(regions: Regions, part: tuple[slice, ...]) -> NDArray[np.bool_]:
    """Labelled voxels within a part of the full grid."""
    return _within(regions, part, lambda seen: seen.labels > 0)


def _within(
    regions: Regions, part: tuple[slice, ...], pick: Callable[[Regions], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    allowed = np.zeros([p.stop - p.start for p in part], bool)
    if regions.empty:
        return allowed
    shared = [(max(p.start, b.start), min(p.stop, b.stop)) for p, b in zip(part, regions.box, strict=True)]
    if any(low >= high for low, high in shared):
        return allowed
    here = tuple(slice(low - p.start, high - p.start) for (low, high), p in zip(shared, part, strict=True))
    there = tuple(slice(low - b.start, high - b.start) for (low, high), b in zip(shared, regions.box, strict=True))
    allowed[here] = pick(regions.part(there))
    return allowed


def _check_case(
    dataset: Dataset,
    case: Case,
    output: Path,
    plan: Plan,
    entry: Mapping[str, Any] | None,
    proposals: Proposals | None,
) -> CaseCheck:
    """All checks of one case; one that cannot be read is a failure, not an end."""
    if entry is None:
        return CaseCheck(case.id, "missing", ("is not in the manifest: resume the run",))
    status, reason = str(entry["status"]), str(entry.get("reason", ""))
    if status not in ("protected", "unchanged"):
        names = [*case.outputs, *([case.label] if case.label is not None else [])]
        there = [name.as_posix() for name in names if (output / name).exists()]
        failures = tuple(f"{name}: expected no file of a {status} case, got one; remove it" for name in there)
        return CaseCheck(case.id, status, failures, reason)
    try:
        failures = tuple(_check_released(dataset, case, output, plan, entry, proposals))
    except (UmedError, OSError) as error:
        failures = (" ".join(str(error).split()),)
    return CaseCheck(case.id, status, failures, reason)


def _check_released(
    dataset: Dataset, case: Case, output: Path, plan: Plan, entry: Mapping[str, Any], proposals: Proposals | None
) -> Iterator[str]:
    """Checks of a case that is in the output."""
    records = entry.get("files")
    if case.label is None or not isinstance(records, list) or len(records) != len(case.images):
        yield "expected a label and one record a file in the manifest, got others"
        return
    label = dataset.root / case.label
    digest = files.sha256(label)
    target = output / case.label
    if not target.is_file():
        yield f"{case.label.as_posix()}: expected the label, got no file"
    elif files.sha256(target) != digest:
        yield f"{case.label.as_posix()}: expected identical bytes, got others"
    if entry.get("label_sha256") != digest:
        yield "the label's checksum in the manifest is not that of the input"
    if is_proposal(entry) != (proposals is not None and digest in proposals.masks):
        yield f"expected the mask to be called {'an annotation' if is_proposal(entry) else 'a proposal'}, got the other"
    volumes = [formats.read(dataset.root / name) for name in case.images]
    check_channels(volumes)
    regions = plan_regions(read_label(label, volumes[0]), volumes[0], plan, margin=0)
    if regions.empty != (entry["status"] == "unchanged"):
        kind = "an empty" if regions.empty else "a"
        yield f"expected status {'unchanged' if regions.empty else 'protected'} for {kind} label, got {entry['status']}"
    changed = False
    for volume, name, record in zip(volumes, case.outputs, records, strict=True):
        where, written = name.as_posix(), output / name
        if not written.is_file():
            yield f"{where}: expected a file, got nothing"
            continue
        sums = files.sha256(volume.source), files.sha256(written)
        if sums != (record.get("sha256_in"), record.get("sha256_out")):
            yield f"{where}: expected the checksums in the manifest, got others; a file was changed since"
        budget = None
        if not regions.empty:
            budget = make_budget(
                volume,
                epsilon=plan.epsilon,
                range=plan.range,
                percentiles=plan.percentiles,
                background=plan.epsilon_background,
            )
            if record.get("epsilon_steps") != budget.steps:
                yield f"{where}: expected {budget.steps} steps in the manifest, got {record.get('epsilon_steps')}"
        failures, differs = _check_file(volume, written, regions, budget)
        yield from (f"{where}: {failure}" for failure in failures)
        changed |= differs
    if not regions.empty and not changed:
        yield "expected changed voxels in a protected case, got none"


def _check_folder(dataset: Dataset, output: Path, released: Collection[str]) -> list[str]:
    """Unknown files in the output, and an index or sidecar that is not what it should be."""
    problems = []
    expected = {path.as_posix() for path in dataset.sidecars}
    for case in dataset.cases:
        if case.label is not None:
            expected |= {path.as_posix() for path in (*case.outputs, case.label)}  # failed ones are checked by case
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


def _short(lines: list[str], limit: int) -> list[str]:
    more = len(lines) - limit
    return lines[:limit] + ([f"  ... and {more} more"] if more > 0 else [])
