# SPDX-License-Identifier: Apache-2.0
"""What became of every file of an input: each has exactly one end, and whoever reads a summary sees all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from umed.core.reasons import examples, group_reasons

ENDS = ("protected", "unchanged", "carried", "left out")
"""Where a file can end: changed within the bound; released as it was, and why; taken along; not in the output."""
CARRY = "--carry takes them along"
KINDS: Mapping[str, tuple[str, str]] = {
    "image": ("image", "images"),
    "label": ("label", "labels"),
    "format": ("file of a format that is not read", "files of formats that are not read"),
    "archive": ("archive, which may hold images", "archives, which may hold images"),
    "link": ("link", "links"),
    "unreadable": ("file or folder that cannot be read", "files or folders that cannot be read"),
    "special": ("special file", "special files"),
    "document": ("document", "documents"),
    "index": ("index", "indexes"),
    "system": ("hidden or system file", "hidden or system files"),
    "other": ("other file", "other files"),
    "dicom": ("DICOM file", "DICOM files"),
}
"""Kinds of file, and how one and many are called; the keys are all that a public manifest says of what is left out."""


class FileEnd(NamedTuple):
    """What became of one file.

    Args:
        name: relative to the input, with ``/``, as the system has it; of a zip's member, as the scan names it.
        end: one of :data:`ENDS`.
        kind: key of :data:`KINDS`.
        why: reason; empty only where it is protected.
        grave: whether leaving it out makes exit code 3: it had a label, or is or may be an image.
        case: id of the case that it belongs to, whose line in a summary tells of it; empty for all others.
    """

    name: str
    end: str
    kind: str
    why: str = ""
    grave: bool = False
    case: str = ""


@dataclass(frozen=True)
class Accounting:
    """All files of an input.

    Args:
        files: each once, by name.
        unmatched: names with reasons that stand for no file of their own: listed in an index but not there, or listed
            twice. Each makes exit code 3.
        hint: what to do about documents.
    """

    files: tuple[FileEnd, ...] = ()
    unmatched: tuple[tuple[str, str], ...] = ()
    hint: str = CARRY

    @property
    def counts(self) -> dict[str, int]:
        """Number of files by end; adds up to the number of files."""
        found = Counter(one.end for one in self.files)
        return {end: found[end] for end in ENDS}

    @property
    def left_out(self) -> tuple[FileEnd, ...]:
        """Files that are not in the output."""
        return tuple(one for one in self.files if one.end == "left out")

    @property
    def grave(self) -> bool:
        """Whether anything was left out that had a label, is an image, or may be one."""
        return bool(self.unmatched) or any(one.grave for one in self.files)

    def public(self) -> dict[str, Any]:
        """Counts for the public manifest, no name: ``{"protected": 3, ..., "left out": {"document": 2}}``."""
        kinds = Counter(one.kind for one in self.left_out)
        return {**self.counts, "left out": dict(sorted(kinds.items()))}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``: the counts, and name, kind and reason of all that is left out."""
        return {
            "files": len(self.files),
            "counts": self.counts,
            "left_out": [
                {"name": one.name, "kind": one.kind, "reason": one.why, "grave": one.grave} for one in self.left_out
            ],
            "unmatched": [list(one) for one in self.unmatched],
        }

    def to_record(self) -> dict[str, Any]:
        """Plain data for the private record: the end of every file."""
        released: dict[str, dict[str, list[str]]] = {}
        for one in self.files:
            if one.end != "left out":
                released.setdefault(one.end, {}).setdefault(one.why, []).append(one.name)
        return {**self.to_dict(), "released": released}

    def lines(self, *, future: bool = False) -> list[str]:
        """A few lines for people: the counts, then one line a kind of what is left out and belongs to no case.

        Args:
            future: say what would happen.
        """
        return [self.head(future=future), *self.reasons()]

    def head(self, *, future: bool = False) -> str:
        """The counts in one line."""
        counts = self.counts
        texts = [f"{counts['protected']} {'to protect' if future else 'protected'}"]
        kinds = Counter(one.kind for one in self.files if one.end == "unchanged")
        which = ", ".join(f"{count} {_called(kind, count)}" for kind, count in kinds.items())
        texts += [f"{counts['unchanged']} unchanged ({which})"] if which else []
        texts += [f"{counts['carried']} {'to carry' if future else 'carried'}"] if counts["carried"] else []
        out = "to leave out" if future else "left out"
        texts += [f"{counts['left out']} {out}"] if counts["left out"] else []
        return f"{_number(len(self.files), 'file')} in INPUT: {', '.join(texts)}"

    def reasons(self) -> Iterator[str]:
        """Lines of what is left out and belongs to no case, what makes exit code 3 first."""
        loose = [one for one in self.left_out if not one.case]
        for grave in (True, False):
            for kind, (_, many) in KINDS.items():
                some = [one for one in loose if one.kind == kind and one.grave is grave]
                if not some:
                    continue
                if not grave and kind in ("document", "system"):
                    after = f"; {self.hint}" if kind == "document" and self.hint else ""
                    called = f"{len(some)} {_called(kind, len(some))}"
                    yield f"left out: {called}: {examples([one.name for one in some[:4]], len(some))}{after}"
                    continue
                yield from (
                    f"left out: {line}" for line in group_reasons(((one.name, one.why) for one in some), unit=many)
                )
        yield from (f"not there: {line}" for line in group_reasons(self.unmatched, unit="names"))


def _called(kind: str, count: int) -> str:
    return KINDS[kind][count != 1]


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def make_accounting(
    ends: Iterable[FileEnd], unmatched: Iterable[tuple[str, str]] = (), hint: str = CARRY
) -> Accounting:
    """Put files in order; of a file that is named twice, the end nearest to the output counts."""
    found: dict[str, FileEnd] = {}
    for one in ends:
        before = found.get(one.name)
        if before is None or ENDS.index(one.end) < ENDS.index(before.end):
            found[one.name] = one
    return Accounting(tuple(found[name] for name in sorted(found)), tuple(sorted(set(unmatched))), hint)
