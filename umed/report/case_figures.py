# SPDX-License-Identifier: Apache-2.0
"""The figures of cases in a manifest, and what a page over cases shows of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umed.cases.proposals import is_proposal
from umed.report.histogram import histogram

NAN = float("nan")
MEANS = ("psnr", "psnr_roi", "ssim", "delta_e_roi", "delta_e_roi_99", "roi_share")


@dataclass(frozen=True)
class CaseFigures:
    """One line of the table of cases; NaN where there is no figure.

    Args:
        id: case id.
        status: ``"protected"``, ``"unchanged"``, ``"carried"``, ``"failed"`` or ``"skipped"``.
        reason: why, where it is not protected, whether it is weak, and whether its mask is a proposal.
        psnr: of the whole file, dB; this and what follows is the mean over the case's files.
        psnr_roi: in ROI and dilated contour, dB.
        ssim: structural similarity.
        delta_e_roi: mean Delta E 2000 after the blur of the eye, in ROI and dilated contour.
        delta_e_roi_99: what 99 % of these voxels do not exceed.
        roi_share: share of the voxels that may change.
        voxels_changed: how many did.
        step: largest change in stored steps, of the file that comes nearest to its bound.
        bound: that file's bound.
    """

    id: str
    status: str
    reason: str
    psnr: float
    psnr_roi: float
    ssim: float
    delta_e_roi: float
    delta_e_roi_99: float
    roi_share: float
    voxels_changed: float
    step: float
    bound: float


def case_figures(case: Mapping[str, Any]) -> CaseFigures:
    """Read the figures of a case of the manifest."""
    files = case.get("files", ())
    steps = [(one["largest_step"], one["bound_stored"]) for one in files if one.get("bound_stored")]
    step, bound = max(steps, key=lambda pair: pair[0] / pair[1], default=(NAN, NAN))
    weak = f"weak: {case['weak']}" if case.get("weak") else ""
    reason = [str(case.get("reason", "")), weak, "the mask is a proposal, not annotation" if is_proposal(case) else ""]
    means = {name: mean([one.get(name) for one in files]) for name in (*MEANS, "voxels_changed")}
    return CaseFigures(
        str(case["id"]), str(case["status"]), "; ".join(filter(None, reason)), **means, step=step, bound=bound
    )


def mean(values: Sequence[Any]) -> float:
    """Mean of the numbers among some values; NaN where there is none."""
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    return sum(numbers) / len(numbers) if numbers else NAN


def describe_cases(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the template ``cases.html.j2`` shows of the cases of a manifest: lines, means and chart."""
    rows = [case_figures(case) for case in cases]
    done = [row for row in rows if row.status == "protected"]
    return {
        "rows": rows,
        "means": {name: mean([value for row in done if math.isfinite(value := getattr(row, name))]) for name in MEANS},
        "chart": histogram([row.psnr for row in done], label="PSNR of the whole file", unit="dB"),
    }
