# SPDX-License-Identifier: Apache-2.0
"""Many reasons in a few lines: those that differ only in names and numbers are one kind, with a count and examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EXAMPLES = 3
"""Names that a line shows of its kind."""
MOST_KINDS = 12
"""Lines of one summary, the largest kinds first; hostile names must not make thousands."""
_GAP = "..."
_ENDINGS = r"\.[A-Za-z][A-Za-z0-9]{0,7}(?:\.gz)?"
_VARIES = re.compile(
    r"'[^']*'|\"[^\"]*\""  # quoted
    rf"|(?:^|(?<=[;:] ))[^:;]{{1,300}}{_ENDINGS}(?=: )"  # a file that a message begins with, spaces and all
    r"|[^\s:;,()\[\]=]*[/\\][^\s:;,()\[\]=]*"  # a path
    rf"|[^\s:;,()\[\]=/]+{_ENDINGS}(?![A-Za-z0-9])"  # a file name
    r"|[^\s:;,()\[\]=/]*\d(?:[^\s:;,()\[\]/]*[^\s:;,()\[\]/.])?",  # numbers, and words with one
)
"""What tells two messages of one kind apart."""


def printable(name: str) -> str:
    r"""A name or message that may be shown: control and broken characters escaped.

    >>> printable("a\nb")
    'a\\nb'
    """
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def reason_kind(reason: str, *names: str) -> tuple[str, tuple[str, ...]]:
    r"""Take out of a reason what tells it from others of its kind.

    Args:
        reason: one line.
        names: what it is about, such as the file and the case; taken out wherever they stand as a word.

    Returns:
        The reason with a NUL for each name, path, quotation and number; and these, in order.

    >>> reason_kind("a b.png: expected 3 channels, got 12", "a b.png")
    ('\x00: expected \x00 channels, got \x00', ('a b.png', '3', '12'))
    """
    text = reason.replace("\0", " ")
    known = sorted({name for name in names if name}, key=len, reverse=True)
    pattern = _VARIES
    if known:
        words = "|".join(map(re.escape, known))
        pattern = re.compile(rf"(?<![\w.-])(?:{words})(?![\w-])|{_VARIES.pattern}")
    return pattern.sub("\0", text), tuple(match[0] for match in pattern.finditer(text))


@dataclass
class _Group:
    """Reasons of one kind, as far as a line needs them."""

    first: str
    """Reason of the first member, as it came."""
    parts: list[str | None]
    """What stands in each gap; ``None`` where two members differ."""
    count: int = 0
    shown: list[str] = field(default_factory=list)


def many(count: int, noun: str) -> str:
    """A number with its noun.

    >>> many(1, "case"), many(3, "case")
    ('1 case', '3 cases')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def group_reasons(
    found: Iterable[tuple[str, str]], *, unit: str = "files", aliases: Mapping[str, tuple[str, ...]] | None = None
) -> list[str]:
    """Say for many names why something is so, one line a kind.

    Args:
        found: name and reason; what is printed of both is made printable.
        unit: what is counted, in the plural.
        aliases: further names of an item, to be taken out of its reason.

    Returns:
        ``"NAME: REASON"`` for a kind of one; else ``"N UNIT: REASON (A, B, C; and M more)"`` with an ellipsis where the
        members differ; the largest kinds first, and at the end how many more there are.

    >>> group_reasons([("a", "got 1 of 3"), ("b", "got 2 of 3"), ("c", "is empty")], unit="cases")
    ['2 cases: got ... of 3 (a, b)', 'c: is empty']
    """
    groups: dict[str, _Group] = {}
    for name, reason in found:
        more = (aliases or {}).get(name, ())
        line = " ".join(reason.split())
        for own in (name, *more):
            line = line.removeprefix(f"{own}: ")
        kind, parts = reason_kind(line, name, name.rpartition("/")[2], *more)
        group = groups.setdefault(kind, _Group(" ".join(reason.split()), list(parts)))
        group.parts = [old if old == new else None for old, new in zip(group.parts, parts, strict=True)]
        group.count += 1
        if len(group.shown) < EXAMPLES:
            group.shown.append(name)
    ordered = sorted(groups.items(), key=lambda item: -item[1].count)  # stable: first seen, first said
    lines = [_line(kind, group, unit) for kind, group in ordered[:MOST_KINDS]]
    rest = [group.count for _, group in ordered[MOST_KINDS:]]
    if rest:
        lines.append(f"{sum(rest)} {unit} more for {len(rest)} other reasons")
    return lines


def _line(kind: str, group: _Group, unit: str) -> str:
    pieces = kind.split("\0")
    filled = "".join(
        piece + (_GAP if part is None else part) for piece, part in zip(pieces, [*group.parts, ""], strict=True)
    )
    text = printable(re.sub(rf"^(?:{re.escape(_GAP)}: )+", "", filled))
    text = text.removesuffix(".") if not text.endswith(_GAP) or text.endswith(f"{_GAP}.") else text
    if group.count == 1:
        name = group.shown[0]
        return f"{printable(name)}: {printable(group.first.removeprefix(f'{name}: '))}"
    return f"{group.count} {unit}: {text} ({examples(group.shown, group.count)})"


def examples(names: Iterable[str], count: int) -> str:
    """A few names and how many more there are.

    Args:
        names: at least as many as are shown, or all.
        count: of all.

    >>> examples(["a", "b", "c", "d"], 252)
    'a, b, c; and 249 more'
    """
    shown = [printable(name) for name, _ in zip(names, range(EXAMPLES), strict=False)]
    return ", ".join(shown) + (f"; and {count - len(shown)} more" if count > len(shown) else "")
