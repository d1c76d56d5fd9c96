# SPDX-License-Identifier: Apache-2.0
"""A file and everything that lies in it: what is packed, members of archives, hidden bytes, pictures in a page."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from umed.data.nifti_fields import nifti_layout
from umed.data.side_data import side_data
from umed.data.unpacking import GZIP, MIB, Allowance, archive_kind, gunzip, members

MOST_VOLUME = 2048 * MIB
"""Bytes of an unpacked volume that are looked at."""
MOST_DEPTH = 6
_SPARE = MIB
_URI = re.compile(rb"data:[\w/+.;=-]{0,100};base64,([A-Za-z0-9+/=\s]{16,})")
_MARKUP = re.compile(rb"\s*(?:<!doctype|<html|<\?xml|<svg|<head|<body)", re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """A run of bytes in a file.

    Args:
        place: where in the file: ``""`` for all of it, else such as ``"!member.png"`` or ``" (EXIF thumbnail)"``.
        data: unpacked, where the file is gzipped.
        kind: ``"file"``, ``"member"`` of an archive, ``"hidden"`` beside the pixels, or ``"picture in a page"``.
        image: ``"NIfTI"``, ``"MetaImage"``, ``"NRRD"``, ``"PNG"``, ``"JPEG"`` or ``"TIFF"`` where it is one.
        texts: of its header fields, and of those of gzip.
        problems: what is wrong with it.
        archive: what kind of archive it is; empty for none.
    """

    place: str
    data: bytes = field(repr=False)
    kind: str = "file"
    image: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    archive: str = ""


def pieces(data: bytes, place: str = "", kind: str = "file", allowance: Allowance | None = None) -> Iterator[Piece]:
    """Take a file apart.

    Args:
        data: the file.
        place: of the bytes in it.
        kind: see :class:`Piece`.
        allowance: what may be unpacked.

    Yields:
        The whole first, then what lies in it, however deep.
    """
    yield from _pieces(data, place, kind, allowance or Allowance(), MOST_DEPTH)


def _pieces(data: bytes, place: str, kind: str, allowance: Allowance, depth: int) -> Iterator[Piece]:
    if depth == 0:
        yield Piece(place, data, kind, problems=("nested too deeply to be looked into",))
        return
    texts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    hidden: list[tuple[str, bytes]] = []
    if data.startswith(GZIP):
        layout = nifti_layout(gunzip(data, 540).content)  # says how much there may be
        most = allowance.data if layout is None else min(layout.end + _SPARE, MOST_VOLUME)
        opened = gunzip(data, most)
        data, texts = opened.content, opened.texts
        problems = (opened.problem,) if opened.problem else ()
        hidden = [("bytes after the gzip stream", opened.trailing)] if opened.trailing else []
        if layout is None:
            allowance.data -= min(len(data), allowance.data)
    beside = side_data(data)
    archive = "" if beside.kind else archive_kind(data)
    yield Piece(place, data, kind, beside.kind, (*texts, *beside.texts), (*problems, *beside.problems), archive)
    hidden += [(part.what, part.data) for part in beside.parts]
    if data.startswith(GZIP):  # it was packed twice
        yield from _pieces(data, f"{place} (gzip)", "member", allowance, depth - 1)
    for what, content in hidden:
        yield from _pieces(content, f"{place} ({what})", "hidden", allowance, depth - 1)
    if archive:
        for name, content, problem in members(data, allowance):
            if problem:
                yield Piece(f"{place}!{name}", content, "member", problems=(problem,))
            else:
                yield from _pieces(content, f"{place}!{name}", "member", allowance, depth - 1)
    if not beside.kind and (_MARKUP.match(data) or b"data:" in data[: 64 * MIB]):
        for number, match in enumerate(_URI.finditer(data[: 64 * MIB]), 1):
            try:
                picture = base64.b64decode(b"".join(match[1].split()) + b"==")
            except binascii.Error:
                continue
            yield from _pieces(picture, f"{place} (data: URI {number})", "picture in a page", allowance, depth - 1)
