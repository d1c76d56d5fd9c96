# SPDX-License-Identifier: Apache-2.0
"""Proof, from the files alone, that an output folder keeps every promise.

Nothing that the run computed is trusted: images and labels are read again, regions and bounds are worked out again
from the plan in ``umed/manifest.json``, and every voxel of every written file is compared with its source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umed.cases import file_check
from umed.cases.file_source import open_files
from umed.cases.source import Request, Source
from umed.core.errors import ConfigError, UmedError, error_line
from umed.core.types import Progress
from umed.data.dicom_input import require_dicom
from umed.plan.planning import Plan
from umed.protect.manifest import record_of


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
    manifest = record_of(root, key_file=None if key_file is None else Path(key_file))
    plan = Plan.from_json(json.dumps(manifest["plan"])) if manifest["plan"] else None
    entries: dict[str, Mapping[str, Any]] = {str(entry["id"]): entry for entry in manifest["cases"]}
    with _open(Path(input), manifest, key_file, masks) as (source, kind):
        checks = []
        for done, case in enumerate(source.sizes):
            checks.append(_check_case(source, kind, case, plan, entries.get(case), root))
            if progress is not None:
                progress("verify", done + 1, len(source.sizes))
        problems = [f"{name}: is in the manifest but not in the input" for name in entries.keys() - source.sizes.keys()]
        if len(entries) != len(manifest["cases"]):
            problems.append("manifest: lists a case twice")
        problems += kind.check_folder(source, entries, root)
    notes = tuple(filter(None, [str(manifest.get("labels", ""))]))
    return Verification(tuple(checks), tuple(sorted(problems)), notes)


@contextmanager
def _open(
    path: Path, manifest: Mapping[str, Any], key_file: str | Path | None, masks: str | Path | None
) -> Iterator[tuple[Source, Any]]:
    """The originals, under the names that the output has, and the module that checks their kind."""
    if manifest["layout"] != "dicom":
        if key_file is not None or masks is not None:
            raise ConfigError("key_file, masks: expected a DICOM output for them, got another. Leave them out.")
        with open_files(Request(path, None)) as found:
            yield found, file_check
        return
    require_dicom()
    from umed.cases import series_check
    from umed.cases.series_source import open_released

    key, folder = (None if one is None else Path(one) for one in (key_file, masks))
    with open_released(path, manifest, key, folder) as series:
        yield series, series_check


def _check_case(
    source: Source, kind: Any, case: str, plan: Plan | None, entry: Mapping[str, Any] | None, output: Path
) -> CaseCheck:
    """All checks of one case; one that cannot be read is a failure, not an end."""
    if entry is None:
        return CaseCheck(case, "missing", ("is not in the manifest: resume the run",))
    status, reason = str(entry["status"]), str(entry.get("reason", ""))
    try:
        failures = tuple(kind.check_case(source, case, plan, entry, output))
    except (UmedError, OSError) as error:
        failures = (error_line(error),)
    except Exception as error:  # what surprises the check is not proven
        failures = (f"cannot be checked ({type(error).__name__}: {' '.join(str(error).split())})",)
    return CaseCheck(case, status, failures, reason)


def _short(lines: list[str], limit: int) -> list[str]:
    more = len(lines) - limit
    return lines[:limit] + ([f"  ... and {more} more"] if more > 0 else [])
