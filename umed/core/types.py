# SPDX-License-Identifier: Apache-2.0
"""The data that flows through umed: plain frozen records, no behaviour beyond simple views of their own fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from umed.core.mask_rules import MaskRules

Status = Literal["protected", "unchanged", "carried", "failed", "skipped"]


@dataclass(frozen=True)
class Encoding:
    """What the stored values of a file mean: ``physical = slope * stored + inter``.

    Args:
        dtype: numpy dtype string of the stored values with byte order, for example ``"<i2"``.
        slope: rescale slope; never 0.
        inter: rescale intercept, in physical units.
        bits: bits that a stored integer may use when fewer than the dtype holds (DICOM BitsStored), else ``None``.
    """

    dtype: str
    slope: float = 1.0
    inter: float = 0.0
    bits: int | None = None

    @property
    def is_integer(self) -> bool:
        """True when the file holds integers, so that a perturbation is a whole number of stored steps."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def stored_limits(self) -> tuple[float, float]:
        """Smallest and largest value that the file can hold."""
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            limits = np.finfo(dtype)
            return float(limits.min), float(limits.max)
        bits = self.bits or 8 * dtype.itemsize
        if dtype.kind == "u":
            return 0.0, float(2**bits - 1)
        return float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1)


@dataclass(frozen=True, eq=False)
class Volume:
    """One image file as it lies on disk.

    Args:
        stored: stored values, unscaled, shape ``(*spatial)`` or, with ``channels_last``, ``(*spatial, C)``.
        encoding: what they mean.
        spacing: size of a pixel along each spatial axis, in ``unit``.
        unit: ``"mm"``, or ``"px"`` where the file does not know its size.
        channels_last: whether the last axis of ``stored`` is channels (RGB, 4-D Decathlon), not space.
        alpha: whether the last channel is an alpha plane, which is never perturbed.
        source: the file it came from.
        header: what the reader of that format needs to write it back; opaque to everybody else.
        sha256: checksum of the very bytes that were read, hexadecimal; empty where the reader does not give one.
        beside: name and checksum of each further file that holds the image, such as the voxels of an ``.mhd`` header;
            they lie in the folder of ``source``.
    """

    stored: NDArray[Any]
    encoding: Encoding
    spacing: tuple[float, ...]
    unit: Literal["mm", "px"]
    channels_last: bool
    source: Path
    alpha: bool = False
    header: Any = None
    sha256: str = ""
    beside: tuple[tuple[str, str], ...] = ()

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape without the channel axis."""
        return self.stored.shape[:-1] if self.channels_last else self.stored.shape

    @property
    def channels(self) -> NDArray[Any]:
        """A view of the stored values that methods may change, shape ``(C, *spatial)``, without an alpha plane."""
        if not self.channels_last:
            return self.stored[None]
        moved = np.moveaxis(self.stored, -1, 0)
        return moved[:-1] if self.alpha else moved


@dataclass(frozen=True)
class Case:
    """One patient image with its label files, as paths relative to the data set's root.

    Args:
        id: stable name, unique in the data set; seeds the case's randomness.
        images: one file, or one file a channel (nnU-Net).
        labels: label files, copied byte for byte under their own names; empty where there is none.
        outputs: where each image is written, relative to the output root; differs from ``images`` in the ending when a
            lossy source is written losslessly (``.jpg`` to ``.png``), and in the name where a layout asks for it.
        classes: class number of each label file where every file is one class (TotalSegmentator); empty where each file
            is a label map of its own, and several are united, see :func:`umed.data.masks.read_labels`.
    """

    id: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    outputs: tuple[Path, ...]
    classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A folder of cases in a known layout.

    Args:
        root: the folder.
        layout: ``"decathlon"``, ``"nnunet"``, ``"pairs"`` or ``"dicom"``.
        cases: sorted by id.
        sidecars: files to carry over byte for byte, relative (``dataset.json`` is handled by the layout itself).
        modality: modality names from ``dataset.json``, one a channel, empty if unknown.
        problems: what was seen but cannot be a case (a label without an image ...): relative path and reason.
        split: ids of the cases that belong to a test split (Decathlon ``test``, nnU-Net ``imagesTs``).
        rules: how its masks are read: what ``dataset.json`` says, and what the user says on top of that.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    sidecars: tuple[Path, ...] = ()
    modality: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    split: frozenset[str] = frozenset()
    rules: MaskRules = MaskRules()


@dataclass(frozen=True, eq=False)
class Regions:
    """Where a case may be changed. All arrays have the shape of ``box``, a crop of the full grid.

    Args:
        shape: full spatial shape of the case.
        box: where the arrays lie in it; holds the support and a margin of context. Empty label: all of size 0.
        labels: class of each voxel, 0 is background or ignored, int16.
        contour: union over classes of ``dilate(y_k, r) AND dilate(NOT y_k, r)`` without what is ignored, bool.
        interior: ``(labels > 0) AND NOT contour``, bool.
        frames: where the frame itself may change, not only ROI and dilated contour, bool, broadcastable to ``box``;
            ``None`` for nowhere. ``box`` is then the whole grid.
    """

    shape: tuple[int, ...]
    box: tuple[slice, ...]
    labels: NDArray[np.int16]
    contour: NDArray[np.bool_]
    interior: NDArray[np.bool_]
    frames: NDArray[np.bool_] | None = None

    @property
    def roi(self) -> NDArray[np.bool_]:
        """ROI and dilated contour."""
        return self.contour | self.interior

    @property
    def support(self) -> NDArray[np.bool_]:
        """The only voxels that may change: ROI and dilated contour, or all of the frames."""
        return self.roi if self.frames is None else np.broadcast_to(self.frames, self.labels.shape)

    @property
    def empty(self) -> bool:
        """True when the label holds no foreground, so there is nothing to protect."""
        return self.labels.size == 0

    @property
    def origin(self) -> tuple[int, ...]:
        """First index of ``box`` along each axis, which keeps patterns in phase with the full grid."""
        return tuple(part.start for part in self.box)

    def part(self, window: tuple[slice, ...]) -> Regions:
        """The same within a window of the box; views, nothing is copied.

        Args:
            window: where, counted from the start of the box.
        """
        box = tuple(slice(b.start + w.start, b.start + w.stop) for b, w in zip(self.box, window, strict=True))
        frames = self.frames
        if frames is not None:
            sides = zip(window, frames.shape, strict=True)
            frames = frames[tuple(part if side > 1 else slice(None) for part, side in sides)]
        return Regions(self.shape, box, self.labels[window], self.contour[window], self.interior[window], frames)


@dataclass(frozen=True)
class Outcome:
    """What happened to one case; goes into the manifest as it is (no path, no patient data beyond the case id).

    Args:
        id: case id.
        status: ``"protected"``, ``"unchanged"`` (empty mask, copied), ``"carried"`` (DICOM objects that refer to
            images), ``"failed"`` or ``"skipped"`` (never copied).
        reason: why, for every status but ``"protected"``.
        measures: one record a file and one for the case, see :mod:`umed.plan.metrics`; ``"weak"`` says in words that
            hardly anything of a protected case could change, see :mod:`umed.plan.changeable`.
    """

    id: str
    status: Status
    reason: str = ""
    measures: dict[str, Any] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the steps done and the steps in all."""
