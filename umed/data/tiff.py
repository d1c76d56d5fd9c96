# SPDX-License-Identifier: Apache-2.0
"""TIFF with new pixels: every tag of the source byte for byte, strips and tiles cut, predicted and packed as they were.

A file is written anew: header, directory, values, EXIF and GPS directories, then the pixels. Only offsets and byte
counts differ. What would give the original back (thumbnails, smaller pages, Photoshop's layers) is left out and named.
Formats: TIFF 6.0 (Adobe, 1992), BigTIFF, Exif 3.0 (CIPA DC-008).
"""

from __future__ import annotations

import bisect
import io
import json
import logging
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.data import tiff_tags
from umed.data.mark import is_mark
from umed.data.side_parts import text_of
from umed.data.thumbnails import holds_picture, photoshop_without_pictures, xmp_without_pictures
from umed.data.tiff_pixels import DEFLATE, LOSSLESS, LZW, OLD_DEFLATE, TiffLayout, pack, unpack

Entry = tuple[int, int, Any]
"""Code, kind and bytes of a tag; of a directory below it its entries instead of bytes."""
_PLACES = {273, 279, 324, 325}
_POINTERS = (34665, 34853, 40965)
_MARK_TAGS = (270, 305, 269, 285)
"""ImageDescription, Software, DocumentName, PageName: the first that is free carries the mark."""
_LEFT_OUT = {
    **{288: "free space", 289: "free space", 330: "sub-images", 400: "tag 400, which points elsewhere"},
    **{513: "thumbnail", 514: "thumbnail", 37724: "Photoshop layers", 50828: "raw original", 50829: "raw original"},
}
_POINTER_KINDS = (13, 18)
_INSIDE_TIFF = re.compile(rb"II\*\0\x08\0\0\0|MM\0\*\0\0\0\x08")
_STRUCTURE = (254, 256, 257, 258, 259, 262, 266, 277, 278, 284, 317, 322, 323, 338, 339)


@dataclass(frozen=True)
class TiffPage:
    """The one page of a TIFF.

    Args:
        layout: of its pixels.
        kept: all tags but offsets and byte counts, by code.
        dropped: what is not written again, in words.
        orientation: of the picture as it is shown, 1 is upright.
        alpha: whether the last sample is transparency, or unspecified and the same everywhere.
    """

    layout: TiffLayout
    kept: tuple[Entry, ...]
    dropped: tuple[str, ...]
    orientation: int
    alpha: bool


def refused(path: Path, expected: str, got: str, step: str) -> InputError:
    """What a picture had to be, for one line."""
    return InputError(f"{path}: expected {expected}, got {got}. {step}")


def read(path: Path, data: bytes) -> tuple[NDArray[Any], TiffPage]:
    """Read a TIFF of one page.

    Args:
        path: for messages.
        data: the file.

    Returns:
        Pixels ``(H, W)`` or ``(H, W, samples)`` in native order, and everything beside them.

    Raises:
        InputError: for stacks, lossy compression, palettes, and all else that could not be written back exactly.
        ValueError, tifffile.TiffFileError: if it is damaged.
    """
    walk = tiff_tags.walk(data)
    if not walk.directories:
        raise ValueError("; ".join(walk.problems))
    log = logging.getLogger("tifffile")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)  # what it has to say about damaged files is raised here
        stored, layout, extra = _pixels(path, data, walk)
    except (InputError, ValueError, tifffile.TiffFileError, MemoryError):
        raise
    except Exception as error:  # it raises many kinds on damaged bytes
        raise ValueError(f"{type(error).__name__}: {str(error)[:80]}") from error
    finally:
        log.setLevel(level)
    stored = np.ascontiguousarray(stored, dtype=layout.dtype).reshape(layout.shape)
    kept, dropped = _kept(walk)
    first = walk.directories[0]
    turned = next((tag.numbers[0] for tag in first.tags if tag.code == 274 and tag.numbers), 1)
    alpha = extra is not None and (extra != 0 or bool((stored[..., -1] == stored.flat[-1]).all()))  # 0: unspecified
    shown = stored[..., 0] if layout.shape[2] == 1 else stored
    return shown, TiffPage(layout, kept, dropped, turned if 1 <= turned <= 8 else 1, alpha)


def _pixels(path: Path, data: bytes, walk: tiff_tags.TiffWalk) -> tuple[NDArray[Any], TiffLayout, int | None]:
    """Pixels, how they lie in the file, and what the sample beyond grey or colour is, if there is one."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        _one_page(path, walk, page)
        layout, extra = _layout(path, page)
        try:
            stored = page.asarray()
        except ValueError:  # LZW, PackBits and predictor 3 need an optional codec there
            parts = [data[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
            return unpack(layout, parts), layout, extra
    return (np.moveaxis(stored, 0, -1) if layout.planar and stored.ndim == 3 else stored), layout, extra


def _one_page(path: Path, walk: tiff_tags.TiffWalk, page: Any) -> None:
    """Refuse stacks, also those that only the description tells of: what follows the first page must not vanish."""
    step = "Save the stack as NIfTI, or one file a page."
    pages = [one for one in walk.directories if one.kind == "image"]
    for one in pages[:1]:
        if _reduced(one):
            raise refused(path, "a whole picture first", "a smaller copy of one", "Save the picture alone as TIFF.")
    more = [one for one in pages[1:] if not _reduced(one)]
    if more:
        raise refused(path, "one page", f"{1 + len(more)} (slices, channels or a mask)", step)
    said = str(page.description or "")
    images = re.search(r"^images=(\d{1,9})", said, re.MULTILINE) if said.startswith("ImageJ=") else None
    count = int(images[1]) if images is not None else 1
    if page.is_shaped:
        try:
            count = math.prod(json.loads(page.shaped_description)["shape"]) // max(1, page.size)
        except (ValueError, KeyError, TypeError):
            count = 1
    count = max(count, int(page.imagedepth))
    if count > 1:
        raise refused(path, "one page", f"{count} slices or channels in one (so the file says)", step)


def _reduced(directory: tiff_tags.Directory) -> bool:
    """Whether a directory is that of a smaller copy."""
    numbers = {tag.code: tag.numbers for tag in directory.tags}
    kind, old = numbers.get(254) or (0,), numbers.get(255) or (1,)
    return bool(kind[0] & 1) or old[0] == 2


def _layout(path: Path, page: Any) -> tuple[TiffLayout, int | None]:
    """How the pixels lie in the file, and what the sample beyond grey or colour is, if there is one."""
    photometric, scheme = int(page.photometric), int(page.compression)
    if photometric not in (0, 1, 2):
        raise refused(path, "grey or RGB pixels", f"photometric {page.photometric!s}", "Save it as RGB first.")
    if scheme not in LOSSLESS:
        raise refused(path, "no, LZW, deflate or PackBits compression", f"{page.compression!s}", "Use deflate.")
    dtype = np.dtype(page.dtype) if page.dtype is not None else np.dtype("V1")
    whole = page.bitspersample == 8 * dtype.itemsize and dtype.kind in "uf" and dtype.itemsize <= 4
    if not whole or dtype.itemsize == 4 and dtype.kind == "u":
        raise refused(path, "8 or 16 bits or float32", f"{page.bitspersample} bits {dtype}", "Convert it first.")
    extra = tuple(int(sample) for sample in page.extrasamples)
    samples = int(page.samplesperpixel)
    if samples - len(extra) not in (1, 3) or len(extra) > 1:
        raise refused(path, "1 or 3 samples and at most one alpha", f"{samples}", "Split the channels first.")
    predictor = int(page.predictor)
    fits = predictor == 1 or (
        scheme in (LZW, DEFLATE, OLD_DEFLATE) and (predictor == 2 or (predictor == 3 and dtype.kind == "f"))
    )
    if not fits:
        raise refused(path, "predictor 1, 2, or 3 of floats", f"{predictor} with compression {scheme}", "Use deflate.")
    return layout_of(page), extra[0] if extra else None


def layout_of(page: Any) -> TiffLayout:
    """How the pixels of a page lie in its file.

    Args:
        page: of tifffile, whose samples are whole bytes.
    """
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    tiled = bool(page.is_tiled)
    part = (int(page.tilelength), int(page.tilewidth)) if tiled else (min(int(page.rowsperstrip), height), width)
    return TiffLayout(
        order=page.parent.byteorder,
        big=bool(page.parent.is_bigtiff),
        shape=(height, width, samples),
        dtype=np.dtype(page.dtype).newbyteorder("=").str,
        part=(max(1, part[0]), max(1, part[1])),
        tiled=tiled,
        planar=int(page.planarconfig) == 2 and samples > 1,
        scheme=int(page.compression),
        predictor=int(page.predictor),
        reversed_bits=int(page.fillorder) == 2,
    )


def _kept(walk: tiff_tags.TiffWalk) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Tags of the first directory that are written again, and what is not."""
    first, dropped = walk.directories[0], list[str]()
    by_start = {one.span[0]: one for one in walk.directories}
    codes = [tag.code for tag in first.tags]
    double = sorted(code for code in (*_STRUCTURE, *_PLACES) if codes.count(code) > 1)
    if double:
        raise ValueError(f"tag {double[0]} stands there twice")
    kept = _entries(first, by_start, dropped, 0)
    dropped += ["smaller page" for one in walk.directories[1:] if one.kind == "image"]
    dropped += ["bytes that no TIFF tag refers to"] if walk.unreferenced else []
    return kept, tuple(dict.fromkeys(dropped))


def _entries(
    directory: tiff_tags.Directory, by_start: dict[int, tiff_tags.Directory], dropped: list[str], depth: int
) -> tuple[Entry, ...]:
    kept: list[Entry] = []
    for tag in directory.tags:
        if tag.code in _PLACES:
            continue
        if tag.code in _POINTERS:
            below = by_start.get(tag.numbers[0]) if len(tag.numbers) == 1 else None
            if below is None or depth > 2:
                dropped.append(f"damaged directory of tag {tag.code}")
            else:
                kept.append((tag.code, tag.kind, _entries(below, by_start, dropped, depth + 1)))
        elif tag.code in _LEFT_OUT:
            dropped.append(_LEFT_OUT[tag.code])
        elif tag.kind in _POINTER_KINDS or tag.kind not in tiff_tags.SIZES:
            dropped.append(f"tag {tag.code}, which points elsewhere")
        else:
            raw, without = _clean(tag)
            dropped += without
            if raw or not tag.raw:
                kept.append((tag.code, tag.kind, raw))
    return tuple(sorted(kept, key=lambda entry: entry[0]))


def _clean(tag: tiff_tags.Tag) -> tuple[bytes, tuple[str, ...]]:
    """A value without pictures in it; empty where nothing may stay."""
    if tag.code == 700:
        raw, without = xmp_without_pictures(tag.raw)
    elif tag.code == 34377:
        raw, without = photoshop_without_pictures(tag.raw)
    elif holds_picture(tag.raw) or (tag.code == 50839 and _INSIDE_TIFF.search(tag.raw)):
        raw, without = b"", (f"picture in tag {tag.code}",)
    else:
        return tag.raw, ()
    size = tiff_tags.SIZES[tag.kind]
    return raw[: len(raw) // size * size], without


def marked(kept: tuple[Entry, ...], mark: str) -> tuple[Entry, ...]:
    """Tags with the mark of :mod:`umed.data.mark` in the first text field that is free, and no earlier mark.

    Raises:
        InputError: where none is free.
    """
    plain = without_marks(kept)
    free = [code for code in _MARK_TAGS if all(entry[0] != code for entry in plain)]
    if not free:
        raise InputError(
            "expected a free text field for the mark, got none of ImageDescription to PageName. Drop --mark."
        )
    entry = (free[0], tiff_tags.ASCII, mark.encode("ascii") + b"\0")
    place = bisect.bisect([one[0] for one in plain], free[0])
    return (*plain[:place], entry, *plain[place:])


def without_marks(kept: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Tags without those that hold a mark and nothing else."""
    return tuple(entry for entry in kept if not is_mark_tag(entry))


def is_mark_tag(entry: Entry) -> bool:
    """Whether a tag holds a mark of any version, and nothing else."""
    code, kind, raw = entry
    return code in _MARK_TAGS and kind == tiff_tags.ASCII and is_mark(text_of(raw)) and raw.endswith(b"\0")


def encode(layout: TiffLayout, kept: tuple[Entry, ...], stored: NDArray[Any]) -> bytes:
    """A whole file; the same input gives the same bytes.

    Args:
        layout: of the page.
        kept: its tags.
        stored: pixels, ``(H, W)`` or ``(H, W, samples)``.

    Raises:
        InputError: when a classic TIFF would grow beyond 4 GB.
    """
    parts = pack(layout, stored.reshape(layout.shape))
    order, form, kind = layout.order, "Q" if layout.big else "I", 16 if layout.big else 4
    size = 8 if layout.big else 4
    codes = (324, 325) if layout.tiled else (273, 279)
    counts = struct.pack(f"{order}{len(parts)}{form}", *map(len, parts))
    start = 16 if layout.big else 8

    def directory(offsets: bytes) -> bytes:
        entries = (*kept, (codes[0], kind, offsets), (codes[1], kind, counts))
        return _directory(sorted(entries, key=lambda entry: entry[0]), start, order, layout.big)

    place = start + len(directory(bytes(size * len(parts))))
    ends = np.cumsum([place, *map(len, parts)]).tolist()
    if not layout.big and ends[-1] >= 1 << 32:
        raise InputError("expected a TIFF below 4 GB, got more. Save the source as BigTIFF.")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if layout.big else 42)
    head += struct.pack(f"{order}HHQ", 8, 0, 16) if layout.big else struct.pack(f"{order}I", 8)
    return b"".join([head, directory(struct.pack(f"{order}{len(parts)}{form}", *ends[:-1])), *parts])


def _directory(entries: list[Entry], start: int, order: str, big: bool) -> bytes:
    """Entries, then their values, each at an even place, then directories below; no other directory follows."""
    head, width, room = (8, 20, 8) if big else (2, 12, 4)
    form = "Q" if big else "I"
    table = bytearray(struct.pack(f"{order}{'Q' if big else 'H'}", len(entries)))
    tail, base = bytearray(), start + head + width * len(entries) + room
    for code, kind, value in entries:
        tail += bytes(len(tail) % 2)
        at = base + len(tail)
        if isinstance(value, tuple):
            tail += _directory(list(value), at, order, big)
            value = struct.pack(f"{order}{tiff_tags.WHOLE[kind]}", at)
        count = len(value) // tiff_tags.SIZES[kind]
        table += struct.pack(f"{order}HH{form}", code, kind, count)
        if len(value) > room:
            tail += value
            table += struct.pack(f"{order}{form}", at)
        else:
            table += value.ljust(room, b"\0")
    return bytes(table) + bytes(room) + bytes(tail) + bytes(len(tail) % 2)
