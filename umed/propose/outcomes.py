# SPDX-License-Identifier: Apache-2.0
"""What comes of an image, also when it fails."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from umed.core.errors import UmedError
from umed.propose.answers import Questions, Record
from umed.propose.prompts_file import PromptsFile

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)
PROPOSED, NOTHING, ANNOTATED, UNASKED, FAILED = "proposed", "nothing found", "annotated", "no prompts", "failed"


@dataclass(frozen=True)
class Proposal:
    """What came of one image.

    Args:
        id: case id.
        status: ``"proposed"``, ``"nothing found"``, ``"annotated"`` (it has a mask), ``"no prompts"`` or ``"failed"``.
        reason: why, and what else is worth knowing.
        files: SHA-256 of what was written for it, by name relative to the output: image and mask in this order, of
            DICOM series the files of the mask.
        masks: label, slice, prompt, predicted IoU and share of the picture's pixels of each mask.
        slice_sha256: only of DICOM series, see :mod:`umed.cases.proposals`.
    """

    id: str
    status: str
    reason: str = ""
    files: dict[str, str] = field(default_factory=dict)
    masks: tuple[dict[str, Any], ...] = ()
    slice_sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The record in ``proposals.json``."""
        record: dict[str, Any] = {"id": self.id, "status": self.status, "reason": self.reason}
        if self.slice_sha256:
            record |= {"mask_files": self.files, "slice_sha256": self.slice_sha256}
        elif self.files:
            (image, image_sum), (mask, mask_sum) = self.files.items()
            record |= {"image": image, "image_sha256": image_sum, "mask": mask, "mask_sha256": mask_sum}
        return {**record, "masks": list(self.masks)}


class ImageSource(Protocol):
    """Images of one kind: ``Images`` of :mod:`~umed.propose.file_cases`, ``SeriesImages`` of the series."""

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of what cannot be a case."""
        ...

    @property
    def aside(self) -> tuple[tuple[str, str], ...]:
        """Name and reason of what is no image."""
        ...

    @property
    def next(self) -> str:
        """The command that comes next."""
        ...

    def __len__(self) -> int: ...

    def check(self, asked: PromptsFile) -> None:
        """Check all prompts before anything is written; raises :class:`umed.core.errors.InputError`."""
        ...

    def propose(self, questions: Questions, work: Path) -> Iterator[Proposal]:
        """Go through the images, and write to a folder what comes of them."""
        ...

    def finish(self, work: Path, done: Sequence[Proposal]) -> tuple[list[Proposal], dict[str, str]]:
        """Write and check what covers all; gives the outcomes, and SHA-256 of all that was written."""
        ...

    def record(self, done: Sequence[Proposal]) -> dict[str, Any]:
        """Its part of ``proposals.json``."""
        ...


def nothing(questions: Questions, case_id: str, records: Sequence[Record], more: str = "") -> Proposal:
    """The outcome of an image whose masks are all empty."""
    wanted = "no mask is sure and stable enough" if questions.prompts is None else "the masks of its prompts are empty"
    return Proposal(case_id, NOTHING, wanted + more, masks=in_order(records))


def empty_ones(records: Sequence[Record]) -> str:
    """How many prompts found nothing, ``""`` if all did find something."""
    empty = sum(record["share"] == 0 for _, record in records)
    return f"{empty} of {len(records)} prompts found nothing" if empty else ""


def in_order(records: Sequence[Record]) -> tuple[dict[str, Any], ...]:
    """Records in the order of the prompts."""
    return tuple(record for _, record in sorted(records, key=lambda entry: entry[0]))


def attempt(case_id: str, run: Callable[[], Proposal], output: Path, clean: Callable[[str], str]) -> Proposal:
    """Do one image; one that fails stops no other.

    Args:
        case_id: of the image.
        run: does it.
        output: the folder of proposals, for the message.
        clean: takes out of a reason what does not belong there.

    Returns:
        What came of it.

    Raises:
        UmedError: when the disk is full.
    """
    try:
        return run()
    except OSError as error:
        if error.errno in FULL:
            raise UmedError(f"{output}: the disk is full. Free some space and run it again.") from error
        return Proposal(case_id, FAILED, clean(_text(error)))
    except Exception as error:
        if not isinstance(error, UmedError):
            logger.warning("case %s failed unexpectedly", case_id, exc_info=True)
        return Proposal(case_id, FAILED, clean(_text(error)))


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, UmedError) else f"{type(error).__name__}: {text}"
