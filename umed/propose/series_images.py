# SPDX-License-Identifier: Apache-2.0
"""DICOM series: as flat pictures that Segment Anything can look at, and masks that are found again beside the input.

The input keeps its images and its own masks; one slice is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.series_proposals import slice_name
from umed.cases.spans import Slices, percentiles, slice_encoding
from umed.core.errors import InputError
from umed.data import files
from umed.dicom.masks import layers, named, series_masks
from umed.dicom.masks.label_files import write_mask
from umed.dicom.masks.layers import Mask
from umed.dicom.objects import LIMITS, Limits, Series
from umed.dicom.read.scan import scan
from umed.propose.image_loop import ANNOTATED, FAILED, PROPOSED, Classes, ImageOutcome, ImageSource
from umed.propose.prompts_file import Extent, PromptsFile
from umed.propose.proposal_folder import check_source
from umed.propose.segment_anything import PERCENTILES, to_picture

FAILURE = "it cannot be read, or its mask not be written"
"""All that ``proposals.json`` says of a failure: the whole reason may name files, which may be called as patients."""


class SeriesPictures:
    """A series as pictures: x is the column and y the row of the stored pixels, whatever way the patient lies.

    8-bit series keep their scale, 0 to 255; all others are scaled by the percentiles of the whole series without its
    padding. MONOCHROME1 is turned around, as every viewer does; padding is black.

    Args:
        series: image series whose pixels can be perturbed.
        limits: bounds against hostile files.
    """

    def __init__(self, series: Series, limits: Limits) -> None:
        self.series = series
        self._slices = Slices(series, limits)

    @property
    def extent(self) -> Extent:
        """Size as prompts see it; a series of one slice is a flat picture."""
        _, rows, columns = self.series.instances[0].shape
        count = len(self.series.slices)
        return Extent(columns, rows, None if count == 1 else count)

    @property
    def unread(self) -> int:
        """Number of slices that could not be read so far."""
        return sum(file in self._slices.broken for file, _ in self.series.slices)

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, rows, columns)`` in [0, 1].

        Args:
            place: number of the slice, ``None`` for the only one.

        Raises:
            InputError: when its file cannot be read.
        """
        k = place or 0
        [values], padding = self._slices.read(k, k + 1)
        file, _ = self.series.slices[k]
        if file in self._slices.broken:
            raise InputError(f"{self.series.id}, slice {k}: {self._slices.broken[file]}")
        code = slice_encoding(self.series, k)
        physical = values.astype(np.float64) * code.slope + code.inter
        channels = np.moveaxis(physical, -1, 0) if physical.ndim == 3 else physical[None]
        if np.dtype(code.dtype) == np.uint8:
            low, high = sorted(bound * code.slope + code.inter for bound in (0, 255))
        else:
            low, high = self._ends
        image = to_picture(channels, low, high)
        if self.series.instances[file].photometric == "MONOCHROME1":
            image = 1 - image
        image[:, padding[0]] = 0
        return image

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Black and white of the whole series; it is read for that once."""
        # all padding: nothing is to be seen whatever the window, and the picture is black
        return percentiles(self.series, self._slices, PERCENTILES) or (0.0, 0.0)


class SeriesImages(ImageSource[SeriesPictures]):
    """The series of a folder or zip.

    Args:
        root: folder or zip.
        output: the folder of proposals.

    Raises:
        InputError: when there is no image series, or proposals lie in the input.
    """

    naming = "Name it by its series id, see umed inspect"

    def __init__(self, root: Path, output: Path) -> None:
        check_source(root)
        self.root, self.output, self.limits = root, output, LIMITS
        self.scan = scan(root, self.limits)
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
        self.series = {one.id: one for one in images if one.id not in self.unfit}
        self.ids = tuple(self.series)
        self.problems = (*self.unfit.items(), *reasons.items(), *refused)
        others = [series for series in self.scan.series if series.kind not in ("image", "seg", "rtstruct")]
        self.aside = tuple((one.id, f"{one.modality or 'it'} is no image") for one in others)
        self.next = f"umed protect {root} RELEASE --masks {output}"
        self._meant: dict[str, Mask] = {}

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
        super().check(asked)

    def open(self, case_id: str) -> SeriesPictures:
        """Look at a series."""
        return SeriesPictures(self.series[case_id], self.limits)

    def own_mask(self, case_id: str, work: Path) -> ImageOutcome | None:
        """Leave a mask where it is; raises :class:`umed.core.errors.InputError` when it needs repair."""
        if case_id in self.broken:
            raise InputError(self.broken[case_id])
        return ImageOutcome(case_id, ANNOTATED, "it has a mask in the input") if case_id in self.annotated else None

    def write(
        self, case_id: str, pictures: SeriesPictures, classes: Classes, work: Path
    ) -> tuple[dict[str, str], str] | None:
        """Write a mask on the grid of its series, as NIfTI or as a PNG a slice."""
        series, extent = pictures.series, pictures.extent
        shape = len(series.slices), extent.height, extent.width
        mask = layers.build(case_id, {}, shape, ((place or 0, plane.astype(np.int16)) for place, plane in classes))
        if mask.extent == (0, 0):
            return None
        self._meant[case_id] = mask
        written = {name: files.sha256(work / name) for name in write_mask(series, mask, work)}
        first, _ = series.slices[mask.extent[0]]
        return written, slice_name(series.instances[first].sop_uid)

    def finish(self, work: Path, done: Sequence[ImageOutcome]) -> tuple[list[ImageOutcome], dict[str, str]]:
        """Read all masks as ``--masks`` does: what it would not find again, or not voxel by voxel, has failed."""
        images, found = [one for one in self.scan.series if one.kind == "image"], named.NamedMask()
        labels = [named.Label(work / name, name) for name in sorted(name for one in done for name in one.files)]
        named.match(labels, self.root, images, found, self.limits)
        checked = []
        for one in done:
            if one.status == PROPOSED and not _same(self._meant[one.id], found.masks.get(one.id, [])):
                reason = "; ".join(found.broken.get(one.id, ["expected the mask that was written, got another"]))
                one = ImageOutcome(one.id, FAILED, reason)
            checked.append(one)
        return checked, {}

    def record(self, done: Sequence[ImageOutcome]) -> dict[str, Any]:
        """Its part of ``proposals.json``: names no file, UID or value of the source."""
        hidden = [replace(one, reason=FAILURE) if one.status == FAILED else one for one in done]
        return {
            "layout": "dicom",
            "cases": [one.to_dict() for one in hidden],
            "problems": [{"name": name, "reason": "it cannot be protected"} for name in self.unfit],
        }


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
