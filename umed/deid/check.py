# SPDX-License-Identifier: Apache-2.0
"""Looks for anything left in an output: by what an output must not hold, and by the values of its originals."""

from __future__ import annotations

import base64
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from umed.core.errors import InputError
from umed.core.progress import counted
from umed.core.types import Progress
from umed.data.files import check_readable
from umed.deid import values
from umed.deid.elements import strings
from umed.deid.engine import CODE_SYSTEM, CODING_SCHEME_UID
from umed.deid.keys import is_standard_uid
from umed.deid.needles import SHORTEST_DIGITS, SHORTEST_IN_PIXELS, Kind, Needles, Search
from umed.deid.private import safe_tags
from umed.deid.profile import Profile, load_profile
from umed.deid.table import OPTIONS, rows
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.read import reader, stream

_PSEUDONYM = re.compile(r"UM[A-Z2-7]{14}\Z", re.ASCII)
_NAMES = {code: name for name, code in OPTIONS.items()}
_DATES = ("retain_long_full_dates", "retain_long_modified_dates")
_WHERE_NUMBERS_COUNT = values.TEXT_VRS | {"PN", "AE", "CS", "UR", ""}

DERIVATION_DESCRIPTION = 0x00082111

_PICTURE = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=]+)")
_WORD = re.compile(rb"[A-Z][A-Za-z0-9]{3,}")
_MARKUP = re.compile(rb"<style[^>]*>.*?</style>| style=\"[^\"]*\"|</?[a-z0-9]+|[a-z-]+=(?=\")", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """Something that should not be there; fit to be printed, since it quotes no more than two characters.

    Args:
        file: path below the output.
        tag: ``"(gggg,eeee)"``, ``"bytes"`` for places outside any attribute, or ``"name"`` for the file's own name.
        kind: what was found.
        hint: first two characters of the value and its length.
    """

    file: str
    tag: str
    kind: str
    hint: str = ""


@dataclass(frozen=True)
class _Element:
    tag: int
    vr: str
    keyword: str
    texts: list[str]
    safe: bool = False


def check(
    output: Path,
    original: Path | None = None,
    progress: Progress | None = None,
    limits: Limits = LIMITS,
    profile: Profile | None = None,
) -> list[Finding]:
    """Scan all files of an output, whatever they are, for identifying information.

    Args:
        output: folder that was written.
        original: the folder or zip that it was made from. Every name, identifier, institution, address, date and UID
            in there is looked for in all bytes: names of files, meta information, nested and private attributes.
        progress: called for each file.
        limits: bounds on what is read.
        profile: the one that was used, where it lists safe private attributes of its own.

    Returns:
        Findings, sorted; empty when nothing was found. Without originals only what an output must not hold can be
        found: UIDs that are not keyed, names, dates, private attributes, filled attributes of the table.

    Raises:
        InputError: when there is nothing to check.
    """
    if not output.is_dir():
        raise InputError(f"{output}: expected a folder that umed wrote, got none. Check the path.")
    check_readable(output)
    needles = collect(original, progress, limits).settle() if original is not None else Needles()
    search = Search(needles.found)
    safe = (profile or load_profile("safe_private")).safe_private
    # Hidden files too: nothing in an output is without meaning.
    paths = sorted(Path(folder) / name for folder, _, names in os.walk(output) for name in names)
    found: set[Finding] = set()
    for path in counted(paths, "check", progress):
        found.update(_file(path, path.relative_to(output).as_posix(), search, needles, safe, limits))
    return sorted(found, key=lambda finding: (finding.file, finding.tag, finding.kind, finding.hint))


def collect(original: Path, progress: Progress | None = None, limits: Limits = LIMITS) -> Needles:
    """Identifying values of all originals that can be read, a zip or members of zips included."""
    needles = Needles()
    listed, _ = reader.find(original, limits)
    for path, _ in counted(listed, "originals", progress):
        try:
            dataset = reader.read(path, limits, pixels=False)
            with reader.guard(path):
                needles.collect(dataset)
                needles.collect(dataset.file_meta)
        except InputError:
            pass  # not DICOM or broken: it was not released either
    return needles


def _file(
    path: Path, name: str, search: Search, needles: Needles, safe: Mapping[tuple[str, int, int], str], limits: Limits
) -> Iterator[Finding]:
    for _, word in search(name.encode("utf-8", "surrogateescape")):
        yield Finding("(its name holds it)", "name", needles.found[word][0], _hint(word))
    data = path.read_bytes()
    try:
        dataset = reader.read(path, limits, pixels=False)
        with open(path, "rb") as file:
            pixels = stream.survey(file, len(data), limits).pixels or len(data)
    except InputError:
        text, pictures = _own_words(data)
        hits = [word for _, word in search(text) if not word.isdigit() or len(word) >= SHORTEST_DIGITS]
        for picture in pictures:
            hits += [word for _, word in search(picture) if len(word) >= SHORTEST_IN_PIXELS]
        yield from (Finding(name, "bytes", needles.found[word][0], _hint(word)) for word in hits)
        return
    with reader.guard(name):
        options = _options(dataset)
        listed = safe if "retain_safe_private" in options else {}
        elements = [*_walk(dataset, listed), *_walk(dataset.file_meta, {})]
        yield from _rules(name, dataset, elements, options)
    seen: Counter[str] = Counter()  # hits in elements were judged there; only more than those count
    yield from _in_elements(name, elements, search, needles, options, seen)
    for at, word in search(data):
        kind, tags = needles.found[word]
        short = SHORTEST_DIGITS if word.isdigit() else 0
        if len(word) < max(short, SHORTEST_IN_PIXELS if at >= pixels else 0) or _is_kept(kind, tags, options):
            continue
        if at >= pixels and _is_ramp(word):
            continue
        if at < pixels:
            seen[word] -= 1
        # a moved date may equal the date of somebody else
        if (at >= pixels or seen[word] < 0) and not (kind == "date" and options & set(_DATES)):
            yield Finding(name, "bytes", kind, _hint(word))


def _own_words(data: bytes) -> tuple[bytes, list[bytes]]:
    """A report without keywords, markup and pictures (patients are called Station and Stroke); and the pictures."""
    pictures = []
    for match in _PICTURE.finditer(data):
        with suppress(ValueError):
            pictures.append(base64.b64decode(match[1]))
    text = _MARKUP.sub(b" ", _PICTURE.sub(b" ", data))
    return _WORD.sub(lambda match: b" " if tag_for_keyword(match[0].decode()) is not None else match[0], text), pictures


def _in_elements(
    name: str,
    elements: list[_Element],
    search: Search,
    needles: Needles,
    options: set[str],
    seen: Counter[str],
) -> Iterator[Finding]:
    """Search the decoded text, which says the tag and does not depend on the character set."""
    starts, pieces, size = [], [], 0
    for element in elements:
        starts.append(size)
        pieces.append("\n".join(element.texts).lower().encode("utf-8", "surrogateescape") + b"\n\n")
        size += len(pieces[-1])
    for at, word in search(b"".join(pieces)):
        element = elements[bisect_right(starts, at) - 1]
        kind, tags = needles.found[word]
        seen[word] += 1
        trusted = element.tag not in rows() or _kept_by(element.tag, options)
        # the name of a person is never excused by standing in a trusted attribute of another original
        if trusted and (kind != "name" or values.is_ordinary(word)) and _is_public(element, word, needles):
            continue
        if word.isdigit() and len(word) < SHORTEST_DIGITS and element.vr not in _WHERE_NUMBERS_COUNT:
            continue
        if _is_kept(kind, tags, options) or (kind == "date" and element.vr in ("DA", "DT") and options & set(_DATES)):
            continue
        yield Finding(name, _tag(element.tag), kind, _hint(word))


def _rules(name: str, dataset: Dataset, elements: list[_Element], options: set[str]) -> Iterator[Finding]:
    """What no output may hold, whatever its originals were."""
    if str(dataset.get("PatientIdentityRemoved", "")) != "YES":
        yield Finding(name, "(0012,0062)", "PatientIdentityRemoved is not YES")
    for element in elements:
        tag, vr = element.tag, element.vr
        filled = [text for text in element.texts if text.strip(values.BLANKS)]
        if tag >> 16 & 1:
            if not element.safe:
                yield Finding(name, _tag(tag), "private attribute")
        elif vr == "UI":
            for uid in filled:
                bare = uid.strip(values.BLANKS)
                known = is_standard_uid(bare) or bare.startswith("2.25.")
                if not known and not (tag == CODING_SCHEME_UID and CODE_SYSTEM.match(bare)):
                    yield Finding(name, _tag(tag), "UID that is not keyed", _hint(bare))
        elif vr == "PN":
            for text in filled:
                if not _PSEUDONYM.match(text) and text != values.DUMMY_TEXT:
                    yield Finding(name, _tag(tag), "name", _hint(text))
        elif vr in ("DA", "DT"):
            for text in filled:
                if not options & set(_DATES) and text not in (values.DUMMIES["DA"], values.DUMMIES["DT"]):
                    if not _kept_by(tag, options):
                        yield Finding(name, _tag(tag), "date", _hint(text))
        elif tag in rows() and vr in values.TEXT_VRS | {"AE", "UR"}:
            for text in filled:
                if text not in (values.DUMMY_TEXT, values.DUMMIES["UR"]) and not _PSEUDONYM.match(text):
                    ours = tag == DERIVATION_DESCRIPTION and text.startswith("umed ")
                    if not ours and not _kept_by(tag, options) and not values.is_ordinary(text):
                        yield Finding(name, _tag(tag), "attribute that is to be removed", _hint(text))


def _walk(dataset: Dataset, listed: Mapping[tuple[str, int, int], str]) -> Iterator[_Element]:
    safe = safe_tags(dataset, listed)
    for tag in list(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                yield from _walk(item, listed)
            if not int(tag) >> 16 & 1:
                continue
        yield _Element(int(tag), str(element.VR), str(element.keyword), strings(dataset, int(tag)), int(tag) in safe)


def _is_public(element: _Element, word: str, needles: Needles) -> bool:
    """Whether all values of a kept attribute that hold a word stood there in an original that had no such secret."""
    holding = [text.strip(values.BLANKS).lower() for text in element.texts if word in text.lower()]
    return bool(holding) and all((element.tag, text) in needles.public for text in holding)


def _is_ramp(word: str) -> bool:
    """Whether a word is one that a smooth edge in 16-bit pixels spells by chance, such as "12345678" in UTF-16."""
    return {ord(after) - ord(before) for before, after in zip(word, word[1:], strict=False)} in ({1}, {-1})


def _options(dataset: Dataset) -> set[str]:
    items = dataset.get("DeidentificationMethodCodeSequence", None) or ()
    names = {_NAMES.get(str(item.get("CodeValue", "")), "") for item in items} - {"", "basic"}
    said = str(dataset.get("LongitudinalTemporalInformationModified", ""))
    return names | {option for option, word in zip(_DATES, ("UNMODIFIED", "MODIFIED"), strict=True) if said == word}


def _kept_by(tag: int, options: set[str]) -> bool:
    row = rows().get(tag)
    return row is not None and any(option in row.options for option in options)


def _is_kept(kind: Kind, tags: set[int], options: set[str]) -> bool:
    """Whether the options that a file states allow the value of all attributes that it came from."""
    return kind != "uid" and bool(tags) and all(_kept_by(tag, options - set(_DATES)) for tag in tags)


def _hint(text: str) -> str:
    return f"{text[:2]}… ({len(text)})"


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
