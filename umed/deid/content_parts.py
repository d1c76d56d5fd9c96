# SPDX-License-Identifier: Apache-2.0
"""The parts of a file that the check looks at one by one: pixels, what is deflated, text without markup."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from umed.data.unpacking import GZIP, MIB, archive_kind
from umed.deid.coincidence import is_keyword
from umed.dicom.objects import Limits
from umed.dicom.read import stream

_STEP = 16 * MIB
_OVERLAP = 4096
_WORD = re.compile(rb"[A-Z][a-z0-9]+[A-Z][A-Za-z0-9]+")
_MARKUP = re.compile(rb"</?[a-z0-9]+|[a-z-]+=(?=\")")
_TAG = re.compile(rb"</?[A-Za-z][^<>]{0,200}>")
_PICTURE = re.compile(rb"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+")
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{8}")


def own_words_out(data: bytes) -> tuple[bytes, bytes]:
    """Text without keywords of DICOM, markup and pictures (patients are called Stroke); and the pictures."""
    text = _MARKUP.sub(b" ", _PICTURE.sub(b" ", data))
    text = _WORD.sub(lambda match: b" " if is_keyword(match[0].decode()) else match[0], text)
    return text, b" ".join(_PICTURE.findall(data))


def without_tags(data: bytes) -> bytes:
    """A text without the tags of HTML and XML."""
    return _TAG.sub(b"", data)


def is_packed(data: bytes) -> bool:
    """Whether some bytes begin like something that can be taken apart."""
    return data.startswith((GZIP, b"%PDF", b"\x89PNG", b"\xff\xd8\xff")) or bool(archive_kind(data))


def holds_runs(data: bytes) -> bool:
    """Whether there may be base64 in some bytes."""
    return _RUN.search(data) is not None


def chunks(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """A stretch of a file in parts that overlap, so that a value across their border is in one of them."""
    at = start
    while at < stop:
        file.seek(at)
        yield file.read(min(_STEP, stop - at))
        if at + _STEP >= stop:
            return
        at += _STEP - _OVERLAP


def pixel_span(file: BinaryIO, size: int, layout: stream.Layout) -> tuple[int, int]:
    """Where the pixel data begin and end; both the size of the file without any."""
    if layout.pixels is None:
        return size, size
    order = "big" if layout.syntax == stream.BIG else "little"
    at = layout.pixels
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
        if tag not in stream.PIXELS:
            break
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        length = int.from_bytes(head[8:12] if explicit else head[4:8], order)  # type: ignore[arg-type]
        at += 12 if explicit else 8
        at = _end_of_items(file, at, size) if length == stream.UNDEFINED else min(at + length, size)
    return layout.pixels, at


def _end_of_items(file: BinaryIO, at: int, size: int) -> int:
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        at += 8
        if head[:4] == b"\xfe\xff\xdd\xe0":
            return at
        at += int.from_bytes(head[4:], "little")
    return size


def inflated(file: BinaryIO, size: int, start: int, limits: Limits) -> tuple[bytes, bytes]:
    """The head of a deflated file, and its data set inflated as far as a limit goes."""
    file.seek(0)
    data = file.read(size)
    return data[:start], zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], limits.header_bytes)
