# SPDX-License-Identifier: Apache-2.0
"""Images in files: as flat pictures that Segment Anything can look at, and copied beside the masks made for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.core.types import Case, Volume
from umed.data import files, formats, layouts
from umed.data.masks import label_ending, read_labels, write_label
from umed.data.paths import no_paths
from umed.propose.image_loop import ANNOTATED, Classes, ImageOutcome, ImageSource
from umed.propose.prompts_file import Extent
from umed.propose.proposal_folder import check_source
from umed.propose.segment_anything import PERCENTILES, to_picture


class FilePictures:
    """A file as pictures.

    8-bit pictures and 8-bit colour keep their scale, 0 to 255. All else (16 bit, CT, MR, floats) is scaled by its own
    percentiles: the channels of a colour picture together, others each by itself.

    Args:
        volume: the file.
        slice_axis: 0, 1 or 2, slices are taken along it; only used for volumes.

    Attributes:
        turned: whether the first axis is x, as in volumes, and not y, as in pictures.
    """

    unread = 0

    def __init__(self, volume: Volume, slice_axis: int) -> None:
        header, values, code = volume.header, volume.channels, volume.encoding
        self.volume, self.turned = volume, formats.is_volume(volume)
        self.axis = slice_axis if len(volume.spatial_shape) == 3 else None
        colour = header.colours > 1 if self.turned else len(values) == 3
        if code.dtype == "|u1" and (colour or not self.turned):
            ends = np.tile([0.0, 255.0], (len(values), 1))
        else:
            limits = [_limits(part) for part in ([values] * len(values) if colour else values)]
            ends = np.sort(np.array(limits) * code.slope + code.inter, axis=1)
        self.low, self.high = ends[:, 0], ends[:, 1]

    @property
    def extent(self) -> Extent:
        """Size as prompts see it."""
        shape = list(self.volume.spatial_shape)
        slices = None if self.axis is None else shape.pop(self.axis)
        width, height = shape if self.turned else shape[::-1]
        return Extent(width, height, slices)

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, height, width)`` in [0, 1].

        Args:
            place: index along the slice axis, ``None`` for flat images.
        """
        values: NDArray[Any] = self.volume.channels
        if self.axis is not None and place is not None:
            values = np.take(values, place, self.axis + 1)
        code = self.volume.encoding
        physical = values.astype(np.float64) * code.slope + code.inter
        return to_picture(physical.swapaxes(1, 2) if self.turned else physical, self.low, self.high)

    def put(self, labels: NDArray[np.uint8], place: int | None, plane: NDArray[np.uint8]) -> None:
        """Write the classes of one picture into a label map of the file's grid.

        Args:
            labels: shape of the file, changed in place.
            place: as in :meth:`picture`.
            plane: class of each pixel, ``(height, width)``.
        """
        part = labels if self.axis is None or place is None else np.moveaxis(labels, self.axis, 0)[place]
        part[:] = plane.T if self.turned else plane


def _small(labels: NDArray[Any], case: Case) -> NDArray[np.uint8]:
    """Class numbers as bytes; InputError where they are too large for a written mask."""
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= 255:
        raise InputError(f"{case.labels[0]}: expected classes 0 to 255 in masks to unite, got {int(labels.max())}.")
    return labels.astype(np.uint8)


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    return float(low), float(high)


class FileImages(ImageSource[FilePictures]):
    """Images in files.

    Args:
        root: folder of images, or a data set.
        output: the folder of proposals, which reasons do not name.
        slice_axis: slices of volumes are taken along it.

    Raises:
        InputError: when there are none, or their masks are proposals already.
    """

    naming = "Name it as its file without ending"
    left = "not copied"

    def __init__(self, root: Path, output: Path, slice_axis: int) -> None:
        self.dataset, self.output, self.slice_axis = layouts.find_images(root), output, slice_axis
        check_source(root)
        self.cases = {case.id: case for case in self.dataset.cases}
        self.ids = tuple(self.cases)
        self.annotated = frozenset(name for name, case in self.cases.items() if case.labels)
        self.problems = tuple((name, self.clean(reason)) for name, reason in self.dataset.problems)
        self.next = f"umed protect {output} RELEASE"

    def clean(self, reason: str) -> str:
        """A reason without folders of this machine."""
        return no_paths(reason, self.dataset, self.output)

    def extent(self, case_id: str) -> Extent:
        """Size of an image as prompts see it, also where it cannot stand beside the others."""
        return self._read(self.cases[case_id]).extent

    def open(self, case_id: str) -> FilePictures:
        """Look at an image; raises :class:`umed.core.errors.InputError` when it cannot be read or has no own name."""
        self._check(self.cases[case_id])
        return self._read(self.cases[case_id])

    def own_mask(self, case_id: str, work: Path) -> ImageOutcome | None:
        """Copy an image and its mask as they are."""
        case = self.cases[case_id]
        if not case.labels:
            return None
        self._check(case)
        if len(case.labels) > 1 or case.classes or formats.companions(self.dataset.root / case.labels[0]):
            volume, paths = self._read(case).volume, [self.dataset.root / name for name in case.labels]
            united = read_labels(paths, case.classes, volume, self.dataset.rules)
            draw = partial(write_label, volume, _small(united, case))
            written = self._put(case, volume.sha256, label_ending(volume), draw, work)
            how = f"it has {len(paths)} mask files, which were united"
            how = how if len(paths) > 1 else "it has a mask, which was written as one file"
            return ImageOutcome(case_id, ANNOTATED, how, written)
        copy = partial(files.checked_copy, self.dataset.root / case.labels[0], digest="")
        written = self._put(case, "", formats.ending(case.labels[0]), copy, work)
        return ImageOutcome(case_id, ANNOTATED, "it has a mask, which was copied as it is", written)

    def write(
        self, case_id: str, pictures: FilePictures, classes: Classes, work: Path
    ) -> tuple[dict[str, str], str] | None:
        """Write a mask in the format of its image, and copy that."""
        volume = pictures.volume
        labels = np.zeros(volume.spatial_shape, np.uint8)
        for place, plane in classes:
            pictures.put(labels, place, plane)
        if not labels.any():
            return None
        draw = partial(write_label, volume, labels)
        return self._put(self.cases[case_id], volume.sha256, label_ending(volume), draw, work), ""

    def finish(self, work: Path, done: Sequence[ImageOutcome]) -> tuple[list[ImageOutcome], dict[str, str]]:
        """Copy what belongs to all images."""
        copied = {}
        for name in self.dataset.sidecars:
            files.copy(self.dataset.root / name, work / name)
            copied[name.as_posix()] = files.sha256(work / name)
        return list(done), copied

    def record(self, done: Sequence[ImageOutcome]) -> dict[str, Any]:
        """Its part of ``proposals.json``."""
        return {
            "slice_axis": self.slice_axis,
            "cases": [case.to_dict() for case in done],
            "problems": [{"name": name, "reason": reason} for name, reason in self.problems],
        }

    def _read(self, case: Case) -> FilePictures:
        return FilePictures(formats.read(self.dataset.root / case.images[0]), self.slice_axis)

    def _put(self, case: Case, digest: str, ending: str, draw: Callable[[Path], object], work: Path) -> dict[str, str]:
        """Write an image and its mask, together or not at all."""
        source = case.images[0]
        image = Path("images") / (case.id + (formats.ending(source) or source.suffix))
        mask = Path("masks") / (case.id + ending)
        whole = formats.with_companions(self.dataset.root, source, image)
        if clash := next((path.name for path in whole[1:] if (work / path).exists()), ""):
            raise InputError(
                f"{source}: expected a data file with a name of its own, got {clash} again. Save it as .mha."
            )
        with ExitStack() as stack:
            first, *beside = [stack.enter_context(files.atomic(work / path)) for path in whole]
            second = stack.enter_context(files.atomic(work / mask))
            written = {image.as_posix(): files.checked_copy(self.dataset.root / source, first, digest)}
            for path, temporary in zip(whole[1:], beside, strict=True):
                data = self.dataset.root / source.with_name(path.name)
                written[path.as_posix()] = files.checked_copy(data, temporary, "")
            draw(second)
            return {**written, mask.as_posix(): files.sha256(second)}

    def _check(self, case: Case) -> None:
        """Refuse what could not stand beside the others in a folder of images and masks."""
        if len(case.images) > 1:
            raise InputError(
                f"{case.images[0]}: expected one image file, got {len(case.images)} channels. Put the channel that "
                "shows best what is meant into a folder of its own."
            )
        ids = self.cases.keys() - {case.id}
        taken = next((stem for stem in layouts.mask_stems(case.id) if stem in ids), None)
        if taken is not None:
            raise InputError(
                f"{case.images[0]}: expected a name of its own, got one whose mask could be taken for that of {taken}. "
                "Rename one of the two."
            )
