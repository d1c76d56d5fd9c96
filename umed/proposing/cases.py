# SPDX-License-Identifier: Apache-2.0
"""One image after the other: its mask proposed, or its own mask kept, or the reason why neither came of it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from umed import io
from umed.cases import no_paths
from umed.errors import InputError, UmedError
from umed.io import files, layouts
from umed.io.masks import label_ending, write_label
from umed.networks.sam import PromptedSam
from umed.proposing.asking import Answer, Seen, ask, see
from umed.proposing.automatic import GridSettings, ask_everywhere
from umed.proposing.planes import Planes, open_planes
from umed.proposing.prompts_file import Prompt
from umed.types import Case, Dataset

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)
PROPOSED, NOTHING, ANNOTATED, UNASKED, FAILED = "proposed", "nothing found", "annotated", "no prompts", "failed"


@dataclass(frozen=True)
class Job:
    """All that decides what is proposed.

    Args:
        dataset: the images.
        network: ready to be asked.
        prompts: by case id; ``None`` to look for masks without prompts.
        grid: what masks without prompts must be like.
        label: class of masks without prompts.
        slice_axis: slices of volumes are taken along it.
        output: root of the output, which reasons do not name.
    """

    dataset: Dataset
    network: PromptedSam
    prompts: Mapping[str, tuple[Prompt, ...]] | None
    grid: GridSettings
    label: int
    slice_axis: int
    output: Path


@dataclass(frozen=True)
class Proposal:
    """What came of one image.

    Args:
        id: case id.
        status: ``"proposed"``, ``"nothing found"``, ``"annotated"`` (its own mask was copied), ``"no prompts"`` or
            ``"failed"``. Only proposed and annotated images are in the output.
        reason: why, and what else is worth knowing.
        files: SHA-256 of image and mask, by name relative to the output; in this order.
        masks: label, slice, prompt, predicted IoU and share of the picture's pixels of each mask.
    """

    id: str
    status: str
    reason: str = ""
    files: dict[str, str] = field(default_factory=dict)
    masks: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record in ``proposals.json``."""
        record: dict[str, Any] = {"id": self.id, "status": self.status, "reason": self.reason}
        if self.files:
            (image, image_sum), (mask, mask_sum) = self.files.items()
            record |= {"image": image, "image_sha256": image_sum, "mask": mask, "mask_sha256": mask_sum}
        return {**record, "masks": list(self.masks)}


def propose_case(job: Job, case: Case, work: Path) -> Proposal:
    """Propose the mask of one image; failures become its outcome.

    Args:
        job: what to do.
        case: the image.
        work: folder that image and mask are written to, together or not at all.

    Raises:
        UmedError: when the disk is full.
    """
    try:
        return _propose(job, case, work)
    except OSError as error:
        if error.errno in FULL:
            raise UmedError(f"{job.output}: the disk is full. Free some space and run it again.") from error
        return _failed(job, case, error)
    except Exception as error:  # one bad image never stops the others
        if not isinstance(error, UmedError):
            logger.warning("case %s failed unexpectedly", case.id, exc_info=True)
        return _failed(job, case, error)


def _failed(job: Job, case: Case, error: Exception) -> Proposal:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, UmedError) else f"{type(error).__name__}: {text}"
    return Proposal(case.id, FAILED, no_paths(text, job.dataset, job.output))


def _propose(job: Job, case: Case, work: Path) -> Proposal:
    root = job.dataset.root
    if case.label is None and job.prompts is not None and case.id not in job.prompts:
        return Proposal(case.id, UNASKED, "the prompts file does not name it; not copied")
    _check(job.dataset, case)
    ending = io.ending(case.images[0]) or case.images[0].suffix
    image = Path("images") / (case.id + ending)
    if case.label is not None:
        mask = Path("masks") / (case.id + io.ending(case.label))
        with files.atomic(work / image) as first, files.atomic(work / mask) as second:
            sums = [
                files.checked_copy(root / case.images[0], first, ""),
                files.checked_copy(root / case.label, second, ""),
            ]
        reason = "it has a mask, which was copied as it is"
        return Proposal(case.id, ANNOTATED, reason, dict(zip((image.as_posix(), mask.as_posix()), sums, strict=True)))
    volume = io.read(root / case.images[0])
    planes = open_planes(volume, job.slice_axis)
    labels = np.zeros(volume.spatial_shape, np.uint8)
    records = []
    for place, name, value, answer in _answers(job, case.id, planes):
        planes.put(labels, place, answer.mask, value)
        figures = {"predicted_iou": round(answer.predicted_iou, 4), "share": round(answer.share, 6)}
        records.append({"label": value, "slice": place, "prompt": name, **figures})
    if not labels.any():
        wanted = "no mask is sure and stable enough" if job.prompts is None else "the masks of its prompts are empty"
        return Proposal(case.id, NOTHING, f"{wanted}; not copied", masks=tuple(records))
    mask = Path("masks") / (case.id + label_ending(volume))
    with files.atomic(work / image) as first, files.atomic(work / mask) as second:
        sums = [files.checked_copy(volume.source, first, volume.sha256)]
        write_label(volume, labels, second)
        sums.append(files.sha256(second))
    empty = sum(record["share"] == 0 for record in records)
    reason = f"{empty} of {len(records)} prompts found nothing" if empty else ""
    written = dict(zip((image.as_posix(), mask.as_posix()), sums, strict=True))
    return Proposal(case.id, PROPOSED, reason, written, tuple(records))


def _answers(job: Job, case_id: str, planes: Planes) -> list[tuple[int | None, str, int, Answer]]:
    """Slice, kind of prompt, class and mask of everything that is asked of one image, in the order of the prompts."""

    def look(place: int | None) -> Seen:
        return see(job.network, planes.picture(place))

    if job.prompts is None:
        slices = planes.extent.slices
        places = [None] if slices is None else range(slices)
        return [
            (place, "grid", job.label, answer)
            for place in places
            for answer in ask_everywhere(look(place), job.grid)
        ]  # fmt: skip
    prompts = job.prompts[case_id]
    found: dict[int, Answer] = {}
    for place in dict.fromkeys(prompt.slice for prompt in prompts):
        rows = [row for row, prompt in enumerate(prompts) if prompt.slice == place]
        found |= dict(zip(rows, ask(look(place), [prompts[row] for row in rows]), strict=True))
    return [(prompt.slice, prompt.kind, prompt.label, found[row]) for row, prompt in enumerate(prompts)]


def _check(dataset: Dataset, case: Case) -> None:
    """Refuse what could not stand beside the others in a folder of images and masks."""
    if len(case.images) > 1:
        raise InputError(
            f"{case.images[0]}: expected one image file, got {len(case.images)} channels. Put the channel that shows "
            "best what is meant into a folder of its own."
        )
    ids = {other.id for other in dataset.cases} - {case.id}
    taken = next((stem for stem in layouts.mask_stems(case.id) if stem in ids), None)
    if taken is not None:
        raise InputError(
            f"{case.images[0]}: expected a name of its own, got one whose mask could be taken for that of {taken}. "
            "Rename one of the two."
        )
