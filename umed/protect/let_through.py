# SPDX-License-Identifier: Apache-2.0
"""What went out although text or a face may be in its pixels, for the summary of a release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from umed.core.types import Outcome


def accepted_reasons(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many files ``--accept-burned-in`` let through, by why they would have been put aside."""
    found: Counter[str] = Counter()
    for one in outcomes:
        found.update(one.measures.get("accepted_burned_in", {}))
    return found


def blanked_files(outcomes: Iterable[Outcome]) -> int:
    """How many files have parts blanked out by the rules of the profile."""
    return sum(len(one.measures.get("rectangles", ())) for one in outcomes)


def let_through_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Both in words, and what was looked at for text; nothing where nothing was let through."""
    known = list(outcomes)
    accepted, blanked, lines = accepted_reasons(known), blanked_files(known), []
    if accepted:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in accepted.most_common())
        files = _files(accepted.total())
        lines.append(f"WARNING: --accept-burned-in let through {files} that may show text or a face: {reasons}")
    if blanked:
        files = _files(blanked)
        lines.append(
            f"burned_in rules of the profile blanked parts of {files}; what they do not cover went out as it is"
        )
    looked = sum(one.measures.get("looked_at", 0) for one in known)
    if looked:
        frames = f"{looked} frame{'' if looked == 1 else 's'}"
        lines.append(f"--look-for-text looked at {frames} of what went out and read no text")
    return lines


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
