# SPDX-License-Identifier: Apache-2.0
"""What came of checking an output: what was promised, what holds, what does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from umed.core.reasons import group_reasons, many


@dataclass(frozen=True)
class CaseCheck:
    """What was found about one case.

    Args:
        id: case id.
        status: see :class:`umed.core.types.Outcome`, or ``"missing"``.
        failures: promises that are broken; empty if all hold.
        reason: why the case is not protected.
    """

    id: str
    status: str
    failures: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Verification:
    """Result of :func:`umed.verify`.

    Args:
        cases: one entry a case of the input.
        problems: broken promises that belong to no case: unknown files, a broken seal.
        notes: what a reader must know though no promise is broken.
        promise: what was checked, in words, and where the promise came from.
    """

    cases: tuple[CaseCheck, ...]
    problems: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    promise: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """True when every promise holds. Cases that were left out on purpose do not count against it."""
        return not self.problems and not any(case.failures for case in self.cases)

    @property
    def exit_code(self) -> int:
        """0 when every promise holds, else 1."""
        return 0 if self.ok else 1

    @property
    def unprotected(self) -> tuple[CaseCheck, ...]:
        """Cases without protection: unchanged (empty label), failed, or skipped."""
        return tuple(case for case in self.cases if case.status not in ("protected", "carried", "missing"))

    def to_json(self) -> str:
        """JSON for ``umed verify --json``."""
        content = {
            "ok": self.ok,
            "promise": self.promise,
            "cases": [{"id": c.id, "status": c.status, "failures": c.failures, "reason": c.reason} for c in self.cases],
            "problems": self.problems,
            **({"notes": self.notes} if self.notes else {}),
        }
        return json.dumps(content, sort_keys=True, indent=2) + "\n"

    def summary(self, limit: int = 20) -> str:
        """A few lines for people.

        Args:
            limit: most lines of each kind.
        """
        counts: dict[str, int] = {}
        for case in self.cases:
            counts[case.status] = counts.get(case.status, 0) + 1
        states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        broken = [f"  {case.id}: {failure}" for case in self.cases for failure in case.failures]
        broken += [f"  {problem}" for problem in self.problems]
        left = group_reasons(((one.id, f"{one.status}, {one.reason}") for one in self.unprotected), unit="cases")
        verdict = "every promise holds." if self.ok else f"{len(broken)} broken:"
        lines = [f"{many(len(self.cases), 'case')} ({states}): {verdict}"]
        lines += _short(broken, limit)
        if left:
            lines += ["Not protected:", *(f"  {line}" for line in left)]
        lines += ["Checked:", *(f"  {line}" for line in self.promise)] if self.promise else []
        lines += self.notes
        return "\n".join(lines)


def _short(lines: list[str], limit: int) -> list[str]:
    more = len(lines) - limit
    return lines[:limit] + ([f"  ... and {more} more"] if more > 0 else [])
