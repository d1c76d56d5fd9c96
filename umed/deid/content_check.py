# SPDX-License-Identifier: Apache-2.0
"""Searches the content of a file for the values of originals: DICOM by its attributes, all else piece by piece."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO

from pydicom.uid import UID

from umed.core.errors import InputError
from umed.data.pieces import pieces
from umed.data.unpacking import GZIP, MIB, archive_kind
from umed.deid import values
from umed.deid.byte_search import SHORTEST_IN_PIXELS, Search
from umed.deid.check_rules import (
    DATE_OPTIONS,
    CheckedElement,
    Finding,
    hint,
    kept_by,
    options_of,
    rules,
    tag_name,
    walk,
)
from umed.deid.coincidence import why_coincidence, why_finding
from umed.deid.content_parts import chunks, holds_runs, inflated, is_packed, own_words_out, pixel_span, without_tags
from umed.deid.dates_in_text import BARRIER
from umed.deid.elements import NUMBER
from umed.deid.needles import SHORTEST, SHORTEST_DIGITS, Kind, Needles, keywords
from umed.deid.normal_form import normal
from umed.deid.policy import ESSENTIAL, ESSENTIAL_GROUP
from umed.deid.table import rows
from umed.deid.text_search import TextHit, TextSearch
from umed.deid.text_views import encoded, is_long, is_text, readings
from umed.dicom.objects import Limits
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader, stream

MOST_UNPACKED = 256 * MIB
"""Files above this size are searched as they lie there; nothing in them is unpacked or read as text."""
_MOST_DECODED = 512 * MIB
_SHORTEST_IN_BINARY = 5
_FEW = 1 << 16
_SOME_DIGITS, _MANY_DIGITS = 5, 8  # that a number repeats by no chance; ... one that says how pixels are read
_WHERE_NUMBERS_COUNT = values.TEXT_VRS | {"PN", "AE", "CS", "UR", ""}
_NUMBERS = frozenset(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"))
_BINARY = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "UN", ""))
_MIXED = frozenset(("OB", "OW", "UN", ""))
_LOSSLESS = frozenset(f"1.2.840.10008.1.2.{tail}" for tail in ("5", "4.57", "4.70", "4.80", "4.90", "4.201", "4.202"))
_ENCRYPTED = (b"Salted__", b"-----BEGIN PGP MESSAGE", b"age-encryption.org/")


class ContentCheck:
    """Searches contents one after the other and keeps what was found.

    Args:
        needles: what to look for.
        safe: private attributes that an option keeps.
        limits: bounds on what is read.
    """

    def __init__(self, needles: Needles, safe: Mapping[tuple[str, int, int], str], limits: Limits) -> None:
        self.needles, self.safe, self.limits = needles, safe, limits
        self.findings: set[Finding] = set()
        self.coincidences: set[Finding] = set()
        self.unsearched: dict[str, list[str]] = {}
        self.names: dict[str, bool] = {}
        self._bytes = Search([*needles.found, *(word for word in needles.spelled if len(word) >= SHORTEST_IN_PIXELS)])
        forms = needles.forms()
        self._text = TextSearch(forms, {day: f"{day[0]:04d}{day[1]:02d}{day[2]:02d}" for day in needles.days})
        self._numbers = {
            form.lstrip("0"): needle.word
            for form, needle in forms.items()
            if form.isdigit() and len(form.lstrip("0")) >= SHORTEST
        }

    def leave(self, what: str, shown: str) -> None:
        """Say what was not searched, and where."""
        self.unsearched.setdefault(what, []).append(shown)

    def name(self, part: str) -> bool:
        """Search one name of a file or folder; whether it holds something."""
        data = part.encode("utf-8", "surrogateescape")
        before = len(self.findings)
        for word in self._in_bytes(data, with_short_numbers=False):
            self._judge("(its name holds it)", "name", word, word)
        stem = part.rsplit(".", 1)[0] if "." in part else part
        for reading in self._readings_of(data):
            for hit in self._text(reading):
                whole = len(normal(hit.found)) > 3 and normal(hit.found) == normal(stem)  # "112" is a number of a file
                if hit.strength != "weak" or whole:
                    self._judge("(its name holds it)", "name", hit.word, hit.found)
        return len(self.findings) > before

    def file(self, file: BinaryIO, size: int, shown: str, own_page: bool = False) -> None:
        """Search a file on disk or in memory."""
        try:
            dataset = reader.read_open(file, size, self.limits, pixels=False)
            layout = stream.survey(file, size, self.limits)
            with reader.guard(shown):
                options = options_of(dataset)
                listed = self.safe if "retain_safe_private" in options else {}
                elements = [*walk(dataset, listed), *walk(dataset.file_meta, {})]
        except InputError:
            file.seek(0)
            if size > MOST_UNPACKED:
                self.leave(f"content above {MOST_UNPACKED // MIB} MiB but as it lies there", shown)
                for part in chunks(file, 0, size):
                    self._plain(part, shown, "bytes", pixels=True)
                return
            self.content(file.read(size), shown, own_page=own_page)
            return
        self.findings.update(rules(shown, dataset, elements, options))
        if layout.syntax == stream.DEFLATED:
            head, rest = inflated(file, size, layout.start, self.limits)
            inner = stream.survey_set(io.BytesIO(head + rest), len(head) + len(rest), len(head), self.limits)
            file, size, layout = io.BytesIO(head + rest), len(head) + len(rest), inner
        start, stop = pixel_span(file, size, layout)
        seen = self._elements(shown, elements, options)
        file.seek(0)
        self._header(file.read(start), shown, options, seen)
        if start < size:
            self._pixels(file, start, stop, shown)
            file.seek(stop)
            behind = file.read(size - stop)
            if behind.strip(b"\0"):
                self.content(behind, shown, depth=1)
        self._coded(file, size, dataset, shown)

    def content(self, data: bytes, shown: str, tag: str = "bytes", *, own_page: bool = False, depth: int = 0) -> None:
        """Search any bytes and everything that is packed in them."""
        if not data:
            return
        if any(mark in data[:64] for mark in _ENCRYPTED):
            self.leave("encrypted content", shown)
        if data.startswith(b"%PDF"):
            self.leave("streams of PDF documents", shown)
        for piece in pieces(data):
            place = (shown + piece.place).removesuffix("!")
            for problem in piece.problems:
                self.leave(problem if "encrypted" in problem else "content that cannot be unpacked", place)
            for _, text in piece.texts:
                self._text_of(text.encode("utf-8", "surrogateescape"), place, tag, own_page)
            if piece.place:
                for reading in self._readings_of(piece.place.encode("utf-8", "surrogateescape")):
                    for hit in self._text(reading):
                        if hit.strength != "weak":
                            self._judge(f"{shown} (a name in it)", "name", hit.word, hit.found)
                place = f"{shown} ({piece.kind})"
                if piece.data[128:132] == b"DICM" and depth == 0:
                    self.file(io.BytesIO(piece.data), len(piece.data), place)
                    continue
            if piece.image:
                self.leave("text and faces in pixels", place)
            self._plain(piece.data, place, tag, pixels=not is_text(piece.data), own_page=own_page, packed=depth < 2)

    def _plain(
        self, data: bytes, shown: str, tag: str, *, pixels: bool, own_page: bool = False, packed: bool = False
    ) -> None:
        """Bytes that are neither DICOM nor an archive."""
        text, pictures = (data, b"") if pixels else own_words_out(data)
        for word in (*self._in_bytes(text, pixels=pixels), *self._in_bytes(pictures, pixels=True)):
            self._judge(shown, tag, word, word, own_page=own_page)
        if len(data) > MOST_UNPACKED:
            return
        if is_long(data):
            self.leave("texts above 1 MiB in character sets other than Unicode and Latin-1, but as written", shown)
        self._text_of(text, shown, tag, own_page, binary=pixels and len(data) > _FEW)
        if not own_page and not pixels and b"</" in data:  # a word may be cut by tags
            self._text_of(own_words_out(without_tags(data))[0], shown, tag, own_page)
        self._encoded(data, shown, tag, own_page, packed)

    def _text_of(self, data: bytes, shown: str, tag: str, own_page: bool, binary: bool = False) -> None:
        for reading in readings(data):
            for hit in self._text(reading):
                if hit.strength == "weak" or (binary and len(normal(hit.found)) < _SHORTEST_IN_BINARY):
                    continue
                self._judge(shown, tag, hit.word, hit.found, own_page=own_page)

    def _encoded(self, data: bytes, shown: str, tag: str, own_page: bool = False, packed: bool = True) -> None:
        """What stands in base64 and hexadecimal digits."""
        blobs = []
        for blob in encoded(data):
            if packed and len(blob) > 16 and (blob.startswith(GZIP) or archive_kind(blob) or blob[128:132] == b"DICM"):
                self.content(blob, f"{shown} (base64)", tag, own_page=own_page, depth=2)
            blobs.append(blob)
        if not blobs:
            return
        joined = b"\n\n".join(blobs)
        for word in self._in_bytes(joined, pixels=len(joined) > MIB):
            if len(word) >= _SHORTEST_IN_BINARY:
                self._judge(f"{shown} (base64 or hex)", tag, word, word)
        for blob in blobs:
            with suppress(UnicodeDecodeError):
                text = blob.decode("utf-8")
                if text.isprintable():
                    for hit in self._text(text):
                        if hit.strength == "sure" and len(normal(hit.found)) >= _SHORTEST_IN_BINARY:
                            self._judge(f"{shown} (base64 or hex)", tag, hit.word, hit.found)

    def _in_bytes(self, data: bytes, *, pixels: bool = False, with_short_numbers: bool = False) -> Iterator[str]:
        for _, word in self._bytes(data, pixels=pixels):
            if not word.isdigit() or len(word) >= SHORTEST_DIGITS or with_short_numbers:
                if not (pixels and is_ramp(word)):
                    yield word

    def _readings_of(self, data: bytes) -> Iterator[str]:
        yield from readings(data)
        for blob in encoded(data):
            with suppress(UnicodeDecodeError):
                if len(blob) >= _SHORTEST_IN_BINARY and (text := blob.decode("utf-8")).isprintable():
                    yield text

    def _elements(self, shown: str, elements: list[CheckedElement], options: set[str]) -> Counter[str]:
        """Search attributes, which says the tag; hits in their bytes are counted, as they are judged here."""
        seen: Counter[str] = Counter()
        starts, parts, size = [], [], 0
        for element in elements:
            starts.append(size)
            if element.vr in _BINARY:
                parts.append(element.raw + b"\n\n")
            else:
                parts.append("\n".join(element.texts).lower().encode("utf-8", "surrogateescape") + b"\n\n")
            size += len(parts[-1])
        joined = b"".join(parts)
        for at, word in self._bytes(joined):
            seen[word] += 1
            element = elements[bisect_right(starts, at) - 1]
            if word.isdigit() and len(word) < SHORTEST_DIGITS and element.vr not in _WHERE_NUMBERS_COUNT:
                continue
            self._judge_element(shown, element, word, word, options)
        self._texts(shown, elements, options)
        if b"==" in joined or holds_runs(joined):
            self._encoded(joined, shown, "bytes")
        for element in elements:
            if element.vr in _NUMBERS:
                self._as_numbers(shown, element, options)
            elif element.vr in _MIXED and len(element.raw) > 16 and is_packed(element.raw):
                self.content(element.raw, shown, tag_name(element.tag), depth=1)
            elif element.tag == 0x04000500:
                self.leave("encrypted content", shown)
        return seen

    def _texts(self, shown: str, elements: list[CheckedElement], options: set[str]) -> None:
        """Search the text of all attributes at once, in every spelling and, where it may differ, every reading."""
        starts, owners, parts, size = [], [], [], 0
        for element in elements:
            if element.vr in _NUMBERS or element.vr == "UI":
                continue
            texts = list(element.texts) if element.vr not in _BINARY else []
            if element.raw and (element.vr in _MIXED or element.vr not in _BINARY):
                texts += readings(element.raw)
            for text in texts:
                starts.append(size)
                owners.append((element, text))
                parts.append(text + BARRIER)
                size += len(text) + 1
        for hit in self._text("".join(parts)):
            element, text = owners[bisect_right(starts, hit.start) - 1]
            if hit.strength == "weak" and not _is_whole_value(hit, text, element):
                continue
            self._judge_element(shown, element, hit.word, hit.found, options)

    def _as_numbers(self, shown: str, element: CheckedElement, options: set[str]) -> None:
        """A number that is an identifier, or a date without separators."""
        essential = element.tag in ESSENTIAL or element.tag >> 16 == ESSENTIAL_GROUP
        for text in element.texts:
            number = values.whole_number(text)
            digits = text.strip(values.BLANKS + "+-").lstrip("0") if number < 0 else f"{number}".lstrip("0")
            if not NUMBER.match(text.encode("utf-8", "replace")):
                for hit in self._text(text):
                    if hit.strength != "weak":
                        self._judge_element(shown, element, hit.word, hit.found, options)
                continue
            if not digits.isdigit():
                continue
            word = self._numbers.get(digits)
            if word is not None:
                few = "" if len(digits) >= (_MANY_DIGITS if essential else _SOME_DIGITS) else "a number of few digits"
                self._judge_element(shown, element, word, digits, options, few)
            elif len(digits) in (7, 8) and not essential:
                for hit in self._text(digits):
                    if digits == hit.found:
                        self._judge_element(shown, element, hit.word, hit.found, options)

    def _header(self, data: bytes, shown: str, options: set[str], seen: Counter[str]) -> None:
        """All bytes before the pixels; hits in attributes were judged there, only more than those count."""
        for _, word in self._bytes(data):
            kind, tags = self.needles.source(word)
            if len(word) < (SHORTEST_DIGITS if word.isdigit() else 0) or is_kept(kind, tags, options):
                continue
            seen[word] -= 1
            # a moved date may equal the date of somebody else
            if seen[word] < 0 and not (kind == "date" and options & DATE_OPTIONS):
                self._judge(shown, "bytes", word, word)
        preamble = data[: stream.PREAMBLE]
        if preamble.strip(b"\0"):
            self._text_of(preamble, shown, "bytes", False)

    def _pixels(self, file: BinaryIO, start: int, stop: int, shown: str) -> None:
        """The bytes of the pixels, where only long values count."""
        self.leave("text and faces in pixels", shown)
        for part in chunks(file, start, stop):
            for word in self._in_bytes(part, pixels=True):
                self._judge(shown, "bytes", word, word)

    def _coded(self, file: BinaryIO, size: int, dataset: object, shown: str) -> None:
        """Pixels that are stored compressed: searched once more as decoded, where nothing was lost."""
        syntax = UID(str(dataset.file_meta.TransferSyntaxUID))  # type: ignore[attr-defined]
        if not syntax.is_encapsulated or not self.needles.found:
            return
        if syntax not in _LOSSLESS:
            self.leave("values of pixels that are coded with loss", shown)
            return
        try:
            with reader.guard(shown):
                whole = reader.read_open(file, size, self.limits, pixels=True)
                shape, dtype = pixel_data.expected(whole)
                count = dtype.itemsize
                for length in shape:
                    count *= length
                if count > _MOST_DECODED:
                    raise InputError("too many pixels")
                decoded = pixel_data.decode(whole, self.limits)
        except InputError:
            self.leave("values of compressed pixels that cannot be decoded", shown)
            return
        for word in self._in_bytes(decoded.tobytes(), pixels=True):
            self._judge(shown, "(7FE0,0010)", word, word)

    def _judge_element(
        self, shown: str, element: CheckedElement, word: str, found: str, options: set[str], reason: str = ""
    ) -> None:
        """A hit in an attribute: left by the rules, a coincidence, or a finding."""
        kind, tags = self.needles.source(word)
        trusted = element.tag not in rows() or kept_by(element.tag, options)
        # the name of a person is never excused by standing in a trusted attribute of another original
        is_person = kind == "name" and not values.is_ordinary(found) and not found.isdigit()
        if trusted and not is_person and self._is_public(element, found):
            return
        if is_kept(kind, tags, options) or (kind == "date" and element.vr in ("DA", "DT") and options & DATE_OPTIONS):
            return
        text = next((one for one in element.texts if found.lower() in one.lower()), "")
        self._judge(shown, tag_name(element.tag), word, found, tag=element.tag, text=text, reason=reason)

    def _judge(
        self,
        shown: str,
        place: str,
        word: str,
        found: str,
        *,
        tag: int = 0,
        text: str = "",
        own_page: bool = False,
        reason: str = "",
    ) -> None:
        kind, tags = self.needles.source(word)
        why = reason or why_coincidence(word, kind, tag=tag, text=text, own_page=own_page)
        source = keywords(tags)
        if why:
            self.coincidences.add(Finding(shown, place, kind, hint(word), source, why))
        else:
            self.findings.add(Finding(shown, place, kind, hint(word), source, why_finding(word, found, kind)))

    def _is_public(self, element: CheckedElement, word: str) -> bool:
        """Whether all values of a kept attribute that hold a word stood there in an original without such a secret."""
        holding = [text.strip(values.BLANKS).lower() for text in element.texts if word.lower() in text.lower()]
        return bool(holding) and all((element.tag, text) in self.needles.public for text in holding)


def is_kept(kind: Kind, tags: set[int], options: set[str]) -> bool:
    """Whether the options that a file states allow the value of all attributes that it came from."""
    if kind == "uid":
        return "retain_uids" in options
    return bool(tags) and all(kept_by(tag, options - DATE_OPTIONS) for tag in tags)


def is_ramp(word: str) -> bool:
    """Whether a word is one that a smooth edge in 16-bit pixels spells by chance, such as "12345678" in UTF-16."""
    return {ord(after) - ord(before) for before, after in zip(word, word[1:], strict=False)} in ({1}, {-1})


def _is_whole_value(hit: TextHit, text: str, element: CheckedElement) -> bool:
    return element.vr in _WHERE_NUMBERS_COUNT and normal(hit.found) == normal(text)
