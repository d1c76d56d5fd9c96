# SPDX-License-Identifier: Apache-2.0
"""What came of protecting a data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.cases.proposals import is_proposal
from umed.cases.records import MANIFEST
from umed.core.types import Outcome
from umed.data import files
from umed.plan.planning import Plan


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Args:
        output: output root.
        plan: the resolved plan.
        outcomes: one a case, sorted by id.
        left_out: training cases that could not be read, with the reason.
        report: the report, ``None`` when it was not wanted.
        quarantine: DICOM files that are not in the output, with the reason.
        probe: what a quick probe found, in words; ``None`` when none was asked for.
    """

    output: Path
    plan: Plan
    outcomes: tuple[Outcome, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    report: Path | None = None
    quarantine: tuple[tuple[str, str], ...] = ()
    probe: str | None = None

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.output / files.RECORDS / MANIFEST

    @property
    def counts(self) -> dict[str, int]:
        """Number of cases of each status."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {status: found[status] for status in ("protected", "unchanged", "carried", "failed", "skipped")}

    @property
    def exit_code(self) -> int:
        """0 when no case failed, 3 when some did, 1 when nothing could be released."""
        counts = self.counts
        if not counts["protected"] + counts["unchanged"]:
            return 1
        return 3 if counts["failed"] or self.quarantine else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "output": str(self.output),
            "manifest": str(self.manifest),
            "report": None if self.report is None else str(self.report),
            "exit_code": self.exit_code,
            "counts": self.counts,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "left_out_of_training": [list(item) for item in self.left_out],
            "quarantine": [list(item) for item in self.quarantine],
            **({} if self.probe is None else {"probe": self.probe}),
        }

    def summary(self) -> str:
        """A few lines for people."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        lines = [*filter(None, [self.probe]), f"{len(self.outcomes)} cases: {counts}"]
        records = [record for outcome in self.outcomes for record in outcome.measures.get("files", ())]
        for name, title in (("psnr", "PSNR (dB)"), ("psnr_roi", "PSNR in ROI (dB)"), ("roi_share", "ROI share")):
            values = [record[name] for record in records if record.get(name) is not None]
            if values:
                mean = sum(values) / len(values)
                lines.append(f"{title}: mean {mean:.4g}, {min(values):.4g} to {max(values):.4g}")
        proposed = sum(is_proposal(outcome.measures) for outcome in self.outcomes)
        if proposed:
            lines.append(f"{proposed} of the masks are proposals, not annotation: what they miss is not protected")
        lines += [f"{o.status}: {o.id}: {o.reason}" for o in self.outcomes if o.status in ("failed", "skipped")]
        lines += [f"left out of training: {case}: {reason}" for case, reason in self.left_out]
        lines += [f"quarantined: {name}: {reason}" for name, reason in self.quarantine]
        lines.append(f"report: {self.report}" if self.report else f"manifest: {self.manifest}")
        return "\n".join(lines)
