# SPDX-License-Identifier: Apache-2.0
"""DICOM series, one after the other: a mask proposed beside the input, which keeps its images and its own masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.proposals import NAME, read_proposals
from umed.cases.series_proposals import slice_name
from umed.core.errors import InputError
from umed.data import files
from umed.dicom.masks import layers, named, series_masks
from umed.dicom.masks.label_files import write_mask
from umed.dicom.masks.layers import Mask
from umed.dicom.objects import Limits, Series
from umed.dicom.read.scan import scan
from umed.propose.answers import FoundMask, Questions, Record, answers
from umed.propose.outcomes import ANNOTATED, FAILED, PROPOSED, UNASKED, Proposal, attempt, empty_ones, in_order, nothing
from umed.propose.prompts_file import PromptsFile, check_ids, check_prompts
from umed.propose.series_pictures import SeriesPictures

NAMING = "Name it by its series id, see umed inspect"
FAILURE = "it cannot be read, or its mask not be written"
"""All that ``proposals.json`` says of a failure: the whole reason may name files, which may be called as patients."""


class SeriesImages:
    """The series of a folder or zip, as :func:`umed.propose.propose_masks.propose_masks` goes through them.

    Args:
        root: folder or zip.
        output: the folder of proposals.
        unpacked: folder for members of zips, which must live as long as this.
        limits: bounds against hostile files.

    Raises:
        InputError: when there is no image series, or proposals lie in the input.
    """

    def __init__(self, root: Path, output: Path, unpacked: Path, limits: Limits | None = None) -> None:
        if root.is_dir() and read_proposals(root) is not None:
            raise InputError(
                f"{root}: expected images, got masks that are proposals already ({NAME}). Give it to umed protect, or "
                "the images without masks to this command."
            )
        self.root, self.output, self.limits = root, output, limits or Limits()
        self.scan = scan(root, unpacked, self.limits)
        images = [series for series in self.scan.series if series.kind == "image"]
        refused = [(name, reason) for name, reason in self.scan.refused if not reason.startswith("is not a DICOM file")]
        if not images:
            first = "; ".join(f"{name}: {reason}" for name, reason in refused[:3]) or "no file with a picture"
            raise InputError(f"{root}: expected DICOM images, got none ({first}). Check the path.")
        found, problems = series_masks.find(self.scan, limits=self.limits)
        reasons = dict(problems)
        self.annotated = frozenset(found)
        self.unfit = {one.id: _unfit(one) for one in images if _unfit(one)}
        self.broken = {one.id: reasons.pop(one.id) for one in images if one.id in reasons}
        self.series = [one for one in images if one.id not in self.unfit]
        self.problems = (*self.unfit.items(), *reasons.items(), *refused)
        others = [series for series in self.scan.series if series.kind not in ("image", "seg", "rtstruct")]
        self.aside = tuple((one.id, f"{one.modality or 'it'} is no image") for one in others)
        self.next = f"umed protect {root} RELEASE --masks {output}"
        self._meant: dict[str, Mask] = {}

    def __len__(self) -> int:
        return len(self.series)

    def check(self, asked: PromptsFile) -> None:
        """Check all prompts against the series, from their headers.

        Raises:
            InputError: naming the first mistake.
        """
        for name in asked.cases:
            if name in self.unfit:
                raise InputError(
                    f"{asked.path}: case {name!r}: expected a series that can be protected, got one that cannot: "
                    f"{self.unfit[name]}. Remove the case from the prompts."
                )
        check_ids(asked, [one.id for one in self.series], sorted(self.annotated), NAMING)
        for one in self.series:
            if one.id in asked.cases:
                check_prompts(asked, one.id, SeriesPictures(one, self.limits).extent)

    def propose(self, questions: Questions, work: Path) -> Iterator[Proposal]:
        """Go through the series that could be protected.

        Args:
            questions: what is asked.
            work: folder for the masks.

        Yields:
            What came of each; failures become its outcome.

        Raises:
            UmedError: when the disk is full.
        """
        for one in self.series:
            yield attempt(one.id, partial(self._propose, questions, one, work), self.output, str)

    def finish(self, work: Path, done: Sequence[Proposal]) -> tuple[list[Proposal], dict[str, str]]:
        """Read all masks as ``--masks`` does: what it would not find again, or not voxel by voxel, has failed.

        Returns:
            What came of each series, and SHA-256 of all that was written, by relative name.
        """
        images, found = [one for one in self.scan.series if one.kind == "image"], named.NamedMask()
        written = {name: digest for one in done for name, digest in one.files.items()}
        labels = [named.Label(work / name, name) for name in sorted(written)]
        named.match(labels, self.root, images, found, self.limits)
        checked = []
        for one in done:
            if one.status == PROPOSED and not _same(self._meant[one.id], found.masks.get(one.id, [])):
                reason = "; ".join(found.broken.get(one.id, ["expected the mask that was written, got another"]))
                written = {name: digest for name, digest in written.items() if name not in one.files}
                one = Proposal(one.id, FAILED, reason)
            checked.append(one)
        return checked, written

    def record(self, done: Sequence[Proposal]) -> dict[str, Any]:
        """Its part of ``proposals.json``: names no file, UID or value of the source."""
        hidden = [replace(one, reason=FAILURE) if one.status == FAILED else one for one in done]
        return {
            "layout": "dicom",
            "cases": [one.to_dict() for one in hidden],
            "problems": [{"name": name, "reason": "it cannot be protected"} for name in self.unfit],
        }

    def _propose(self, questions: Questions, series: Series, work: Path) -> Proposal:
        if series.id in self.broken:  # its mask belongs to it, and needs repair
            raise InputError(self.broken[series.id])
        if series.id in self.annotated:
            return Proposal(series.id, ANNOTATED, "it has a mask in the input")
        if not questions.about(series.id):
            return Proposal(series.id, UNASKED, "the prompts file does not name it")
        records: list[Record] = []
        pictures = SeriesPictures(series, self.limits)
        drawn = _drawn(answers(questions, series.id, pictures), _shape(series), records)
        mask = layers.build(series.id, {}, _shape(series), drawn)
        unread = f"{pictures.unread} of {len(series.slices)} slices cannot be read" if pictures.unread else ""
        classes = sorted({record["label"] for _, record in records})
        mask = replace(mask, classes={number: f"class {number}" for number in classes})
        if mask.extent == (0, 0):
            return nothing(questions, series.id, records, f"; {unread}" if unread else "")
        self._meant[series.id] = mask
        names = write_mask(series, mask, work)
        first, _ = series.slices[mask.extent[0]]
        made = {name: files.sha256(work / name) for name in names}
        shown_in = slice_name(series.instances[first].sop_uid)
        reason = "; ".join(filter(None, [empty_ones(records), unread]))
        return Proposal(series.id, PROPOSED, reason, made, in_order(records), shown_in)


def _drawn(
    told: Iterable[tuple[int | None, list[FoundMask]]], shape: tuple[int, int, int], records: list[Record]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Number and classes of each slice that was asked about, one at a time; fills the records."""
    for place, found in told:
        plane = np.zeros(shape[1:], np.int16)
        for one in found:
            plane[one.answer.mask] = one.label
        records += [one.record(place) for one in found]
        yield place or 0, plane


def _shape(series: Series) -> tuple[int, int, int]:
    _, rows, columns = series.instances[0].shape
    return len(series.slices), rows, columns


def _unfit(series: Series) -> str:
    """Why a series cannot be protected, ``""`` if it can."""
    reasons = [one.unprotectable or "its pixels cannot be perturbed" for one in series.instances if not one.encoding]
    return reasons[0] if reasons else ""


def _same(meant: Mask, found: Sequence[Mask]) -> bool:
    """Whether a mask was found again voxel by voxel; pictures of 0 and 255 alone are read as 0 and 1."""
    if len(found) != 1 or found[0].shape != meant.shape:
        return False
    for k, (one, other) in enumerate(zip(meant.packed, found[0].packed, strict=True)):
        if one != other:
            first, second = meant.slices(k, k + 1), found[0].slices(k, k + 1)
            if not set(np.unique(first).tolist()) <= {0, 255} or not np.array_equal(first > 0, second):
                return False
    return True
