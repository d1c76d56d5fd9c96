# SPDX-License-Identifier: Apache-2.0
"""What of a scan can be protected or trained on: masks, the series that are refused and why, and the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from umed.cases.proposals import Proposals
from umed.cases.series_facts import look, slice_plan
from umed.cases.series_proposals import find_masks
from umed.cases.spans import MOST_SLICES
from umed.core.config import Settings
from umed.core.errors import ConfigError, InputError
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import Limits, Scan, Series
from umed.plan.planning import Plan


@dataclass(frozen=True)
class Masked:
    """Masks and plan of a scan.

    Args:
        masks: by series id.
        refusals: why an image series cannot be used, by series id.
        problems: name and reason of each mask file that belongs to no series.
        plan: of all series that can be used.
        proposals: which of the masks are proposals, ``None`` where none is.
    """

    masks: Mapping[str, Mask]
    refusals: Mapping[str, str]
    problems: tuple[tuple[str, str], ...]
    plan: Plan
    proposals: Proposals | None

    def usable(self, series: Series) -> bool:
        """Whether a series can be perturbed or trained on: an image, not refused, with a mask that is not empty."""
        mask = self.masks.get(series.id)
        filled = mask is not None and mask.extent[0] < mask.extent[1]
        return series.kind == "image" and series.id not in self.refusals and filled


def find_masked(scan: Scan, folder: Path | None, settings: Settings, limits: Limits) -> Masked:
    """Find masks, look at every series, and make the plan.

    Args:
        scan: what was found.
        folder: masks beside those in the scan (``--masks``).
        settings: what the user chose.
        limits: bounds against hostile files.

    Returns:
        What can be used.

    Raises:
        ConfigError: when the settings do not go with DICOM.
        InputError: when no series has a mask that fits, or ``folder`` does not exist.
    """
    masks, problems, proposals = find_masks(scan, folder, limits)
    rows, facts = look(scan, masks, dict(problems), limits)
    refusals = {row.id: row.why for row in rows if row.action == "refuse"}
    if not facts.cases:
        reasons = dict.fromkeys([*problems, *refusals.items()])
        why = "; ".join(f"{name}: {reason}" for name, reason in list(reasons)[:3])
        raise InputError(
            f"{scan.root}: expected at least one image series with a mask that fits, got none ({why}). "
            "Give --masks DIR, and see umed inspect."
        )
    plan = slice_plan(facts, settings)
    if plan.support == "full" and plan.spatial_dims == 3:
        raise ConfigError(
            "support: expected 'roi' for DICOM in 3D, whose series are protected in spans of slices around their "
            "masks, got 'full'. Leave it out, or set spatial_dims=2."
        )
    known = {series.id for series in scan.series}
    return Masked(masks, refusals, tuple(entry for entry in problems if entry[0] not in known), plan, proposals)


def mask_digest(mask: Mask | None) -> str:
    """Hash of the classes of every voxel, 16 hex digits: another mask is another result. Empty without a mask."""
    if mask is None:
        return ""
    digest = hashlib.sha256()
    for start in range(mask.extent[0], mask.extent[1], MOST_SLICES):
        part = np.ascontiguousarray(mask.slices(start, min(start + MOST_SLICES, mask.extent[1])))
        digest.update(f"{start}".encode() + part.tobytes())
    return digest.hexdigest()[:16]
