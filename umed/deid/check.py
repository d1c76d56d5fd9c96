# SPDX-License-Identifier: Apache-2.0
"""Looks for anything left in an output: by what an output must not hold, and by the values of its originals."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from umed.core.errors import InputError
from umed.core.progress import counted
from umed.core.types import Progress
from umed.data.files import check_readable
from umed.deid.check_rules import Finding
from umed.deid.content_check import ContentCheck
from umed.deid.needles import Needles
from umed.deid.profile import Profile, load_profile
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.read import reader

__all__ = ["Examined", "Finding", "Unsearched", "check", "collect", "examine"]

_NAMED = 20
_ENCODINGS = "Unicode, the character sets of DICOM, base64, hexadecimal digits and the escapes of web pages and mails"


@dataclass(frozen=True)
class Unsearched:
    """Something that no search looked into.

    Args:
        what: in words.
        count: of places; 0 where it holds for all.
        places: the first of them.
    """

    what: str
    count: int = 0
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} ({self.count})" if self.count else self.what


@dataclass(frozen=True)
class Examined:
    """What a check has seen.

    Args:
        findings: what should not be there, sorted.
        coincidences: words of the originals that stand there for another reason, which ``why`` tells.
        unsearched: what was not searched.
        files: how many files there were.
    """

    findings: list[Finding]
    coincidences: list[Finding]
    unsearched: list[Unsearched]
    files: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found that identifies."""
        return not self.findings


def check(
    output: Path,
    original: Path | None = None,
    progress: Progress | None = None,
    limits: Limits = LIMITS,
    profile: Profile | None = None,
) -> list[Finding]:
    """The findings of :func:`examine`."""
    return examine(output, original, progress, limits, profile).findings


def examine(
    output: Path,
    original: Path | None = None,
    progress: Progress | None = None,
    limits: Limits = LIMITS,
    profile: Profile | None = None,
) -> Examined:
    """Scan all files of an output, whatever they are, for identifying information.

    Args:
        output: folder that was written.
        original: the folder or zip that it was made from. Every name, identifier, institution, address, date and UID
            in there is looked for in any spelling and character set: in all bytes, names of files and folders, extended
            attributes, meta information, nested and private attributes, archives, base64 and hexadecimal digits.
        progress: called for each file.
        limits: bounds on what is read.
        profile: the one that was used, where it lists safe private attributes of its own or keeps UIDs.

    Returns:
        What was found. Without originals only what an output must not hold can be found: UIDs that are not keyed,
        names, dates, private attributes, filled attributes of the table.

    Raises:
        InputError: when there is nothing to check.
    """
    if not output.is_dir():
        raise InputError(f"{output}: expected a folder that umed wrote, got none. Check the path.")
    check_readable(output)
    unread: list[str] = []
    needles = Needles() if original is None else collect(original, progress, limits, unread).settle()
    if profile is not None and "retain_uids" in profile.options:
        needles.found = {word: source for word, source in needles.found.items() if source[0] != "uid"}
    look = ContentCheck(needles, (profile or load_profile("safe_private")).safe_private, limits)
    if original is None:
        look.unsearched["the values of the originals: none were given (--original INPUT)"] = []
    look.unsearched["what the originals do not name as such: a name in a description only, a misspelling"] = []
    look.unsearched[f"values in other encodings than {_ENCODINGS}"] = []
    _extended(look, output, ".")
    # Hidden files too: nothing in an output is without meaning.
    paths = sorted(_everything(output, look))
    files = 0
    for path in counted(paths, "check", progress):
        shown = _shown(look, path.relative_to(output).parts)
        _extended(look, path, shown)
        files += _file(look, path, shown)
    if unread:
        look.unsearched["the values of originals that are no DICOM or cannot be read"] = unread
    left = [
        Unsearched(what, len(set(places)), tuple(sorted(set(places))[:_NAMED]))
        for what, places in sorted(look.unsearched.items())
    ]
    return Examined(_in_order(look.findings), _in_order(look.coincidences), left, files)


def collect(
    original: Path, progress: Progress | None = None, limits: Limits = LIMITS, unread: list[str] | None = None
) -> Needles:
    """Identifying values of all originals that can be read, a zip or members of zips included.

    Args:
        original: folder, zip or file.
        progress: called for each file.
        limits: bounds on what is read.
        unread: takes the names of files that are no DICOM or broken; they were not released either.
    """
    needles = Needles()
    listed, _ = reader.find(original, limits)
    for path, name in counted(listed, "originals", progress):
        try:
            dataset = reader.read(path, limits, pixels=False)
            with reader.guard(path):
                needles.collect(dataset)
                needles.collect(dataset.file_meta)
        except InputError:
            if unread is not None:
                unread.append(name)
    return needles


def _everything(output: Path, look: ContentCheck) -> Iterator[Path]:
    """Files and folders below an output; links to folders are named and not followed."""
    for folder, folders, names in os.walk(output):
        for name in folders:
            path = Path(folder) / name
            if path.is_symlink():
                look.leave("folders behind links", path.relative_to(output).as_posix())
            yield path
        yield from (Path(folder) / name for name in names)


def _shown(look: ContentCheck, parts: tuple[str, ...]) -> str:
    """A path fit to be printed, of whose parts none quotes what it holds."""
    return "/".join(f"{part[:2]}… ({len(part)})" if _holds(look, part) else part for part in parts)


def _holds(look: ContentCheck, part: str) -> bool:
    if part not in look.names:
        look.names[part] = look.name(part)
    return look.names[part]


def _file(look: ContentCheck, path: Path, shown: str) -> int:
    """Search one file; 0 for what is none."""
    if path.is_symlink():
        look.content(os.fsencode(os.readlink(path)), shown, "link")
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return 0
        if not stat.S_ISREG(mode):
            look.leave("files that are neither files nor folders", shown)
            return 1
        own_page = shown.startswith("umed/") and path.suffix in (".html", ".json")
        with open(path, "rb") as file:
            look.file(file, os.fstat(file.fileno()).st_size, shown, own_page)
    except OSError as error:
        look.leave(f"files that cannot be read ({error.strerror})", shown)
    except Exception as error:  # a file that surprises the check must not hide behind it
        look.findings.add(Finding(shown, "bytes", f"could not be searched ({type(error).__name__})"))
    return 1


def _extended(look: ContentCheck, path: Path, shown: str) -> None:
    """Names and values of extended attributes."""
    if not hasattr(os, "listxattr"):
        look.unsearched["extended attributes, which this system does not list"] = []
        return
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return  # the file system has none
    for name in names:
        look.content(os.fsencode(name), shown, "xattr")
        try:
            look.content(os.getxattr(path, name, follow_symlinks=False), shown, "xattr")
        except OSError as error:
            look.leave(f"extended attributes that cannot be read ({error.strerror})", shown)


def _in_order(found: set[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (one.file, one.tag, one.kind, one.hint, one.source))
