# SPDX-License-Identifier: Apache-2.0
"""Walks the tags and lengths of a DICOM stream before anything is built from them (PS3.5 section 7, PS3.10 section 7).

A parser that trusts the stream can be made to nest without end, or to turn a few megabytes into millions of objects.
This walk only reads heads of data elements and counts. It follows the leniences that real files need (no preamble, no
meta header, explicit sets that turn implicit in a sequence), and refuses what no reader can be sure about: a value that
leaves its sequence or the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from umed.core.errors import InputError
from umed.dicom.objects import NO_DICOM, Limits

PREAMBLE = 128
UNDEFINED = 0xFFFFFFFF
TRANSFER_SYNTAX = 0x00020010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS")
    + (b"ST", b"TM", b"UI", b"UL", b"US")
)


@dataclass(frozen=True)
class Layout:
    """What a walk has found.

    Args:
        start: offset of the first byte of the data set, after the file meta information.
        syntax: TransferSyntaxUID, guessed from the first element where there is none.
        guessed: whether it was guessed.
        bare: whether the file has no preamble.
        pixels: offset of the first element of pixel data at the top level, ``None`` without.
        elements: how many data elements there are, nested ones too.
    """

    start: int
    syntax: str
    guessed: bool
    bare: bool = False
    pixels: int | None = None
    elements: int = 0


class _Walk:
    """One pass over one stream; holds the count that all levels share."""

    def __init__(self, file: BinaryIO, size: int, limits: Limits) -> None:
        self.file, self.size, self.limits = file, size, limits
        self.order: Literal["<", ">"] = "<"
        self.syntax: tuple[int, int] | None = None
        self.elements = 0
        self.pixels: int | None = None
        self.pixels_bytes = 0

    def data_set(self, start: int, end: int, implicit: bool, depth: int, group: int | None = None) -> int:
        """Walk data elements from ``start``; returns where they end.

        ``end`` is the end of the container; an item delimiter ends the set before. With ``group`` the walk stops at
        the first element of another one.
        """
        read, seek = self.file.read, self.file.seek
        tags, longs, short = (struct.Struct(self.order + kind) for kind in ("HH", "I", "H"))
        at = start
        while at + 8 <= end:
            seek(at)
            head = read(8)
            if len(head) < 8:
                raise self.broken(at, "the file ends within an element")
            first, second = tags.unpack_from(head)
            tag = first << 16 | second
            if group is not None and first != group:
                return at
            if tag == ITEM_END:
                return at + 8
            vr: bytes | None = None
            value = at + 8
            if implicit:
                (length,) = longs.unpack_from(head, 4)
            else:
                vr = head[4:6]
                if vr in _LONG:
                    raw = read(4)
                    if len(raw) < 4:
                        raise self.broken(at, "the file ends within an element")
                    (length,) = longs.unpack(raw)
                    value += 4
                elif vr in _SHORT or b"AA" <= vr <= b"ZZ":
                    (length,) = short.unpack_from(head, 6)
                else:  # some writers turn implicit within a set
                    vr = None
                    (length,) = longs.unpack_from(head, 4)
            self.elements += 1
            if self.elements > self.limits.elements:
                raise InputError(f"expected at most {self.limits.elements} data elements, got more")
            if tag == TRANSFER_SYNTAX and depth == 0 and self.syntax is None:
                self.syntax = value, length
            if vr in _SHORT and value + length <= end:  # most elements: nothing to look into
                at = value + length
                continue
            if depth == 0 and tag in PIXELS and self.pixels is None:
                self.pixels = at
            at = self.value(tag, vr, length, value, end, implicit, depth)
        return end if group is None else at

    def value(self, tag: int, vr: bytes | None, length: int, start: int, end: int, implicit: bool, depth: int) -> int:
        """Walk over one value; returns where it ends."""
        if length == UNDEFINED:
            if tag in PIXELS:
                return self.fragments(start, end)
            return self.items(start, end, True, implicit or vr is None, depth + 1)
        stop = start + length
        if stop > end:
            place = "of the file" if end == self.size else "of its sequence"
            raise self.broken(start, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has {length} bytes, past the end {place}")
        if length > self.limits.text_bytes and not tag >> 16 & 1 and _is_text(tag, vr):
            raise InputError(
                f"expected at most {self.limits.text_bytes} bytes of text in ({tag >> 16:04X},{tag & 0xFFFF:04X}), got "
                f"{length}"
            )
        if tag in PIXELS and depth == 0:
            self.pixels_bytes += length
        elif vr == b"SQ":
            self.items(start, stop, False, implicit, depth + 1)
        elif length >= 8 and (vr is None or vr == b"UN"):
            self.maybe_items(tag, start, stop, implicit or vr is None, depth + 1)
        return stop

    def maybe_items(self, tag: int, start: int, stop: int, implicit: bool, depth: int) -> None:
        """Walk a value of unknown kind if it is a sequence by the dictionary or looks like one."""
        known = _known_vr(tag)
        self.file.seek(start)
        looks = self.file.read(4) == struct.pack(self.order + "HH", ITEM >> 16, ITEM & 0xFFFF)
        if known != "SQ" and not (looks and known is None):
            return
        try:
            self.items(start, stop, False, implicit, depth)
        except _Structure:
            if known == "SQ":
                raise  # else it is a private value that begins like a sequence by chance

    def items(self, start: int, end: int, undefined: bool, implicit: bool, depth: int) -> int:
        """Walk the items of a sequence; returns where it ends."""
        if depth > self.limits.depth:
            raise InputError(f"expected sequences nested at most {self.limits.depth} deep, got deeper ones")
        head_struct = struct.Struct(self.order + "HHI")
        at = start
        while at + 8 <= end:
            self.file.seek(at)
            head = self.file.read(8)
            if len(head) < 8:
                raise self.broken(at, "the file ends within a sequence")
            first, second, length = head_struct.unpack(head)
            tag = first << 16 | second
            at += 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise self.broken(at - 8, f"expected an item of a sequence, got ({first:04X},{second:04X})")
            self.elements += 1
            stop = end if length == UNDEFINED else at + length
            if stop > end:
                raise self.broken(at, "an item is longer than its sequence")
            child = implicit or self.turns_implicit(at, stop)
            done = self.data_set(at, stop, child, depth)
            at = done if length == UNDEFINED else stop
        if undefined:
            raise self.broken(at, "a sequence without an end")
        return end

    def turns_implicit(self, start: int, stop: int) -> bool:
        """Whether an item of an explicit set is implicit: no two capital letters where the VR belongs."""
        if stop - start < 8:
            return False
        self.file.seek(start + 4)
        return not _letters(self.file.read(2))

    def fragments(self, start: int, end: int) -> int:
        """Walk the fragments of encapsulated pixel data (PS3.5 A.4); returns where they end."""
        head_struct = struct.Struct(self.order + "HHI")
        at = start
        while at + 8 <= end:
            self.file.seek(at)
            first, second, length = head_struct.unpack(self.file.read(8))
            at += 8
            tag = first << 16 | second
            if tag == SEQUENCE_END:
                return at
            self.elements += 1
            if tag != ITEM or length == UNDEFINED or at + length > end:
                raise self.broken(at - 8, "a fragment of pixel data is broken or cut off")
            if self.elements > self.limits.elements:
                raise InputError(f"expected at most {self.limits.elements} data elements, got more")
            at += length
            self.pixels_bytes += length
        raise self.broken(at, "the pixel data are cut off")

    def broken(self, at: int, what: str) -> InputError:
        """Error of the structure at an offset."""
        return _Structure(f"broken DICOM at byte {at}: {what}")


@lru_cache(maxsize=8192)
def _known_vr(tag: int) -> str | None:
    """VR of the standard's dictionary."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else None


def _is_text(tag: int, vr: bytes | None) -> bool:
    """Whether a value is text that somebody may have to read, by its own VR or that of the dictionary."""
    return (vr.decode("ascii", "replace") if vr not in (None, b"UN") and vr else _known_vr(tag)) in _TEXT


class _Structure(InputError):
    """The structure is broken; inside this module only, so that a guess can be taken back."""


def survey(file: BinaryIO, size: int, limits: Limits) -> Layout:
    """Walk a file; reads heads of elements only, never values.

    Of a deflated one only the meta header is walked, see :func:`survey_set` for the rest. InputError, without the name
    of the file, if it is no DICOM file, is broken, or exceeds a limit.
    """
    file.seek(0)
    head = file.read(PREAMBLE + 6)
    bare = _looks_like_set(head)
    if head[PREAMBLE : PREAMBLE + 4] == b"DICM" and (head[PREAMBLE + 4 :] == b"\x02\x00" or not bare):
        bare = False
    elif not bare:
        raise InputError(NO_DICOM)
    start = 0 if bare else PREAMBLE + 4
    walk = _Walk(file, size, limits)
    file.seek(start + 4)
    implicit = not _letters(file.read(2))
    begin = walk.data_set(start, size, implicit, 0, group=2)
    if begin - start > 1 << 20:
        raise InputError("expected a file meta header of at most 1 MiB, got a longer one")
    syntax = ""
    if walk.syntax is not None:
        value, length = walk.syntax
        file.seek(value)
        syntax = file.read(min(length, begin - value)).decode("ascii", "replace").strip("\0 ")
    file.seek(begin)
    first = file.read(6)
    if first[:2] == b"\0\0" and begin + 8 < size:
        raise InputError("expected a DICOM file, got a network message (command group 0000)")
    guessed = syntax == ""
    if guessed:
        known = first[4:6] in _LONG or first[4:6] in _SHORT
        group = int.from_bytes(first[:2], "little")
        syntax = IMPLICIT if not known else (BIG if group >= 1024 else EXPLICIT)
    if syntax == DEFLATED:
        return Layout(begin, syntax, guessed, bare)
    return _finish(walk, begin, syntax, guessed, bare)


def survey_set(file: BinaryIO, size: int, start: int, limits: Limits) -> Layout:
    """Walk an inflated data set (Explicit VR Little Endian) that begins at ``start``; InputError as :func:`survey`."""
    return _finish(_Walk(file, size, limits), start, EXPLICIT, False, False)


def _finish(walk: _Walk, start: int, syntax: str, guessed: bool, bare: bool) -> Layout:
    walk.order = ">" if syntax == BIG else "<"
    walk.file.seek(start + 4)
    letters = walk.file.read(2)
    # what is there counts, not what the meta header says
    implicit = not _letters(letters) if len(letters) == 2 else syntax == IMPLICIT
    end = walk.data_set(start, walk.size, implicit, 0)
    if walk.size - end >= 8:
        raise walk.broken(end, "data after the end of the data set")
    if walk.size - walk.pixels_bytes > walk.limits.header_bytes:
        raise InputError(f"expected a header of at most {walk.limits.header_bytes} bytes, got a longer one")
    if walk.elements == 0:
        raise InputError("is an empty DICOM file")
    return Layout(start, syntax, guessed, bare, walk.pixels, walk.elements)


def _letters(raw: bytes) -> bool:
    return len(raw) == 2 and all(0x40 < letter < 0x5B for letter in raw)


def _looks_like_set(head: bytes) -> bool:
    """Whether bytes without a preamble begin like a data set: low group, and a VR or a plausible length."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack_from(order + "HH", head)
        if group not in (0x0002, 0x0008):
            continue
        if head[4:6] in _SHORT or head[4:6] in _LONG:
            return True
        (length,) = struct.unpack_from(order + "I", head, 4)
        if order == "<" and length <= 1024 and length % 2 == 0 and element <= 0x0100:
            return True
    return False
