# SPDX-License-Identifier: Apache-2.0
"""Turns a manifest into what the page says: figures in words and units that need no further explanation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from umed.cases.proposals import is_proposal
from umed.plan.planning import Plan
from umed.report.html import Page, ReportRow
from umed.report.pictures import Picture
from umed.report.plots import histogram

NAN = float("nan")
SHOWN = 5  # cases left out of training that the page names


def make_page(
    manifest: Mapping[str, Any],
    plan: Plan,
    pictures: Sequence[tuple[str, Picture]],
    warnings: Sequence[str] = (),
    probe: Mapping[str, float] | None = None,
) -> Page:
    """Say what a run did.

    Args:
        manifest: content of ``umed/manifest.json``.
        plan: the plan in it.
        pictures: case id and pictures.
        warnings: what went wrong while drawing.
        probe: mean DSC ``"clean"`` and ``"protected"`` of a probe victim.

    Returns:
        The page.
    """
    cases: Sequence[Mapping[str, Any]] = manifest["cases"]
    counts = {
        name: sum(case["status"] == name for case in cases) for name in ("protected", "unchanged", "failed", "skipped")
    }
    done = [case for case in cases if case["status"] == "protected"]
    total = len(cases)
    notes = []
    if labels := manifest.get("labels"):
        notes.append(f"Masks: {labels}.")
    if counts["failed"]:
        notes.append(f"Failed: {_cases(counts['failed'])}, not in the released folder. The table says why.")
    if unused := [f"{one['id']}: {one['reason'].rstrip('.')}" for one in manifest.get("left_out_of_training", ())]:
        more = f"; and {len(unused) - SHOWN} more, see manifest.json" if len(unused) > SHOWN else ""
        notes.append(f"Left out of training: {_cases(len(unused))}. {'; '.join(unused[:SHOWN])}{more}.")
    if not counts["protected"]:
        notes.append("No case was protected.")
    return Page(
        title="Protected dataset",
        lead=f"{counts['protected']} of {_cases(total)} protected with method {plan.method}. No value moved by more "
        f"than {_fraction(plan.epsilon)} of the range, {_where(plan)}.",
        cards=_cards(counts, total, done, plan, probe),
        facts=_facts(manifest, plan),
        why=plan.why,
        chart=psnr_chart(done),
        rows=[case_row(case) for case in cases],
        pictures=pictures,
        warnings=[*notes, *warnings],
    )


def _cards(
    counts: Mapping[str, int],
    total: int,
    done: Sequence[Mapping[str, Any]],
    plan: Plan,
    probe: Mapping[str, float] | None,
) -> list[tuple[str, str, str]]:
    others = [f"{counts[name]} {name}" for name in ("unchanged", "failed", "skipped") if counts[name]]
    cards = [
        ("cases protected", f"{counts['protected']} / {total}", ", ".join(others) or "none unchanged, none failed"),
        *figure_cards(done, plan),
    ]
    if probe is not None:
        figure = f"{probe['clean']:.2f} → {probe['protected']:.2f}"
        cards.insert(
            1, ("probe DSC", figure, "quick victim, clean test cases: trained on the originals → on the protected")
        )
    return cards


def figure_cards(done: Sequence[Mapping[str, Any]], plan: Plan) -> list[tuple[str, str, str]]:
    """Summary cards of the protected cases: name, figure and remark of each.

    Args:
        done: protected cases of the manifest.
        plan: the plan.
    """
    return [
        ("epsilon", _fraction(plan.epsilon), "of the range, the most any voxel may move"),
        ("PSNR", _decibel(_mean(done, "psnr")), "whole files, mean"),
        ("PSNR in ROI", _decibel(_mean(done, "psnr_roi")), "ROI and dilated contour, mean"),
        ("SSIM", _text(_mean(done, "ssim"), "{:.4f}"), "mean"),
        ("ROI share", _text(_mean(done, "roi_share"), "{:.1%}"), "of the voxels may change, mean"),
        ("method", plan.method, f"seed {plan.seed}"),
    ]


def psnr_chart(done: Sequence[Mapping[str, Any]]) -> str:
    """Histogram of the PSNR of protected cases, SVG."""
    return histogram([_figure(one, "psnr") for one in done], label="PSNR of the whole file", unit="dB")


def _facts(manifest: Mapping[str, Any], plan: Plan) -> list[tuple[str, str]]:
    head = [
        ("umed", str(manifest.get("umed_version", ""))),
        ("method", str(manifest.get("method", plan.method))),
    ]
    return [*head, *plan_facts(plan)]


def plan_facts(plan: Plan) -> list[tuple[str, str]]:
    """Name and value of each line about a plan."""
    scale = plan.range if isinstance(plan.range, str) else f"[{plan.range[0]:g}, {plan.range[1]:g}]"
    dims = (
        "3D"
        if plan.spatial_dims == 3
        else "2D"
        if plan.slice_axis is None
        else f"2D, slices along axis {plan.slice_axis}"
    )
    target = "none" if plan.psnr_target is None else f"{plan.psnr_target:g} dB"
    return [
        ("seed", str(plan.seed)),
        ("range", scale),
        ("dimensions", dims),
        ("radius of the dilated contour", f"{plan.radius:g} {plan.radius_unit}"),
        ("PSNR target", target),
    ]


def case_row(case: Mapping[str, Any]) -> ReportRow:
    """One line of the table of cases, from a case of the manifest."""
    steps = [(one["largest_step"], one["bound_stored"]) for one in case.get("files", ()) if one.get("bound_stored")]
    step, bound = max(steps, key=lambda pair: pair[0] / pair[1], default=(NAN, NAN))
    cells = [
        _cell(_figure(case, "psnr"), "{:.2f}"),
        _cell(_figure(case, "psnr_roi"), "{:.2f}"),
        _cell(_figure(case, "ssim"), "{:.4f}"),
        _cell(_figure(case, "roi_share"), "{:.2%}"),
        ("–" if math.isnan(step) else f"{step:.6g} / {bound:.6g}", step / bound),
        _cell(_figure(case, "voxels_changed"), "{:,.0f}"),
    ]
    reason = [str(case.get("reason", "")), "the mask is a proposal, not annotation" if is_proposal(case) else ""]
    return ReportRow(str(case["id"]), str(case["status"]), "; ".join(filter(None, reason)), cells)


def _figure(case: Mapping[str, Any], name: str) -> float:
    """One of a case's figures, averaged over its files; NaN where there is none."""
    found = [one.get(name) for one in case.get("files", ())]
    figures = [float(value) for value in found if isinstance(value, (int, float))]
    return sum(figures) / len(figures) if figures else NAN


def _mean(done: Sequence[Mapping[str, Any]], name: str) -> float:
    figures = [value for value in (_figure(one, name) for one in done) if math.isfinite(value)]
    return sum(figures) / len(figures) if figures else NAN


def _cell(value: float, pattern: str) -> tuple[str, float]:
    return _text(value, pattern), value


def _text(value: float, pattern: str) -> str:
    return "–" if math.isnan(value) else "∞" if math.isinf(value) else pattern.format(value)


def _decibel(value: float) -> str:
    return _text(value, "{:.2f} dB")


def _where(plan: Plan) -> str:
    weak = plan.epsilon_background
    if plan.support == "full":
        return "anywhere in the frame" if weak is None else f"and by {_fraction(weak)} outside the labels"
    return "and nothing moved outside the ROI and its dilated contour"


def _cases(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"


def _fraction(epsilon: float) -> str:
    """4/255 as it is usually written, other values as a decimal."""
    of_255 = epsilon * 255
    if abs(of_255 - round(of_255)) < 1e-9:
        return f"{round(of_255)}/255"
    simple = Fraction(epsilon).limit_denominator(1000)
    return str(simple) if abs(float(simple) - epsilon) < 1e-12 else f"{epsilon:.4g}"
