# SPDX-License-Identifier: Apache-2.0
"""What is in a segmentation file: segments, frames with their positions and sources, and the stored frames."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from umed.core.errors import InputError
from umed.dicom.masks.attributes import items, several, text
from umed.dicom.masks.grids import MaskPlane
from umed.dicom.pixels import codestream
from umed.dicom.read.geometry import group_item

HALF = 0.5
"""A fractional voxel is foreground from this share of MaximumFractionalValue on (PS3.3 C.8.20.2.3)."""
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP class of label map segmentations."""
_BACKGROUND = ("125040", "DCM")  # PS3.16: the segment of a label map that stands for no segment


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a segmentation.

    Args:
        index: from 0.
        segment: its segment number, ``None`` in a label map.
        plane: where it lies, ``None`` where the file does not say.
        references: SOPInstanceUID of each source image and its frame from 0, ``None`` for all its frames.
    """

    index: int
    segment: int | None
    plane: MaskPlane | None
    references: frozenset[tuple[str, int | None]]


def segments(ds: Any, name: str) -> tuple[dict[int, str], set[int]]:
    """Label of each segment, and the stored values of a label map that are background (PS3.3 C.8.20.4).

    InputError if it describes no segment, or one twice.
    """
    labels: dict[int, str] = {}
    background: set[int] = set()
    for item in items(ds, "SegmentSequence"):
        number = int(item.get("SegmentNumber", -1))
        kind: Any = next(iter(items(item, "SegmentedPropertyTypeCodeSequence")), {})
        if number in labels or not 0 <= number < 1 << 16:
            raise InputError(f"{name}: expected a segment number of its own for each segment, got {number}. Repair it.")
        if is_labelmap(ds) and (text(kind, "CodeValue"), text(kind, "CodingSchemeDesignator")) == _BACKGROUND:
            background.add(number)
            continue
        labels[number] = text(item, "SegmentLabel") or text(kind, "CodeMeaning") or f"segment {number}"
    if not labels:
        raise InputError(f"{name}: expected at least one segment, got none described. Export the segmentation again.")
    for value in (0, ds.get("PixelPaddingValue")):
        if value is not None and int(value) not in labels:
            background.add(int(value))
    return labels, background


def is_labelmap(ds: Any) -> bool:
    """Whether the stored values are segment numbers."""
    return text(ds, "SegmentationType") == "LABELMAP" or text(ds, "SOPClassUID") == LABELMAP


def threshold(ds: Any, name: str) -> float:
    """Smallest stored value of a binary or fractional frame that is foreground; InputError for another type."""
    kind = text(ds, "SegmentationType")
    if kind == "FRACTIONAL":
        return max(HALF * float(ds.get("MaximumFractionalValue") or 255), 0.5)
    if kind == "BINARY" or is_labelmap(ds) or (not kind and ds.get("BitsAllocated") == 1):
        return 0.5
    raise InputError(f"{name}: expected SegmentationType BINARY, FRACTIONAL or LABELMAP, got {kind[:16] or 'none'}.")


def frames(ds: Any, name: str) -> list[Frame]:
    """Frames in file order; InputError if the functional groups are not one a frame, or say no segment."""
    count = int(ds.get("NumberOfFrames") or 1)
    groups = items(ds, "PerFrameFunctionalGroupsSequence")
    common = items(ds, "SharedFunctionalGroupsSequence")
    if len(groups) != count and not (count == 1 and not groups and common):
        raise InputError(
            f"{name}: expected one item of PerFrameFunctionalGroupsSequence a frame, got {len(groups)} for {count} "
            "frames. Export the segmentation again (not as TILED_FULL)."
        )
    shared = common[0] if common else Dataset()
    single = len(items(ds, "SegmentSequence")) == 1
    found = []
    for index, group in enumerate(groups or [shared]):
        first = partial(group_item, group, shared)
        segment: int | None = None
        if not is_labelmap(ds):
            number = first("SegmentIdentificationSequence").get("ReferencedSegmentNumber")
            if number is None and single:
                number = items(ds, "SegmentSequence")[0].get("SegmentNumber")
            if number is None or isinstance(number, list):
                raise InputError(f"{name}: expected a segment number for frame {index + 1}, got {number}.")
            segment = int(number)
        measures, orientation = first("PixelMeasuresSequence"), first("PlaneOrientationSequence")
        plane = _plane(
            (int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)),
            first("PlanePositionSequence").get("ImagePositionPatient", ds.get("ImagePositionPatient")),
            orientation.get("ImageOrientationPatient", ds.get("ImageOrientationPatient")),
            measures.get("PixelSpacing", ds.get("PixelSpacing")),
            name,
        )
        sources = _sources(group) or _sources(shared)
        found.append(Frame(index, segment, plane, frozenset(sources)))
    return found


def references(ds: Any) -> tuple[set[str], set[str], set[str]]:
    """Images, series and frames of reference that a segmentation names, as sets of UIDs."""
    images: set[str] = set()
    series: set[str] = set()
    for item in items(ds, "ReferencedSeriesSequence"):
        series.add(text(item, "SeriesInstanceUID"))
        images |= {text(image, "ReferencedSOPInstanceUID") for image in items(item, "ReferencedInstanceSequence")}
    for item in items(ds, "SourceImageSequence"):
        images.add(text(item, "ReferencedSOPInstanceUID"))
    for group in items(ds, "SharedFunctionalGroupsSequence") + items(ds, "PerFrameFunctionalGroupsSequence"):
        images |= {uid for uid, _ in _sources(group)}
    return images - {""}, series - {""}, {text(ds, "FrameOfReferenceUID")} - {""}


def reader(ds: Any, name: str) -> Callable[[int], NDArray[np.integer[Any]]]:
    """A function that gives the stored values ``(rows, columns)`` of a frame by its index from 0.

    It raises :class:`InputError` if that frame is broken.
    """

    def get(index: int) -> NDArray[np.integer[Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return stored_frame(ds, index)
            except Exception as error:
                raise InputError(
                    f"{name}: expected frame {index + 1} to be decoded, got: {str(error).splitlines()[0][:160]}. "
                    "Check the file, and that the decoders are there: pip install 'umed[dicom]'."
                ) from error

    return get


def stored_frame(ds: Any, index: int) -> NDArray[np.integer[Any]]:
    """Stored values of a frame; bits need not start on a byte (PS3.5 8.1.1, annex D), which pydicom 3.0 gets wrong.

    ValueError if the pixel data is shorter than the frames.
    """
    rows, columns, bits = int(ds.Rows), int(ds.Columns), int(ds.BitsAllocated)
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        from pydicom.pixels.utils import pixel_array

        frame = get_frame(ds.PixelData, index, number_of_frames=int(ds.get("NumberOfFrames") or 1))
        codestream.check_frame(str(syntax), frame, (rows, columns, 1), bits)
        return np.asarray(pixel_array(ds, index=index, raw=True))
    size = rows * columns
    first, last = index * size * bits, (index + 1) * size * bits
    data = ds.PixelData[first // 8 : -(-last // 8)]
    if 8 * len(data) < last - 8 * (first // 8):
        raise ValueError(f"{len(ds.PixelData)} bytes of pixel data for frame {index + 1}")
    if bits == 1:
        values = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[first % 8 :][:size]
    else:
        values = np.frombuffer(data, np.dtype(f"{'<' if syntax.is_little_endian else '>'}u{bits // 8}"))
    return values.reshape(rows, columns)


def _plane(size: tuple[int, int], position: Any, orientation: Any, spacing: Any, name: str) -> MaskPlane | None:
    """Where a frame lies, if the file says all of it."""
    if position is None or orientation is None or spacing is None:
        return None
    origin, axes, sizes = (np.asarray(value, np.float64) for value in (position, orientation, spacing))
    whole = origin.shape == (3,) and axes.shape == (6,) and sizes.shape == (2,)
    if not whole or not all(np.isfinite(value).all() for value in (origin, axes, sizes)) or (sizes <= 0).any():
        raise InputError(f"{name}: expected 3, 6 and 2 numbers as position, orientation and spacing, got others.")
    return MaskPlane(origin, axes[3:] * sizes[0], axes[:3] * sizes[1], size)


def _sources(group: Any) -> set[tuple[str, int | None]]:
    """Source images of a functional group, frames from 0."""
    found: set[tuple[str, int | None]] = set()
    for derivation in items(group, "DerivationImageSequence"):
        for source in items(derivation, "SourceImageSequence"):
            uid, numbers = text(source, "ReferencedSOPInstanceUID"), several(source.get("ReferencedFrameNumber"))
            found |= {(uid, int(number) - 1) for number in numbers} or {(uid, None)}
    return found
