# SPDX-License-Identifier: Apache-2.0
"""What came of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from umed.cases.proposals import is_proposal
from umed.cases.quarantine_list import next_steps
from umed.cases.records import KEY, MANIFEST, QUARANTINE, RECORD, UNLOCK_KEY
from umed.cases.source import Quarantined
from umed.core.reasons import group_reasons, many
from umed.core.types import Outcome
from umed.data.accounting import Accounting
from umed.data.files import RECORDS
from umed.plan.planning import Plan
from umed.protect.let_through import accepted_reasons, blanked_files, let_through_lines
from umed.protect.release_findings import ReleaseCheck
from umed.protect.weak_cases import weak_cases, weak_lines

SHOWN = 20
"""Most lines of each kind in the summary of a release."""
FIGURES = {
    "psnr": "PSNR (dB)",
    "psnr_roi": "PSNR in ROI (dB)",
    "delta_e_roi": "Delta E in ROI, as the eye sees it",
    "delta_e_roi_99": "99 % of the ROI, at most",
    "roi_share": "ROI share",
}
"""Measures of a file that the summary shows, and their names."""
NO_FORECAST = (
    "no forecast was made of what a thief can still learn: umed plan INPUT --forecast makes one, of data sets of files"
)


@dataclass(frozen=True)
class Result:
    """What came of protecting a data set.

    Args:
        output: output root: what may be published.
        private: folder of what must never be published.
        plan: the resolved plan.
        outcomes: one a case, sorted by id.
        left_out: training cases that could not be read, with the reason.
        report: the report, ``None`` when it was not wanted.
        quarantine: DICOM files that are not in the output, with the reason.
        check: what a look over the output found; ``None`` when none was wanted.
        probe: what a quick probe found, in words; ``None`` when none was asked for.
        shared_code: why the codes are not secret and each case's own, in words; empty where they are.
        forecast: what was forecast for the plan, in words; empty where nothing was.
        forecast_unfit: why a forecast that was given is not shown; empty where it is, or none was.
        files: what became of every file of the input.
        unlock: what was written for those who may have the originals, in words; empty where nothing was.
    """

    output: Path
    private: Path
    plan: Plan
    outcomes: tuple[Outcome, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    report: Path | None = None
    quarantine: tuple[tuple[str, str], ...] = ()
    check: ReleaseCheck | None = None
    probe: str | None = None
    shared_code: str = ""
    forecast: str = ""
    forecast_unfit: str = ""
    files: Accounting = field(default_factory=Accounting)
    unlock: str = ""

    @property
    def manifest(self) -> Path:
        """The public manifest."""
        return self.output / RECORDS / MANIFEST

    @property
    def counts(self) -> dict[str, int]:
        """Number of cases of each status."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {status: found[status] for status in ("protected", "unchanged", "carried", "failed", "skipped")}

    @property
    def exit_code(self) -> int:
        """Code of the command line.

        0 when no case failed or is weak, and nothing else that is or may be an image or label was left out, but images
        that the data set declares to be its test split; 3 when some was, most masks are empty, or the output is not
        fit to publish; 1 when nothing was protected.
        """
        if not self.counts["protected"]:
            return 1
        less = self.counts["failed"] or weak_cases(self.outcomes) or self.quarantine or self.files.grave
        return 3 if less or self.mostly_empty or not _fit(self.check) else 0

    @property
    def mostly_empty(self) -> str:
        """A warning where more masks are empty than not, which often means that they were not read as meant."""
        empty, full = self.counts["unchanged"], self.counts["protected"]
        if empty <= full:
            return ""
        return (
            f"{empty} of {empty + full} masks are empty, so these images are released unprotected. If they are not: "
            "umed inspect shows the values of each mask, --mask-values and --background say what they mean"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "output": str(self.output),
            "private": str(self.private),
            "manifest": str(self.manifest),
            "report": None if self.report is None else str(self.report),
            "exit_code": self.exit_code,
            "counts": self.counts,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "left_out_of_training": [list(item) for item in self.left_out],
            "quarantine": [list(item) for item in self.quarantine],
            "accounting": self.files.to_dict(),
            **({"mostly_empty": self.mostly_empty} if self.mostly_empty else {}),
            **({} if self.check is None else {"release_check": self.check.to_dict()}),
            **({} if self.probe is None else {"probe": self.probe}),
            **({"expectation": self.plan.expectation} if self.plan.expectation else {}),
            "forecast": self.forecast or None,
            **({"forecast_unfit": self.forecast_unfit} if self.forecast_unfit else {}),
            **({"unlock": self.unlock} if self.unlock else {}),
        }

    def summary(self) -> str:
        """A few lines for people."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        lines = [
            *filter(None, [self.probe, self.plan.expectation]),
            f"{many(len(self.outcomes), 'case')}: {counts}",
            *([f"WARNING: {self.mostly_empty}"] if self.mostly_empty else []),
            *_figures(self.outcomes),
            *weak_lines(self.outcomes),
        ]
        proposed = sum(is_proposal(outcome.measures) for outcome in self.outcomes)
        if proposed:
            lines.append(f"{proposed} of the masks are proposals, not annotation: what they miss is not protected")
        lines += _not_kept(self.outcomes)
        lines += _left_out(self.outcomes, self.files, self.quarantine, self.left_out)
        lines += [f"every file and what became of it: {self.private / RECORD}"] if self.files.files else []
        lines += _list_of(self)
        if self.forecast_unfit:
            lines.append(f"WARNING: {self.forecast_unfit}")
        else:
            lines.append(f"forecast: {self.forecast}" if self.forecast else NO_FORECAST)
        lines += [*_unlocking(self), *_folders(self)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Released:
    """What came of a run, with all that is known about DICOM files.

    Args:
        output: output root: what may be published.
        private: folder of what must never be published.
        outcomes: one a case.
        quarantine: files that are not in the output.
        actions: how often each tag met each action of the profile.
        plan: ``None`` when nothing was to be protected.
        left_out: cases that could not be used for training.
        report: the report, ``None`` when it was not wanted.
        labels: what must be known about the masks, see :mod:`umed.cases.proposals`; ``""`` where nothing must.
        check: what a look over the output found; ``None`` when none was wanted.
        shared_code: why the codes are not secret and each case's own, in words; empty where they are.
        forecast: what was forecast for the plan, in words; empty where nothing was.
        forecast_unfit: why a forecast that was given is not shown; empty where it is, or none was.
        files: what became of every file of the input.
        warnings: what its owner must look at.
        unlock: what was written for those who may have the originals, in words; empty where nothing was.
    """

    output: Path
    private: Path
    outcomes: tuple[Outcome, ...]
    quarantine: tuple[Quarantined, ...] = ()
    actions: Mapping[tuple[str, str], int] | None = None
    plan: Plan | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    report: Path | None = None
    labels: str = ""
    check: ReleaseCheck | None = None
    shared_code: str = ""
    forecast: str = ""
    forecast_unfit: str = ""
    files: Accounting = field(default_factory=Accounting)
    warnings: tuple[str, ...] = ()
    unlock: str = ""

    @property
    def written(self) -> int:
        """Number of files in the output."""
        return sum(len(outcome.measures.get("sha256", ())) for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when every DICOM file was released, none weak, and nothing else looks like an image; 1 for none; else 3."""
        if not self.written:
            return 1
        aside = any(entry.category != "no-dicom" for entry in self.quarantine)
        return 3 if aside or weak_cases(self.outcomes) or self.files.grave or not _fit(self.check) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``; names files of the source."""
        return {
            "output": str(self.output),
            "report": None if self.report is None else str(self.report),
            "private": str(self.private),
            "exit_code": self.exit_code,
            "files_written": self.written,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "quarantine": [asdict(entry) for entry in self.quarantine],
            "left_out_of_training": [list(item) for item in self.left_out],
            "accounting": self.files.to_dict(),
            **({"labels": self.labels} if self.labels else {}),
            "accepted_burned_in": dict(accepted_reasons(self.outcomes)),
            "blanked": blanked_files(self.outcomes),
            "warnings": list(self.warnings),
            **({"unlock": self.unlock} if self.unlock else {}),
            **({"expectation": self.plan.expectation} if self.plan is not None and self.plan.expectation else {}),
            **({} if self.check is None else {"release_check": self.check.to_dict()}),
        }

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"{self.written} files written, {len(self.quarantine)} quarantined"]
        lines += [f"{one.id}: {one.status}{f', {one.reason}' if one.reason else ''}" for one in self.outcomes][:SHOWN]
        if len(self.outcomes) > SHOWN:
            lines.append(f"... and {len(self.outcomes) - SHOWN} more series")
        lines += [f"masks: {self.labels}"] if self.labels else []
        lines += [self.plan.expectation] if self.plan is not None and self.plan.expectation else []
        lines += [*_figures(self.outcomes), *weak_lines(self.outcomes)]
        lines += [*let_through_lines(self.outcomes), *(f"WARNING: {one}" for one in self.warnings)]
        told = {one.name for one in self.files.left_out if not one.case}
        aside = [(one.name, one.reason) for one in self.quarantine if one.name not in told]
        lines += _left_out((), self.files, aside, self.left_out)
        lines += [*next_steps(self.quarantine), *_list_of(self), *_unlocking(self), *_folders(self)]
        return "\n".join(lines)


def _left_out(
    outcomes: Iterable[Outcome],
    accounting: Accounting,
    quarantine: Iterable[tuple[str, str]],
    untrained: Iterable[tuple[str, str]],
) -> list[str]:
    """Everything that is not in the output: how many files, and one line a kind of reason."""
    lines = [accounting.head()] if accounting.files else []
    names: dict[str, tuple[str, ...]] = {}
    for one in accounting.files:
        if one.case:
            names[one.case] = (*names.get(one.case, ()), one.name)
    for status in ("failed", "skipped"):
        found = ((one.id, one.reason) for one in outcomes if one.status == status)
        lines += [f"{status}: {line}" for line in group_reasons(found, unit="cases", aliases=names)]
    lines += accounting.reasons()
    lines += [f"quarantined: {line}" for line in group_reasons(quarantine)]
    return lines + [f"left out of training: {line}" for line in group_reasons(untrained, unit="cases", aliases=names)]


def _list_of(done: Result | Released) -> list[str]:
    """Where the list of what was put aside is."""
    path = done.private / QUARANTINE
    return [f"what was put aside, by name: {path}"] if path.is_file() and done.quarantine else []


def _unlocking(done: Result | Released) -> list[str]:
    """Where the way back is, for whom it is meant."""
    return [f"unlock files: {done.unlock}; their key, private: {done.private / UNLOCK_KEY}"] if done.unlock else []


def _fit(check: ReleaseCheck | None) -> bool:
    """Whether nothing was found that speaks against publishing."""
    return check is None or check.ok


def _lacking(accounting: Accounting) -> str:
    """A reminder that a release is less than its input."""
    count = sum(one.kind not in ("document", "system", "other") for one in accounting.left_out)
    files, verb = ("file", "is") if count == 1 else ("files", "are")
    return f"; {count} {files} of INPUT with images or labels, or what may be some, {verb} NOT in it" if count else ""


def _folders(done: Result | Released) -> list[str]:
    """Which folder to publish, and which never."""
    lines = [] if done.report is None else [f"report, with originals: {done.report}"]
    if done.shared_code:
        lines.append(f"warning: {done.shared_code}")
    if done.exit_code == 1:
        lines.append(f"do not publish {done.output}: nothing was protected")
    elif done.check is None:
        lines.append(f"publish: {done.output}{_lacking(done.files)}")
    elif done.check.ok:
        lines.append(f"publish: {done.output} (umed check-release: nothing speaks against it){_lacking(done.files)}")
    else:
        lines.append(f"do not publish {done.output} before this is mended (umed check-release):")
    if done.check is not None:
        lines += [f"  {line}" for line in done.check.lines("problem")]
        lines += [f"  warning: {line}" for line in done.check.lines("warning")]
    key = "its key" if (done.private / KEY).is_file() else "the key that you gave"
    return [
        *lines,
        f"never publish: {done.private} (plan, records, generators, report). Keep it, {key}, and a copy of both: "
        "without them nothing can be verified or resumed.",
    ]


def _not_kept(outcomes: Iterable[Outcome]) -> list[str]:
    """What of the images' side data was not written again, and of how many files."""
    found = Counter(
        what for one in outcomes for record in one.measures.get("files", ()) for what in record.get("not_kept", ())
    )
    said = [f"{what} ({count} file{'' if count == 1 else 's'})" for what, count in sorted(found.items())]
    return [f"not carried over, it would give originals back or fits only them: {'; '.join(said)}"] if said else []


def _figures(outcomes: Iterable[Outcome]) -> list[str]:
    """Mean and range of each measure over all files."""
    lines, records = [], [record for outcome in outcomes for record in outcome.measures.get("files", ())]
    for name, title in FIGURES.items():
        values = [record[name] for record in records if record.get(name) is not None]
        if values:
            lines.append(f"{title}: mean {sum(values) / len(values):.4g}, {min(values):.4g} to {max(values):.4g}")
    return lines
