# SPDX-License-Identifier: Apache-2.0
"""What a universal generator is trained on: a data set of files, or the series of a folder or zip of DICOM files."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umed.core.config import Settings
from umed.core.errors import InputError
from umed.core.types import Progress
from umed.data import layouts
from umed.data.dicom_input import takes_dicom
from umed.methods.prepare import Samples
from umed.plan.facts import gather
from umed.plan.planning import Plan, make_plan
from umed.training.file_samples import FileSamples

if TYPE_CHECKING:
    from umed.cases.masked import Masked
    from umed.dicom.objects import Scan, Series


@dataclass(frozen=True)
class TrainingData:
    """Training cases that are not read yet.

    Args:
        plan: made of what was found.
        identity: what tells these cases from others, as plain values; for a hash, never to be written as it is.
        open: reads the cases; gives them, and id and reason of those that are left out.
    """

    plan: Plan
    identity: list[Any]
    open: Callable[[], Samples]


@contextmanager
def find_training_data(
    source: Path, masks: Path | None, settings: Settings, progress: Progress | None = None
) -> Iterator[TrainingData]:
    """Find what can be trained on; members of a zip are there as long as the context is.

    Args:
        source: data set in any layout of files, or a folder or zip of DICOM files.
        masks: for DICOM: folder with masks beside those in the source.
        settings: what the user chose.
        progress: called with ``"scan"`` for each DICOM file.

    Yields:
        The cases and their plan.

    Raises:
        ConfigError: when masks are given for another layout than DICOM, or the settings do not go with it.
        InputError: when nothing is found that has a mask.
    """
    if not takes_dicom(source, masks):
        yield _files(source, settings)
        return
    with tempfile.TemporaryDirectory(prefix="umed-") as work:
        yield _series(source, masks, settings, Path(work), progress)


def _files(source: Path, settings: Settings) -> TrainingData:
    dataset = layouts.find_dataset(source)
    plan = make_plan(gather(dataset), settings)

    def samples() -> Samples:
        found = FileSamples(dataset, plan)
        return found, found.left_out

    return TrainingData(plan, [case.id for case in dataset.cases], samples)


def _series(
    source: Path, masks: Path | None, settings: Settings, work: Path, progress: Progress | None
) -> TrainingData:
    from umed.cases.masked import find_masked
    from umed.dicom.objects import Limits
    from umed.dicom.read.scan import scan

    limits = Limits()
    found = scan(source, work, limits, progress)
    if not any(series.kind == "image" for series in found.series):
        first = "; ".join(f"{name}: {reason}" for name, reason in found.refused[:3]) or "no image was found"
        raise InputError(f"{source}: expected DICOM images, got none that can be read ({first}). Check the path.")
    masked = find_masked(found, masks, settings, limits)
    chosen = [one for one in found.series if masked.usable(one)]

    def samples() -> Samples:
        from umed.training.series_samples import SeriesSamples

        cases = SeriesSamples(chosen, masked.masks, masked.plan, limits)
        return cases, _left_out(found, masked, cases.left_out, cases.broken)

    return TrainingData(masked.plan, [_identity(one, masked) for one in chosen], samples)


def _left_out(
    found: Scan, masked: Masked, unread: list[tuple[str, str]], broken: dict[str, dict[str, str]]
) -> list[tuple[str, str]]:
    """Every image series that is not trained on, or not on all of it; masks that belong to none; files not read."""
    from umed.dicom.objects import NO_DICOM

    reasons = {one.id: "the mask is empty" for one in found.series if one.kind == "image" and not masked.usable(one)}
    reasons |= masked.refusals
    for name, files in broken.items():
        first, why = next(iter(files.items()))
        reasons[name] = f"slices of {len(files)} files that cannot be decoded, such as {first}: {why}"
    refused: dict[str, list[str]] = {}
    for name, why in found.refused:
        if not why.startswith(NO_DICOM):
            refused.setdefault(why, []).append(name)
    more = {why: f" (and {len(names) - 1} more)" if len(names) > 1 else "" for why, names in refused.items()}
    others = [(names[0], f"{why}{more[why]}") for why, names in refused.items()]
    return [*sorted((reasons | dict(unread)).items()), *masked.problems, *others]


def _identity(series: Series, masked: Masked) -> list[str]:
    """Id, images and mask of a series; the images as one hash, the mask as that of its voxels."""
    from umed.cases.masked import mask_digest

    uids = hashlib.sha256(" ".join(one.sop_uid for one in series.instances).encode()).hexdigest()
    return [series.id, uids, mask_digest(masked.masks[series.id])]
