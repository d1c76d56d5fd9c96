# SPDX-License-Identifier: Apache-2.0
"""Looks for text in the pixels of a series before any of its files is written; what is found puts all of it aside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from umed.cases.instance_writer import PIXEL_KEYWORDS, Refused, dark
from umed.core.errors import InputError, UmedError
from umed.deid import burned
from umed.deid.identity import Identity
from umed.deid.profile import Rectangle
from umed.deid.text_reader import TextReader
from umed.dicom.held import has, tag_of
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import geometry, headers, reader

STEPS = (
    "Blank it with a burned_in rule of the profile, leave the series out, or run without --look-for-text when you "
    "looked at it"
)


def look_for_text(series: Series, identity: Identity, limits: Limits) -> int:
    """Look at the pixels of a series as they would go out, after the blanking by the profile.

    All frames of files that may hold text by their header and go out nevertheless (accepted, or blanked), and the
    first, the middle and the last slice of the others. Segmentations are not looked at.

    Args:
        series: to be written.
        identity: with a reader; without one nothing is looked at.
        limits: bounds against hostile files.

    Returns:
        How many frames were looked at.

    Raises:
        Refused: when words were read, or a picture that would go out cannot be looked at.
    """
    words = identity.text_reader
    if words is None or series.kind == "seg":
        return 0
    risky, plain = _chosen(series, identity, limits)
    looked, seen = 0, set[bytes]()
    for file, frames in risky.items():
        looked += _look(series.instances[file], frames, identity, words, limits, seen)
    wanted, places, unread = 3, _spread(len(plain)), ""
    for place in places:
        if not wanted:
            break
        file, frame = plain[place]
        try:
            looked += _look(series.instances[file], [frame], identity, words, limits, seen)
            wanted -= 1
        except InputError as error:  # its neighbour is as good; the writer puts it aside
            unread = str(error)
    if plain and wanted == 3:
        raise Refused("pixels", f"no picture of it can be looked at for text ({unread}). {STEPS}")
    return looked


def _chosen(series: Series, identity: Identity, limits: Limits) -> tuple[dict[int, list[int]], list[tuple[int, int]]]:
    """Files of which all frames count, and frames of the others in slice order; none that is put aside by itself."""
    risky: dict[int, list[int]] = {}
    plain: set[int] = set()
    for file, instance in enumerate(series.instances):
        if not instance.shape[1]:
            continue
        try:
            with reader.guard(instance.path):
                dataset = reader.read(instance.path, limits, pixels=False)
                rectangles = identity.rectangles(dataset)
                doubted = bool(rectangles or identity.accepted(dataset))
        except UmedError:
            continue
        if doubted:
            risky[file] = list(range(instance.shape[0]))
        else:
            plain.add(file)
    order = series.slices or tuple((file, 0) for file in range(len(series.instances)))
    return risky, [(file, frame) for file, frame in order if file in plain]


def _spread(count: int) -> Iterator[int]:
    """The first, the middle and the last place, then all others, should those not be readable."""
    first = dict.fromkeys(place for place in (0, count // 2, count - 1) if 0 <= place < count)
    yield from first
    yield from (place for place in range(count) if place not in first)


def _look(
    instance: Instance, frames: list[int], identity: Identity, words: TextReader, limits: Limits, seen: set[bytes]
) -> int:
    """Look at frames of a file; InputError where its pixels cannot be read, Refused where there is text."""
    with reader.guard(instance.path):
        dataset = reader.read(instance.path, limits, pixels=True)
        if not any(has(dataset, tag_of(keyword)) for keyword in PIXEL_KEYWORDS):
            return 0
        values = _pixels(dataset, identity.rectangles(dataset), limits)
        window = _window(dataset) if values.ndim == 3 else None
    for frame in frames:
        picture = np.asarray(values[frame], np.float64)
        digest = hashlib.sha256(picture.tobytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        try:
            found = words.words(picture, window)
        except InputError as error:
            raise Refused(
                "burned-in", f"{instance.name}: could not be looked at for text ({error}). {STEPS}"
            ) from error
        if found:
            top, left = (min(word.box[side] for word in found) for side in (0, 1))
            height, width = (max(word.box[side] + word.box[side + 2] for word in found) for side in (0, 1))
            box = [top, left, height - top, width - left]
            count = f"{len(found)} word{'' if len(found) == 1 else 's'}"
            raise Refused(
                "burned-in",
                f"text can be read in the pixels of {instance.name}: {count} in frame {frame + 1}, within [top, left, "
                f"height, width] = {box}. {STEPS}",
            )
    return len(frames)


def _pixels(dataset: Any, rectangles: tuple[Rectangle, ...], limits: Limits) -> NDArray[Any]:
    """Values to look at: ``(frames, rows, columns[, 3])``, palettes applied, blanked as the written ones will be.

    InputError if they cannot be decoded.
    """
    try:
        values = pixel_data.decode(dataset, limits)
    except InputError as error:
        # What is copied as it is, without being decoded: single bits, floats, YBR that is not compressed.
        shape = [headers.integer(dataset, name, 1) for name in ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel")]
        if np.prod(shape, dtype=object) * 8 > limits.pixels_bytes:
            raise
        try:
            values = np.asarray(pixel_array(dataset))
        except Exception:
            raise error from None
        values = values.reshape(max(shape[0], 1), shape[1], shape[2], *values.shape[values.ndim - 1 :][: shape[3] > 1])
    if rectangles:
        values = burned.blank(values, rectangles, dark(dataset, values))
    if headers.text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        try:
            return np.stack([apply_color_lut(frame, dataset) for frame in values])[..., :3]
        except Exception:  # a broken palette: its numbers are looked at
            return values
    return values


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """Lowest and highest stored value that the file itself wants to be shown; of functional groups the first."""
    items = [dataset]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(dataset.get(name) or ())[:1]:
            items += [*(group.get("FrameVOILUTSequence") or ()), *(group.get("PixelValueTransformationSequence") or ())]

    def first(name: str) -> float | None:
        for item in items:
            several = item.get(name)
            count = len(several) if hasattr(several, "__len__") and not isinstance(several, str) else 1
            value = geometry.numbers(item, name, count) if several not in (None, "") else None
            if value:
                return float(value[0])
        return None

    center, width, slope, inter = map(first, ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"))
    if center is None or width is None or width <= 0:
        return None
    low, high = ((center + side * width / 2 - (inter or 0.0)) / (slope or 1.0) for side in (-1, 1))
    return (low, high) if low < high else (high, low)
