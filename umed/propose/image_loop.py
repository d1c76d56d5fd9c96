# SPDX-License-Identifier: Apache-2.0
"""Images of files or DICOM series, one after the other: a mask proposed, its own one kept, or why neither came of it.

What files and series do differently is in :mod:`~umed.propose.file_images` and :mod:`~umed.propose.series_images`.
"""

from __future__ import annotations

import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError, UmedError, error_line
from umed.networks.sam import PromptedSam
from umed.propose.prompts_file import Extent, Prompt, PromptsFile, check_ids, check_prompts
from umed.propose.segment_anything import Answer, GridSettings, ask, ask_everywhere, see

logger = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)
PROPOSED, NOTHING, ANNOTATED, UNASKED, FAILED = "proposed", "nothing found", "annotated", "no prompts", "failed"

Classes = Iterator[tuple[int | None, NDArray[np.uint8]]]
"""Slices that were asked about, ``None`` for flat images, and the class of each pixel, ``(height, width)``."""


@dataclass(frozen=True)
class ImageOutcome:
    """What came of one image.

    Args:
        id: case id.
        status: ``"proposed"``, ``"nothing found"``, ``"annotated"`` (it has a mask), ``"no prompts"`` or ``"failed"``.
        reason: why, and what else is worth knowing.
        files: SHA-256 of what was written for it, by name relative to the output: image, its data file if it has one,
            and mask in this order, of DICOM series the files of the mask.
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
            (image, image_sum), *data, (mask, mask_sum) = self.files.items()
            record |= {"data_files": dict(data)} if data else {}
            record |= {"image": image, "image_sha256": image_sum, "mask": mask, "mask_sha256": mask_sum}
        return {**record, "masks": list(self.masks)}


@dataclass(frozen=True)
class Questions:
    """What is asked, and who.

    Args:
        network: ready to be asked.
        prompts: by case id; ``None`` to look for masks without prompts.
        grid: what masks without prompts must be like.
        label: class of masks without prompts.
    """

    network: PromptedSam
    prompts: Mapping[str, tuple[Prompt, ...]] | None
    grid: GridSettings
    label: int


class Pictures(Protocol):
    """An image as flat pictures."""

    @property
    def extent(self) -> Extent:
        """Size as prompts see it."""
        ...

    @property
    def unread(self) -> int:
        """Number of slices that could not be read so far."""
        ...

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, height, width)`` in [0, 1] by its slice, ``None`` for flat images."""
        ...


P = TypeVar("P", bound=Pictures)


class ImageSource(ABC, Generic[P]):
    """Images of one kind.

    Attributes:
        output: folder of proposals.
        ids: of all images that can be asked about.
        annotated: ids of those that have a mask.
        problems: name and reason of what cannot be a case.
        aside: name and reason of what is no image.
        next: the command that comes next.
        naming: how prompts are to call an image.
        left: what becomes of an image that gets no mask, if that must be said.
    """

    output: Path
    ids: Sequence[str]
    annotated: frozenset[str]
    problems: tuple[tuple[str, str], ...]
    aside: tuple[tuple[str, str], ...] = ()
    next: str
    naming: str
    left = ""

    @abstractmethod
    def open(self, case_id: str) -> P:
        """Look at an image; raises :class:`umed.core.errors.InputError` when it cannot be used."""

    @abstractmethod
    def own_mask(self, case_id: str, work: Path) -> ImageOutcome | None:
        """Keep the mask that an image has; ``None`` where there is none."""

    @abstractmethod
    def write(self, case_id: str, pictures: P, classes: Classes, work: Path) -> tuple[dict[str, str], str] | None:
        """Write a mask on the image's own grid, and what belongs to it, to a folder, together or not at all.

        Returns:
            ``files`` and ``slice_sha256`` of :class:`ImageOutcome`; ``None`` where the mask is empty.
        """

    @abstractmethod
    def finish(self, work: Path, done: Sequence[ImageOutcome]) -> tuple[list[ImageOutcome], dict[str, str]]:
        """Write and check what covers all; gives the outcomes, and SHA-256 of what was written beside theirs."""

    @abstractmethod
    def record(self, done: Sequence[ImageOutcome]) -> dict[str, Any]:
        """Its part of ``proposals.json``."""

    def extent(self, case_id: str) -> Extent:
        """Size of an image as prompts see it."""
        return self.open(case_id).extent

    def clean(self, reason: str) -> str:
        """A reason without what does not belong into it."""
        return reason

    def check(self, asked: PromptsFile) -> None:
        """Check all prompts against their images, before anything is written.

        Raises:
            InputError: naming the first mistake.
        """
        check_ids(asked, self.ids, self.annotated, self.naming)
        for name in asked.cases:
            try:
                extent = self.extent(name)
            except UmedError:
                continue  # the image's own failure, told in its turn; it stops no other
            check_prompts(asked, name, extent)

    def propose(self, questions: Questions, work: Path) -> Iterator[ImageOutcome]:
        """Go through the images; one that fails stops no other.

        Args:
            questions: what is asked.
            work: folder that is written to.

        Yields:
            What came of each.

        Raises:
            UmedError: when the disk is full.
        """
        for case_id in self.ids:
            try:
                done = self._propose(questions, case_id, work)
            except Exception as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    raise UmedError(f"{self.output}: the disk is full. Free some space and run it again.") from error
                if not isinstance(error, UmedError | OSError):
                    logger.warning("case %s failed unexpectedly", case_id, exc_info=True)
                text = error_line(error)
                text = text if isinstance(error, UmedError) else f"{type(error).__name__}: {text}"
                done = ImageOutcome(case_id, FAILED, self.clean(text))
            yield done

    def _propose(self, questions: Questions, case_id: str, work: Path) -> ImageOutcome:
        kept = self.own_mask(case_id, work)
        if kept is not None:
            return kept
        if questions.prompts is not None and case_id not in questions.prompts:
            return ImageOutcome(case_id, UNASKED, _join("the prompts file does not name it", self.left))
        pictures, records = self.open(case_id), dict[int, dict[str, Any]]()
        written = self.write(case_id, pictures, _classes(questions, case_id, pictures, records), work)
        masks = tuple(records[row] for row in sorted(records))
        unread = f"{pictures.unread} of {pictures.extent.slices} slices cannot be read" if pictures.unread else ""
        if written is None:
            sure = "no mask is sure and stable enough"
            why = sure if questions.prompts is None else "the masks of its prompts are empty"
            return ImageOutcome(case_id, NOTHING, _join(why, unread, self.left), masks=masks)
        empty = sum(record["share"] == 0 for record in masks)
        why = f"{empty} of {len(masks)} prompts found nothing" if empty else ""
        return ImageOutcome(case_id, PROPOSED, _join(why, unread), written[0], masks, written[1])


def _classes(questions: Questions, case_id: str, pictures: Pictures, records: dict[int, dict[str, Any]]) -> Classes:
    """Ask all about one image, one slice at a time; the grid passes over slices that cannot be read.

    Args:
        questions: what is asked.
        case_id: of the image.
        pictures: the image.
        records: filled with what is told of each mask, by the place of its prompt, or by its number.

    Yields:
        A slice and its classes; where masks overlap, the later one wins.

    Raises:
        InputError: when a slice with prompts, or every slice, cannot be read.
    """
    prompts = () if questions.prompts is None else questions.prompts[case_id]
    slices, unread = pictures.extent.slices, 0
    everywhere = [None] if slices is None else range(slices)
    for place in dict.fromkeys(prompt.slice for prompt in prompts) or everywhere:
        try:
            picture = pictures.picture(place)
        except InputError:
            unread += 1
            if prompts or unread == (slices or 1):
                raise
            continue
        seen = see(questions.network, picture)
        found: Iterable[tuple[int, str, int, Answer]]
        if prompts:
            rows = [row for row, prompt in enumerate(prompts) if prompt.slice == place]
            answers = ask(seen, [prompts[row] for row in rows])
            found = [(row, prompts[row].kind, prompts[row].label, one) for row, one in zip(rows, answers, strict=True)]
        else:
            answers = ask_everywhere(seen, questions.grid)
            found = [(row, "grid", questions.label, one) for row, one in enumerate(answers, len(records))]
        plane = np.zeros(seen.shape, np.uint8)
        for row, kind, label, answer in found:
            plane[answer.mask] = label
            figures = {"predicted_iou": round(answer.predicted_iou, 4), "share": round(answer.share, 6)}
            records[row] = {"label": label, "slice": place, "prompt": kind, **figures}
        yield place, plane


def _join(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
