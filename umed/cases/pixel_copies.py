# SPDX-License-Identifier: Apache-2.0
"""What a DICOM file holds beside its pixels and may be a copy of them: of no use in a protected image but to undo it.

Vendors keep unprocessed pixels in private elements, archives leave old bytes in the trailing padding, and icons show
the picture. Digital signatures (PS3.3 C.12.1.1.3) no longer hold once the pixels change.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import encaps
from pydicom.dataset import Dataset, FileDataset

from umed.dicom.read import headers

PADDING = 0xFFFCFFFC
SIGNATURES = (0xFFFAFFFA, 0x4FFE0001)
"""Digital Signatures Sequence and MAC Parameters Sequence."""
ICON = 0x00880200
PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP, _DELIMITERS, _META_VERSION = 0x7FE0, 0xFFFE, 0x00020001
_BINARY = ("OB", "OW", "OF", "OD", "OL", "OV", "UN")
_LOOKUP = (
    *range(0x00281201, 0x00281205), *range(0x00281221, 0x00281224), 0x00282000, 0x00283006,
)  # fmt: skip
"""Palettes, colour profile and lookup tables: without them the picture looks different."""
_MOST_LOOKUP = 1 << 17  # 65536 entries of 16 bits, PS3.3 C.11.1.1
_FEW = 64


@dataclass(frozen=True)
class FoundElement:
    """A binary or private element outside the pixels.

    Args:
        parent: data set or item that holds it.
        tag: its number.
        value: its bytes.
        nested: whether it lies in an item.
    """

    parent: Dataset
    tag: int
    value: bytes
    nested: bool

    @property
    def name(self) -> str:
        """The tag as people write it."""
        return name_of(self.tag)


def name_of(tag: int) -> str:
    """A tag as people write it.

    >>> name_of(0xFFFCFFFC)
    '(fffc,fffc)'
    """
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def binary_elements(dataset: FileDataset) -> Iterator[FoundElement]:
    """All binary and unknown elements, and private ones of any VR that nobody has looked at, at any depth.

    Args:
        dataset: from :func:`umed.dicom.read.reader.read` with pixels.

    Yields:
        Each but the pixel data at the top; of pixel data in items, too.
    """
    yield from _walk(dataset.file_meta, False)
    yield from _walk(dataset, False)


def _walk(part: Dataset, nested: bool) -> Iterator[FoundElement]:
    for tag in sorted(int(tag) for tag in part.keys()):  # noqa: SIM118 - iterating over a Dataset converts its values
        if tag == _META_VERSION or (tag == PIXEL_DATA and not nested):
            continue
        raw = part.get_item(tag).value  # as it was read: of private numbers, too
        if tag >> 16 == _DELIMITERS:
            yield FoundElement(part, tag, raw or b"", nested)
            continue
        element = part[tag]
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _walk(item, True)
            continue
        value = element.value if isinstance(element.value, bytes) else raw
        if isinstance(value, bytes) and (element.VR in _BINARY or (tag >> 16) % 2):
            yield FoundElement(part, tag, value, nested)


def frame_bytes(dataset: Dataset) -> int:
    """Bytes of one frame that is not compressed; 0 without an image."""
    sides = headers.integer(dataset, "Rows") * headers.integer(dataset, "Columns")
    return sides * headers.integer(dataset, "SamplesPerPixel", 1) * headers.integer(dataset, "BitsAllocated") // 8


def remove_copies(dataset: FileDataset) -> Counter[tuple[str, str]]:
    """Take out whatever may hold the pixels of an image once more.

    That is trailing padding, digital signatures, icons and other pixel data in items, every binary, unknown or private
    element with at least as many bytes as a frame, and those that hold a compressed frame as it is. Palettes and lookup
    tables stay, unless they hold a frame. Of an overlay as large all attributes go. So do items and delimiters outside
    of any sequence, which nobody can read or write (PS3.5 7.5).

    Args:
        dataset: image with its old pixels, changed in place; its own pixel data are left alone.

    Returns:
        How often each tag was removed (action ``X``).
    """
    counts: Counter[tuple[str, str]] = Counter()
    least, pieces = frame_bytes(dataset), _pieces(dataset)
    for found in list(binary_elements(dataset)):
        holds = any(piece in found.value for piece in pieces)
        lookup = found.tag in _LOOKUP and len(found.value) <= _MOST_LOOKUP
        stray = found.tag >> 16 == _DELIMITERS
        if not holds and not stray and (lookup or not 0 < least <= len(found.value)):
            continue
        group = found.tag >> 16
        overlay = 0x6000 <= group < 0x6100 and group % 2 == 0
        tags = [int(tag) for tag in found.parent.keys() if tag >> 16 == group] if overlay else [found.tag]  # noqa: SIM118
        for tag in tags:
            if tag in found.parent:
                del found.parent[tag]
                counts[name_of(tag), "X"] += 1
    _remove_parts(dataset, counts)  # looks at values, whose bytes are gone then
    return counts


def _remove_parts(part: Dataset, counts: Counter[tuple[str, str]]) -> None:
    """Take out padding, signatures and icons, at any depth."""
    for tag in sorted(int(tag) for tag in part.keys()):  # noqa: SIM118
        gone = tag in (PADDING, ICON, *SIGNATURES)
        if not gone and part[tag].VR == "SQ":
            items = part[tag].value or ()
            gone = any(int(inner) >> 16 == _PIXEL_GROUP for item in items for inner in item.keys())  # noqa: SIM118
            for item in () if gone else items:
                _remove_parts(item, counts)
        if gone:
            del part[tag]
            counts[name_of(tag), "X"] += 1


def _pieces(dataset: FileDataset) -> list[bytes]:
    """The old pixels as they lie in the file: frames, or fragments of compressed ones."""
    if PIXEL_DATA not in dataset:
        return []
    raw = dataset[PIXEL_DATA].value
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        stream = io.BytesIO(raw)
        encaps.parse_basic_offsets(stream)
        return [piece for piece in encaps.generate_fragments(stream) if len(piece) >= _FEW]
    size = frame_bytes(dataset)
    return [raw[start : start + size] for start in range(0, len(raw) - size + 1, size)] if size else []
