# SPDX-License-Identifier: Apache-2.0
"""Images in files, one after the other: a mask proposed, or its own mask kept, or the reason why neither came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from umed.cases.proposals import NAME, read_proposals
from umed.core.errors import InputError, UmedError
from umed.core.types import Case, Dataset
from umed.data import files, formats, layouts
from umed.data.masks import label_ending, write_label
from umed.data.paths import no_paths
from umed.propose.answers import Questions, Record, answers
from umed.propose.outcomes import ANNOTATED, PROPOSED, UNASKED, Proposal, attempt, empty_ones, in_order, nothing
from umed.propose.planes import open_planes
from umed.propose.prompts_file import PromptsFile, check_ids, check_prompts


class Images:
    """Images in files, as :func:`umed.propose.propose_masks.propose_masks` goes through them.

    Args:
        root: folder of images, or a data set.
        output: the folder of proposals, which reasons do not name.
        slice_axis: slices of volumes are taken along it.

    Raises:
        InputError: when there are none, or their masks are proposals already.
    """

    aside: tuple[tuple[str, str], ...] = ()

    def __init__(self, root: Path, output: Path, slice_axis: int) -> None:
        self.dataset, self.output, self.slice_axis = layouts.find_images(root), output, slice_axis
        if read_proposals(self.dataset.root) is not None:
            raise InputError(
                f"{root}: expected images, got masks that are proposals already ({NAME}). Give it to umed protect, or "
                "the images without masks to this command."
            )
        self.problems = tuple((name, no_paths(reason, self.dataset, output)) for name, reason in self.dataset.problems)
        self.next = f"umed protect {output} RELEASE"

    def __len__(self) -> int:
        return len(self.dataset.cases)

    def check(self, asked: PromptsFile) -> None:
        """Check all prompts against their images.

        Raises:
            InputError: naming the first mistake.
        """
        cases = {case.id: case for case in self.dataset.cases}
        check_ids(asked, list(cases), [name for name, case in cases.items() if case.label is not None])
        for name in asked.cases:
            try:
                volume = formats.read(self.dataset.root / cases[name].images[0])
            except UmedError:
                continue  # the image's own failure, told in its turn; it stops no other
            check_prompts(asked, name, open_planes(volume, self.slice_axis).extent)

    def propose(self, questions: Questions, work: Path) -> Iterator[Proposal]:
        """Go through the images.

        Args:
            questions: what is asked.
            work: folder that image and mask are written to, together or not at all.

        Yields:
            What came of each; failures become its outcome.

        Raises:
            UmedError: when the disk is full.
        """
        for case in self.dataset.cases:
            run = partial(self._propose, questions, case, work)
            yield attempt(case.id, run, self.output, lambda text: no_paths(text, self.dataset, self.output))

    def finish(self, work: Path, done: Sequence[Proposal]) -> tuple[list[Proposal], dict[str, str]]:
        """Write what covers all images.

        Returns:
            What came of each image, and SHA-256 of all that was written, by relative name.
        """
        written = {name: digest for case in done for name, digest in case.files.items()}
        for name in self.dataset.sidecars:
            files.copy(self.dataset.root / name, work / name)
            written[name.as_posix()] = files.sha256(work / name)
        return list(done), written

    def record(self, done: Sequence[Proposal]) -> dict[str, Any]:
        """Its part of ``proposals.json``."""
        return {
            "slice_axis": self.slice_axis,
            "cases": [case.to_dict() for case in done],
            "problems": [{"name": name, "reason": reason} for name, reason in self.problems],
        }

    def _propose(self, questions: Questions, case: Case, work: Path) -> Proposal:
        root = self.dataset.root
        if case.label is None and not questions.about(case.id):
            return Proposal(case.id, UNASKED, "the prompts file does not name it; not copied")
        _check(self.dataset, case)
        ending = formats.ending(case.images[0]) or case.images[0].suffix
        image = Path("images") / (case.id + ending)
        if case.label is not None:
            mask = Path("masks") / (case.id + formats.ending(case.label))
            with files.atomic(work / image) as first, files.atomic(work / mask) as second:
                sums = [
                    files.checked_copy(root / case.images[0], first, ""),
                    files.checked_copy(root / case.label, second, ""),
                ]
            written = dict(zip((image.as_posix(), mask.as_posix()), sums, strict=True))
            return Proposal(case.id, ANNOTATED, "it has a mask, which was copied as it is", written)
        volume = formats.read(root / case.images[0])
        planes = open_planes(volume, self.slice_axis)
        labels = np.zeros(volume.spatial_shape, np.uint8)
        records: list[Record] = []
        for place, found in answers(questions, case.id, planes):
            for one in found:
                planes.put(labels, place, one.answer.mask, one.label)
            records += [one.record(place) for one in found]
        if not labels.any():
            return nothing(questions, case.id, records, "; not copied")
        mask = Path("masks") / (case.id + label_ending(volume))
        with files.atomic(work / image) as first, files.atomic(work / mask) as second:
            sums = [files.checked_copy(volume.source, first, volume.sha256)]
            write_label(volume, labels, second)
            sums.append(files.sha256(second))
        written = dict(zip((image.as_posix(), mask.as_posix()), sums, strict=True))
        return Proposal(case.id, PROPOSED, empty_ones(records), written, in_order(records))


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
