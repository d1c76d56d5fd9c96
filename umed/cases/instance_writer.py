# SPDX-License-Identifier: Apache-2.0
"""One DICOM file out: pixels set losslessly, identity applied, marked as derived, written, read again and compared."""

from __future__ import annotations

import errno
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from umed.cases.pixel_copies import remove_copies
from umed.core.errors import InputError, UmedError, VerificationError, error_line
from umed.core.time_limit import limited
from umed.core.version import __version__
from umed.data.files import atomic
from umed.deid import burned
from umed.deid.elements import element
from umed.deid.finish import code
from umed.deid.identity import Identity
from umed.deid.profile import Rectangle
from umed.dicom.held import has, held, tag_of, value_at_rest, value_of
from umed.dicom.objects import Instance, Limits
from umed.dicom.pixels import pixel_data, writing
from umed.dicom.read import headers, reader

CATEGORIES: Mapping[str, str] = {
    "no-dicom": "no DICOM file",
    "file": "a file that cannot be read, or of a kind that is never released (report, document, directory, double)",
    "burned-in": "text or a face may be in the pixels, and no rule of the profile covers it",
    "patients": "its series has files of several patients",
    "profile": "the profile cannot clean it",
    "pixels": "its pixels cannot be read, or not be written without loss",
    "mask": "no mask fits it, so it cannot be protected",
    "protection": "the perturbation cannot be expressed in its values, or does not fit the plan",
    "write": "the written file did not say what was meant",
}
"""Why something is not released, in words that name nobody; the full reason goes into the private list."""
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
DESCRIPTION = f"umed {__version__}: bounded perturbation against unauthorised training; not for diagnosis"
CODES: Mapping[str, tuple[str, str]] = {
    "derived": ("113042", "Pixel by pixel addition"),  # PS3.16 CID 7203
    "protect": ("109103", "Modifying Equipment"),  # PS3.16 CID 7005
    "anonymize": ("109104", "De-identifying Equipment"),
}


class Refused(UmedError):
    """A file that is not released.

    Args:
        category: key of :data:`CATEGORIES`.
        reason: the whole story; may name files and values of the source.
    """

    def __init__(self, category: str, reason: str) -> None:
        super().__init__(reason)
        self.category = category


@dataclass(frozen=True)
class Written:
    """One written file.

    Args:
        digest: its SHA-256.
        counts: how often each tag met each action.
        rectangles: parts of the picture that were blanked out.
        accepted: why it would have been put aside, if its owner did not vouch for it; else empty.
    """

    digest: str
    counts: Counter[tuple[str, str]]
    rectangles: tuple[Rectangle, ...] = ()
    accepted: str = ""


def write_instance(
    instance: Instance,
    values: NDArray[Any] | None,
    identity: Identity,
    output: Path,
    *,
    syntax: str = "explicit-le",
    protected: bool = False,
    limits: Limits,
) -> Written:
    """Write one file, whole or not at all.

    Args:
        instance: source.
        values: new stored values ``(frames, rows, columns[, 3])`` of an image of a perturbed series, from which
            possible copies of the old ones are removed; ``None`` keeps the pixels as they are.
        identity: who it is from now on.
        output: output root.
        syntax: one of :data:`umed.dicom.pixels.pixel_data.SYNTAXES`.
        protected: whether ``values`` differ from the source, so that the image is a derived one.
        limits: bounds against hostile files.

    Returns:
        What was written.

    Raises:
        Refused: when the profile cannot clean it, the pixels cannot be written losslessly, or the written file does not
            say what was meant.
    """
    with _refusing("file"), limited(limits.seconds):
        dataset = reader.read(instance.path, limits, pixels=True)
        headers.fill(dataset, instance)
    has_pixels = any(has(dataset, tag_of(keyword)) for keyword in PIXEL_KEYWORDS)
    with _refusing("burned-in"), limited(limits.seconds):
        rectangles = identity.rectangles(dataset) if has_pixels else ()
        accepted = identity.accepted(dataset) if has_pixels else ""
    with _refusing("pixels"):
        removed = Counter[tuple[str, str]]()
        if values is not None:  # also from slices that did not change: one may hold a copy of its neighbour
            with limited(limits.seconds):
                removed = remove_copies(dataset)
        if has_pixels:
            values = _pixels(dataset, values, rectangles, syntax, limits)
        else:
            _plain_syntax(dataset, syntax)
    with _refusing("profile"), limited(limits.seconds):
        counts = identity.apply(dataset, instance, bool(rectangles)) + removed
    with _refusing("write"):
        if protected:
            mark_derived(dataset)
        if identity.secret:
            _equipment(dataset, "anonymize")
        digest = hashlib.sha256()
        # Not flushed one by one: the records hold digests, so --resume and verify find what a power failure emptied.
        with atomic(output / identity.target(instance), durable=False) as temporary:
            with open(temporary, "wb", buffering=1 << 16) as file:
                for chunk in writing.chunks(dataset):
                    digest.update(chunk)
                    file.write(chunk)
            if values is not None:
                back = reader.read(temporary, limits, pixels=True)
                if not np.array_equal(pixel_data.decode(back, limits), values):
                    raise VerificationError("expected the pixels that were written, got others. Check the disk.")
    return Written(digest.hexdigest(), counts, rectangles, accepted)


@contextmanager
def _refusing(category: str) -> Iterator[None]:
    """Turn every error but one of the disk into a refusal: a file that surprises us is not released."""
    try:
        yield
    except Refused:
        raise
    except OSError as error:
        if error.errno in DISK:
            raise
        raise Refused(category, f"{type(error).__name__}: {error.strerror}") from error
    except UmedError as error:
        raise Refused(category, error_line(error)) from error
    except (RecursionError, MemoryError, Exception) as error:  # hostile input must not stop the batch
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        raise Refused(
            category, f"cannot be processed ({what}); it is damaged or odd: repair it, or leave it out"
        ) from error


def _pixels(
    dataset: FileDataset,
    values: NDArray[Any] | None,
    rectangles: tuple[Rectangle, ...],
    syntax: str,
    limits: Limits,
) -> NDArray[Any] | None:
    """Set the pixel data; gives the values that the written file must hold, ``None`` where its bytes were kept."""
    if values is None and not rectangles and _as_they_are(dataset, syntax, limits):
        trim(dataset)
        _plain_syntax(dataset, syntax)
        return None
    if values is None:
        values = pixel_data.decode(dataset, limits)
    if rectangles:
        values = burned.blank(values, rectangles, dark(dataset, values))
    pixel_data.encode(dataset, values, syntax)
    return values


def dark(dataset: Dataset, values: NDArray[Any]) -> int:
    """A stored value that is shown dark: the least one that occurs, the largest of MONOCHROME1."""
    inverted = str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"
    return int(values.max() if inverted else values.min())


def _as_they_are(dataset: FileDataset, syntax: str, limits: Limits) -> bool:
    """Whether the bytes of the pixels can be kept: nothing is packed, and no bit can hide anything."""
    if not has(dataset, tag_of("PixelData")):
        return True  # float pixels have no encapsulated form
    native = dataset.file_meta.TransferSyntaxUID in PLAIN
    if (
        value_at_rest(dataset, "BitsAllocated") == 1
    ):  # a segmentation: no syntax packs its bits, and without it the mask is lost
        return native or dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    if not native or syntax != "explicit-le":
        return False
    full = value_at_rest(dataset, "BitsStored") == value_at_rest(dataset, "BitsAllocated")
    return full or pixel_data.is_sound(dataset, limits)


def trim(dataset: Dataset) -> None:
    """Cut off what stands behind the last pixel, where anything may hide.

    Args:
        dataset: with native pixels, changed in place.

    Raises:
        InputError: when there are fewer bytes than pixels.
    """
    keyword = next(name for name in PIXEL_KEYWORDS if has(dataset, tag_of(name)))
    bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword, headers.integer(dataset, "BitsAllocated"))
    samples = headers.integer(dataset, "SamplesPerPixel", 1)
    photometric = headers.text(dataset, "PhotometricInterpretation")
    pixel = {"YBR_FULL_422": 2.0, "YBR_PARTIAL_422": 2.0, "YBR_PARTIAL_420": 1.5}.get(photometric, samples)
    sides = headers.integer(dataset, "Rows") * headers.integer(dataset, "Columns")
    length = math.ceil(max(1, headers.integer(dataset, "NumberOfFrames", 1)) * sides * pixel * bits / 8)
    there = len(
        getattr(held(dataset, tag_of(keyword)), "value", None) or b""
    )  # bytes that nobody has looked at are not copied
    if there < length:
        raise InputError(f"expected {length} bytes of pixels, got {there}; the file is cut short")
    if there > length + length % 2:
        element = dataset[keyword]
        element.value = element.value[:length] + b"\0" * (length % 2)


def _plain_syntax(dataset: FileDataset, syntax: str) -> None:
    """Files without packed pixels become Explicit VR Little Endian, or deflated where that was asked for."""
    pixel_data.swap_words(dataset)
    wanted = pixel_data.SYNTAXES["deflated"] if syntax == "deflated" else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = UID(wanted)


def mark_derived(dataset: Dataset) -> None:
    """Say that the pixels were changed (PS3.3 C.7.6.1.1.2, C.7.6.1.1.3, C.12.1).

    Args:
        dataset: image, changed in place.
    """
    kind = list(dataset.get("ImageType") or ["DERIVED", "PRIMARY"])
    dataset.ImageType = ["DERIVED", *[str(value) for value in kind[1:]]]
    for groups in (dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")):
        for group in groups or ():
            for part in group:
                if part.VR == "SQ" and part.value and "FrameType" in part.value[0]:
                    frame = part.value[0]
                    frame.FrameType = ["DERIVED", *[str(value) for value in frame.FrameType[1:]]]
    before = str(dataset.get("DerivationDescription") or "")
    dataset.DerivationDescription = f"{before}; {DESCRIPTION}"[-1024:] if before else DESCRIPTION
    codes = list(dataset.get("DerivationCodeSequence") or ())
    dataset.DerivationCodeSequence = [*codes, code(*CODES["derived"])]
    _equipment(dataset, "protect")


def _equipment(dataset: Dataset, purpose: str) -> None:
    item = Dataset()
    _put(item, "Manufacturer", "LO", "umed")
    _put(item, "ManufacturerModelName", "LO", "umed")
    _put(item, "SoftwareVersions", "LO", __version__)
    _put(item, "PurposeOfReferenceCodeSequence", "SQ", Sequence([code(*CODES[purpose])]))
    earlier = list(value_of(dataset, "ContributingEquipmentSequence") or ())
    _put(dataset, "ContributingEquipmentSequence", "SQ", Sequence([*earlier, item]))


def _put(dataset: Dataset, keyword: str, vr: str, value: Any) -> None:
    dataset[tag_of(keyword)] = element(tag_of(keyword), vr, value)
