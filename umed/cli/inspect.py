# SPDX-License-Identifier: Apache-2.0
"""Show what a data set holds and what would happen to each case, and why."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from umed.cli import parsing
from umed.cli.output import table
from umed.facts import CaseFacts, Facts, inspect


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set")
    parsing.add_json(parser)


def _row(case: CaseFacts) -> list[str]:
    spacing = " x ".join(f"{value:g}" for value in case.spacing)
    return [
        case.id,
        " x ".join(str(n) for n in case.shape),
        f"{spacing} {case.unit}".strip() if case.unit == "mm" else case.unit,
        case.dtype,
        str(case.channels or ""),
        " ".join(str(value) for value in case.classes),
        case.action,
        case.why,
    ]


def case_table(facts: Facts) -> str:
    """Describe a data set for people.

    Args:
        facts: what was found.

    Returns:
        Several lines.
    """
    counts = Counter(case.action for case in facts.cases)
    head = f"{facts.name}: {facts.layout} layout, {facts.count} cases: " + ", ".join(
        f"{n} to {action}" for action, n in sorted(counts.items())
    )
    header = ["case", "shape", "spacing", "dtype", "channels", "classes", "action", "why"]
    lines = [head, table(header, [_row(case) for case in facts.cases])]
    lines += [f"no case: {path}: {reason}" for path, reason in facts.problems]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    facts = inspect(args.input)
    print(facts.to_json() if args.json else case_table(facts), end="" if args.json else "\n")
    return 0
