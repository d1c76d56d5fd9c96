# SPDX-License-Identifier: Apache-2.0
"""Which series of a scan can be protected, and the facts about them from which the plan follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from umed.cases.proposals import Proposals
from umed.cases.series_proposals import find_masks
from umed.cases.spans import Slices, masked_values, slice_encoding, spacing
from umed.core.config import Settings
from umed.core.errors import ConfigError, UmedError, error_line
from umed.core.ranges import is_each, range_words
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Limits, Scan, Series
from umed.plan.band_spectrum import CaseSpectrum, measure_case
from umed.plan.facts import CaseFacts, Facts
from umed.plan.planning import Plan, make_plan

MEASURED = 12
"""Series whose natural spectrum is measured, the first ones."""
MEASURED_SLICES = 32
"""Slices in the middle of the mask that it is measured on."""


@dataclass(frozen=True)
class Masked:
    """Masks of a scan, and what follows from them.

    Args:
        masks: by series id.
        proposals: which of them are proposals, ``None`` where none is known.
        problems: masks that do not fit: id of the series or name of the file, and the reason.
        rows: one record a series.
        facts: about the series that can be protected.
    """

    masks: Mapping[str, Mask]
    proposals: Proposals | None = None
    problems: tuple[tuple[str, str], ...] = ()
    rows: tuple[CaseFacts, ...] = ()
    facts: Facts | None = None

    @property
    def refusals(self) -> dict[str, str]:
        """Why an image series cannot be used, by series id."""
        return {row.id: row.why for row in self.rows if row.action == "refuse"}


def mask_scan(scan: Scan, folder: Path | None, limits: Limits, *, facts: bool = True) -> Masked:
    """Find the masks of a scan.

    Args:
        scan: what was found.
        folder: masks beside those in it (``--masks``).
        limits: bounds against hostile files.
        facts: also look at every series.

    Returns:
        The masks and what follows from them.

    Raises:
        InputError: when ``folder`` does not exist, or a ``proposals.json`` is damaged.
    """
    chosen, problems, proposals = find_masks(scan, folder, limits)
    rows, found = look(scan, chosen, dict(problems), limits) if facts else ((), None)
    return Masked(chosen, proposals, tuple(problems), rows, found)


def look(
    scan: Scan, masks: Mapping[str, Mask], problems: Mapping[str, str], limits: Limits
) -> tuple[tuple[CaseFacts, ...], Facts]:
    """Describe every series and draw up the facts for a plan.

    Args:
        scan: what was found.
        masks: by series id, from :func:`umed.cases.series_proposals.find_masks`.
        problems: masks that do not fit, by series id or file name, from the same.
        limits: bounds against hostile files.

    Returns:
        One record a series, and the facts about those that can be protected.
    """
    rows, cases = [], []
    spectra: list[CaseSpectrum] = []
    for series in scan.series:
        row = _row(series, masks.get(series.id), problems.get(series.id))
        rows.append(row)
        if row.action == "protect":
            try:
                slices = Slices(series, limits)
                cases.append(_case(series, masks[series.id], slices))
            except UmedError as error:
                rows[-1] = _as(row, "refuse", error_line(error))
                continue
            if len(spectra) < MEASURED:
                spectra += filter(None, [_spectrum(series, masks[series.id], slices)])
    facts = _facts(scan, cases, [s for s in scan.series if s.id in {case.id for case in cases}])
    return tuple(rows), replace(facts, spectra=tuple(spectra))


def slice_plan(facts: Facts, settings: Settings) -> Plan:
    """Make the plan of a scan: slice-wise methods always go through the slices as they were taken.

    Args:
        facts: from :func:`look`.
        settings: what the user chose.

    Returns:
        The plan.

    Raises:
        ConfigError: when the settings do not go with DICOM.
        InputError: when no series can be protected.
    """
    if is_each(settings.range):
        raise ConfigError(
            f"range: expected one for DICOM, whose series are of one modality each, got {range_words(settings.range)}. "
            "Leave it out: CT takes a window, all else its own percentiles."
        )
    plan = make_plan(facts, settings)
    if plan.spatial_dims == 2 and plan.slice_axis != 0:
        plan = make_plan(facts, replace(settings, spatial_dims=2, slice_axis=0))
    if is_each(plan.range):  # colours of more than 8 bits: they are one picture, so one range holds for all
        plan = replace(plan, range=plan.range[0] if len(set(plan.range)) == 1 else "percentile")
    if settings.range == "auto" and plan.range == "percentile" and not facts.modality:
        why = "range auto: the modalities differ, so CT takes the window that suits its mask, others their percentiles"
        plan = replace(
            plan, range="auto", why=(why, *(reason for reason in plan.why if not reason.startswith("range ")))
        )
    others = sorted({case.modality or "unknown" for case in facts.cases if case.modality != "CT"})
    if isinstance(settings.range, str) and settings.range.startswith("ct:") and others:
        if len(others) == len({case.modality for case in facts.cases}):
            raise ConfigError(
                f"range: expected one for {', '.join(others)}, got {settings.range}, a window of CT, and no series "
                "says Modality CT. Leave it out, or give percentile or two values."
            )
        rest = f"{', '.join(others)} take their own percentiles, since Modality says so"
        why = f"range {settings.range} for CT, as asked; {rest}"
        kept = (reason for reason in plan.why if not reason.startswith("range "))
        plan = replace(plan, range=settings.range, why=(why, *kept))
    if plan.support == "full" and plan.spatial_dims == 3:
        raise ConfigError(
            "support: expected 'roi' for DICOM in 3D, whose series are protected in spans of slices around their "
            "masks, got 'full'. Leave it out, or set spatial_dims=2."
        )
    return plan


def _row(series: Series, mask: Mask | None, problem: str | None) -> CaseFacts:
    first = series.instances[0]
    syntaxes = sorted({UID(instance.syntax).name for instance in series.instances})
    encoding = first.encoding
    row = CaseFacts(
        id=series.id,
        shape=(len(series.slices) or len(series.instances), first.shape[1], first.shape[2]),
        spacing=tuple(round(float(value), 4) for value in spacing(series)) if series.geometry is not None else (),
        unit="mm" if series.geometry is not None else "",
        dtype="" if encoding is None else np.dtype(encoding.dtype).name,
        channels=first.samples if series.kind == "image" else 0,
        classes=() if mask is None else (0, *sorted(mask.classes)),
        why="; ".join(series.problems),
        modality=series.modality,
        syntax=", ".join(syntaxes),
        masks="" if mask is None else mask.source,
    )
    if series.kind != "image":
        return _as(row, "carry", f"{series.kind}: its references are kept")
    reasons = list(dict.fromkeys(one.unprotectable for one in series.instances if one.encoding is None))
    if reasons:
        return _as(row, "refuse", reasons[0] or "its pixels cannot be perturbed")
    if problem is not None:
        return _as(row, "refuse", problem)
    if mask is None:
        return _as(row, "refuse", "no mask was found, so there is no telling what to protect")
    if mask.extent[0] >= mask.extent[1]:
        return _as(row, "copy", "the mask is empty, so there is nothing to protect")
    return row


def _as(row: CaseFacts, action: str, why: str) -> CaseFacts:
    return replace(row, action=action, why="; ".join(part for part in (why, row.why) if part))


def _spectrum(series: Series, mask: Mask, slices: Slices) -> CaseSpectrum | None:
    """Natural spectrum about the middle of a mask; ``None`` where there is none."""
    middle = (mask.extent[0] + mask.extent[1]) // 2
    start = min(max(0, middle - MEASURED_SLICES // 2), max(0, len(series.slices) - MEASURED_SLICES))
    stop = min(start + MEASURED_SLICES, len(series.slices))
    codes = [slice_encoding(series, index) for index in range(start, stop)]
    stored, fixed = slices.read(start, stop)
    if fixed.all():
        return None
    floats = [one.astype(np.float64) for one in stored]
    physical = np.stack([one * code.slope + code.inter for one, code in zip(floats, codes, strict=True)])
    low, high = np.percentile(physical[~fixed], (0.5, 99.5))
    physical[fixed] = np.nan  # padding is no edge
    values = np.moveaxis(physical, -1, 0) if physical.ndim == 4 else physical[None]
    labels = np.where(fixed, 0, np.asarray(mask.slices(start, stop)))
    whole = float(np.diff(codes[0].stored_limits)[0]) * abs(codes[0].slope)
    return measure_case(values, labels, axis=0, percentiles=float(high - low), whole=whole)


def _case(series: Series, mask: Mask, slices: Slices) -> CaseFacts:
    """Facts about a series from the middle of its mask."""
    inside = masked_values(series, mask, slices)
    middle = (mask.extent[0] + mask.extent[1] - 1) // 2
    encoding = slice_encoding(series, middle)
    return CaseFacts(
        id=series.id,
        shape=(len(series.slices), *series.instances[0].shape[1:]),
        spacing=spacing(series),
        unit="mm" if series.geometry is not None else "px",
        dtype=np.dtype(encoding.dtype).name,
        channels=series.instances[0].samples,
        classes=(0, *sorted(mask.classes)),
        foreground=float(np.median(inside)) if inside.size else None,
        modality=series.modality,
    )


def _facts(scan: Scan, cases: list[CaseFacts], chosen: list[Series]) -> Facts:
    """What the cases have in common; the fewest slices count, so that a 3-D plan fits every series."""
    if not cases:
        return Facts(name=scan.root.name, layout="dicom", count=0)
    modalities = {series.modality for series in chosen}
    alike = len(modalities) == 1
    shapes, steps = np.array([case.shape for case in cases]), np.array([case.spacing for case in cases])
    shape = (int(shapes[:, 0].min()), int(np.median(shapes[:, 1])), int(np.median(shapes[:, 2])))
    thick = steps[int(np.argmax(steps.max(axis=1) / steps.min(axis=1)))]
    counts = [case.channels for case in cases]
    values = tuple(sorted({value for case in cases for value in case.classes if value > 0}))
    inside = [case.foreground for case in cases if case.foreground is not None]
    return Facts(
        name=scan.root.name,
        layout="dicom",
        modality=tuple(modalities) if alike else (),
        cases=tuple(cases),
        count=len(cases),
        shape=shape,
        spacing=tuple(float(value) for value in thick),
        channels=max(sorted(set(counts)), key=counts.count),
        classes=max(2, len(values) + 1),
        class_values=values,
        classes_from="the classes that occur in the masks",
        integer=True,
        raster=all(case.unit == "px" for case in cases) and all(case.dtype == "uint8" for case in cases),
        hounsfield=False,  # Modality says it; mixed folders take percentiles
        foreground=float(np.median(inside)) if inside else None,
    )
