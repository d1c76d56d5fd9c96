# SPDX-License-Identifier: Apache-2.0
"""Whether a file is, byte for byte, what umed writes for its values: nothing may hide beside them.

A gzip header has room for a name, a PNG for text after its last chunk, a TIFF for a second page. So the values that
were read back are written once more and the bytes are compared. Where another version of zlib packed them, packed bytes
may differ; then everything around them must be the same, their content too, and their size about.
"""

from __future__ import annotations

import io
import tempfile
import zlib
from pathlib import Path
from typing import Any

import tifffile

from umed.core.types import Volume
from umed.data import formats, itk, nifti, png, tiff_strips, tiff_tags
from umed.data.mark import MARK

SLACK = 1.25
"""How much larger than our own another packing may be: levels of zlib differ by less, a stream that hides by more."""
_FEW = 64


def container_difference(source: Volume, written: Volume, *, mark: bool = False) -> str:
    """Say what a written file holds beside the values and the header that it should, or ``""``.

    Args:
        source: the original, for its header.
        written: what was read again; its header is known to be that of the source.
        mark: whether a PNG or TIFF carries the mark of :mod:`umed.data.mark`.

    Returns:
        A sentence.
    """
    path = written.source
    if isinstance(source.header, itk.ItkHeader) and isinstance(written.header, itk.ItkHeader):
        return _said(_itk(source, written))
    ours = _again(source, written, MARK if mark else "")
    theirs = path.read_bytes()
    if ours == theirs:
        return ""
    if ours[:2] == b"\x1f\x8b":
        found = _gzip(theirs)
    elif ours.startswith(png.SIGNATURE):
        found = _png(ours, theirs)
    elif formats.ending(path) in (".tif", ".tiff"):
        found = _tiff(ours, theirs)
    else:
        found = "other bytes around the values"
    if not found and len(theirs) > SLACK * len(ours) + _FEW:
        found = f"{len(theirs)} packed bytes for what takes {len(ours)}"
    return _said(found)


def _said(found: str) -> str:
    return f"expected nothing beside what umed writes for these values, got {found}" if found else ""


def _again(source: Volume, written: Volume, mark: str) -> bytes:
    """What umed writes for these values."""
    if isinstance(source.header, nifti.NiftiHeader):
        return b"".join(nifti.pieces(source, written.stored))
    with tempfile.TemporaryDirectory(prefix="umed-") as folder:
        again = Path(folder) / written.source.name
        formats.write(source, written.stored, again, mark=mark)
        return again.read_bytes()


def _itk(source: Volume, written: Volume) -> str:
    """The header is known to be that of the source but for a number; the reader has unpacked all that is packed."""
    head, parts = itk.encode(source, written.stored)
    ours, layout = b"".join(parts), written.header.layout
    if layout.data_file:
        theirs = written.source.with_name(layout.data_file).read_bytes()
    else:
        theirs = written.source.read_bytes()[len(layout.head) :]
    if ours == theirs:
        return "" if head == layout.head else "another number of packed bytes in the header"
    if layout.packing == "raw":
        return "other bytes around the values"
    if len(theirs) > SLACK * len(ours) + _FEW:
        return f"{len(theirs)} packed bytes for what takes {len(ours)}"
    if layout.packing != "gzip":
        return ""
    return _gzip(theirs.removesuffix(written.header.tail) if written.header.tail else theirs)


def _gzip(theirs: bytes) -> str:
    """RFC 1952: one member without time, name, comment and extra field, and nothing after it."""
    if theirs[3] or any(theirs[4:8]):
        return "a gzip header with a name, a time or other fields"
    unpacker = zlib.decompressobj(31)
    unpacker.decompress(theirs)
    return "bytes after the gzip stream" if unpacker.unused_data or not unpacker.eof else ""


def _png(ours: bytes, theirs: bytes) -> str:
    """The same chunks, one of them with the pixels, and nothing after the last."""
    before, after = png.chunks(ours), png.chunks(theirs)
    if [kind for kind, _ in before] != [kind for kind, _ in after]:
        return "other chunks"
    if len(theirs) != len(png.SIGNATURE) + sum(12 + len(body) for _, body in after):
        return "bytes after the last chunk"
    for (kind, one), (_, other) in zip(before, after, strict=True):
        if kind == b"IDAT":
            unpacker, wanted = zlib.decompressobj(), zlib.decompress(one)
            same = unpacker.decompress(other, len(wanted) + 1) == wanted
            if not same or unpacker.unused_data or unpacker.unconsumed_tail or not unpacker.eof:
                return "pixels that are packed in another way, or bytes after them"
        elif one != other:
            return f"another {kind.decode('latin-1')} chunk"
    return ""


_PLACES = ("StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts")


def _tiff(ours: bytes, theirs: bytes) -> str:
    """One page with the same tags, and no byte that neither tags nor pixels account for."""
    one, other = _pages(ours), _pages(theirs)
    if len(other) != 1 or one[0][0] != other[0][0]:
        return "other pages or tags"
    if len(ours) - one[0][1] != len(theirs) - other[0][1]:
        return "bytes that belong to no page"
    walked = tiff_tags.walk(theirs)
    if walked.unreferenced or any(tiff_strips.surplus(theirs, one) for one in walked.directories):
        return "bytes behind the packed pixels, or between the parts"
    return ""


def _pages(data: bytes) -> list[tuple[dict[str, Any], int]]:
    """Of each page: its tags but for where the pixels lie, and the number of packed bytes."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [
            ({tag.name: tag.value for tag in page.tags.values() if tag.name not in _PLACES}, sum(page.databytecounts))
            for page in file.pages
            if isinstance(page, tifffile.TiffPage)
        ]
