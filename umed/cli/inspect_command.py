# SPDX-License-Identifier: Apache-2.0
"""Show what a data set holds and what would happen to each case, and why."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from umed.cli.output import reading, say_next, table
from umed.cli.parsing import add_masks, add_shared, mask_overrides

if TYPE_CHECKING:
    from umed.plan.facts import CaseFacts, Facts


MOST_UNREAD = 10
"""Cases without an image that could be read which the table shows."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set, or a folder or zip of DICOM files")
    add_shared(parser, "--masks", "--layout")
    suggest = "print a mapping file for --layout, drafted from the names of the files, to look at and to edit"
    parser.add_argument("--suggest", action="store_true", help=suggest)
    add_masks(parser)
    add_shared(parser, "--json", "--quiet")


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


def _shown(cases: Sequence[CaseFacts]) -> tuple[list[CaseFacts], int]:
    """Cases for the table, without those beyond the first that were not read; and how many these are.

    A list of files may name hundreds that were never downloaded: they would push all else off the screen.
    """
    unread = [case.id for case in cases if not case.shape]
    folded = set(unread[MOST_UNREAD:])
    return [case for case in cases if case.id not in folded], len(folded)


def case_table(facts: Facts) -> str:
    """Describe a data set for people.

    Args:
        facts: what was found.

    Returns:
        Several lines.
    """
    from umed.core.reasons import group_reasons, many
    from umed.data.side_findings import text_lines

    counts = Counter(case.action for case in facts.cases)
    head = f"{facts.name}: {facts.layout} layout, {many(facts.count, 'case')}: " + ", ".join(
        f"{n} to {action}" for action, n in sorted(counts.items())
    )
    header = ["case", "shape", "spacing", "dtype", "channels", "classes", "action", "why"]
    shown, folded = _shown(facts.cases)
    rows = [_row(case) for case in shown]
    if facts.layout == "dicom":
        header[1:1], header[-2:-2] = ["modality"], ["syntax", "masks"]
        for case, row in zip(shown, rows, strict=True):
            row[1:1], row[-2:-2] = [case.modality], [case.syntax, case.masks]
    lines = [head, table(header, rows)]
    if folded:
        lines.append(f"and {folded} more that cannot be read; --json names them all")
    told = set() if facts.files is None else {one.name for one in facts.files.left_out if not one.case}
    told |= set() if facts.files is None else {name for name, _ in facts.files.unmatched}
    loose = ((path, reason) for path, reason in facts.problems if path not in told)
    lines += [f"no case: {line}" for line in group_reasons(loose)]
    if facts.files is not None:
        lines += facts.files.lines(future=True)
    lines += text_lines(facts.texts)
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    if args.suggest:
        from umed.data.layout_suggest import suggest_map

        draft = suggest_map(args.input)
        print(json.dumps({"layout": draft}) if args.json else draft, end="\n" if args.json else "")
        return 0
    from umed.core.progress import progress_bar
    from umed.protect.preview import inspect

    with progress_bar(args.quiet) as progress:
        facts = inspect(args.input, args.masks, mask_overrides(args), layout=args.layout, progress=progress)
    print(facts.to_json() if args.json else case_table(facts), end="" if args.json else "\n")
    if any(case.action == "protect" for case in facts.cases):
        say_next(args, "umed plan", args.input, *reading(args), "says how it would be protected, and why")
    elif facts.layout == "dicom" and args.masks is None:
        say_next(args, "umed inspect", args.input, "--masks DIR, if the masks lie elsewhere")
    return 0 if facts.files is None else facts.exit_code(facts.files)
