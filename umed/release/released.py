# SPDX-License-Identifier: Apache-2.0
"""What came of a run of the DICOM step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.core.types import Outcome
from umed.plan.planning import Plan

SHOWN = 20
"""Most lines of each kind in a summary."""


@dataclass(frozen=True)
class Quarantined:
    """A file that is not in the output.

    Args:
        name: in the input.
        category: key of :data:`umed.cases.instance_writer.CATEGORIES`.
        reason: the whole story.
    """

    name: str
    category: str
    reason: str


@dataclass(frozen=True)
class Released:
    """What came of a run.

    Args:
        output: output root.
        outcomes: one a series.
        quarantine: files that are not in the output.
        actions: how often each tag met each action of the profile.
        plan: ``None`` when nothing was to be protected.
        left_out: series that could not be used for training.
        derived: series whose images are new ones of the same patient, so that references to them follow.
        private: list of what was quarantined, with names; never to be released.
        report: the report, ``None`` when it was not wanted.
        labels: what must be known about the masks, see :mod:`umed.cases.proposals`; ``""`` where nothing must.
    """

    output: Path
    outcomes: tuple[Outcome, ...]
    quarantine: tuple[Quarantined, ...] = ()
    actions: Mapping[tuple[str, str], int] | None = None
    plan: Plan | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    derived: tuple[str, ...] = ()
    private: Path | None = None
    report: Path | None = None
    labels: str = ""

    @property
    def written(self) -> int:
        """Number of files in the output."""
        return sum(len(outcome.measures.get("sha256", ())) for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when every DICOM file was released, 3 when some were quarantined, 1 when all were."""
        if not self.written:
            return 1
        return 3 if any(entry.category != "no-dicom" for entry in self.quarantine) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``; names files of the source."""
        return {
            "output": str(self.output),
            "report": None if self.report is None else str(self.report),
            "private": None if self.private is None else str(self.private),
            "exit_code": self.exit_code,
            "files_written": self.written,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "quarantine": [asdict(entry) for entry in self.quarantine],
            "left_out_of_training": [list(item) for item in self.left_out],
            **({"labels": self.labels} if self.labels else {}),
        }

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"{self.written} files written, {len(self.quarantine)} quarantined"]
        lines += [f"{one.id}: {one.status}{f', {one.reason}' if one.reason else ''}" for one in self.outcomes][:SHOWN]
        if len(self.outcomes) > SHOWN:
            lines.append(f"... and {len(self.outcomes) - SHOWN} more series")
        lines += [f"masks: {self.labels}"] if self.labels else []
        figures = [f for one in self.outcomes for f in one.measures.get("files", ())]
        for name, title in (("psnr", "PSNR (dB)"), ("psnr_roi", "PSNR in ROI (dB)"), ("roi_share", "ROI share")):
            values = [figure[name] for figure in figures if figure.get(name) is not None]
            if values:
                lines.append(f"{title}: mean {sum(values) / len(values):.4g}, {min(values):.4g} to {max(values):.4g}")
        ordered = sorted(self.quarantine, key=lambda entry: (entry.category == "no-dicom", entry.name))
        lines += [f"quarantined: {q.name}: {q.reason}" for q in ordered[:SHOWN]]
        if len(self.quarantine) > SHOWN:
            lines.append(f"... and {len(self.quarantine) - SHOWN} more files")
        lines += [f"left out of training: {name}: {reason}" for name, reason in self.left_out]
        if self.private is not None:
            lines.append(f"what was quarantined, by name (private, never release it): {self.private}")
        if self.report is not None:
            lines.append(f"report: {self.report}")
        return "\n".join(lines)
