# SPDX-License-Identifier: Apache-2.0
"""Show what a data set holds and what would happen to each case, and why."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from umed.cli.output import table
from umed.cli.parsing import add_shared
from umed.core.config import Settings
from umed.core.registry import METHODS

if TYPE_CHECKING:
    from umed.plan.facts import CaseFacts, Facts
    from umed.plan.planning import Plan


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set, or a folder or zip of DICOM files")
    add_shared(parser, "--masks", "--json")


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
    rows = [_row(case) for case in facts.cases]
    if facts.layout == "dicom":
        header[1:1], header[-2:-2] = ["modality"], ["syntax", "masks"]
        for case, row in zip(facts.cases, rows, strict=True):
            row[1:1], row[-2:-2] = [case.modality], [case.syntax, case.masks]
    lines = [head, table(header, rows)]
    lines += [f"no case: {path}: {reason}" for path, reason in facts.problems]
    return "\n".join(lines)


def look(source: Path, masks: Path | None = None, *, every: bool = True) -> Facts:
    """Look at a data set of any kind.

    Args:
        source: data set, or a folder or zip of DICOM files.
        masks: for DICOM: folder with masks beside those in it.
        every: read every case, not only as many as a plan needs.

    Returns:
        What was found.

    Raises:
        ConfigError: when masks are given for another kind.
    """
    from umed.data.dicom_input import takes_dicom
    from umed.plan.facts import gather

    if takes_dicom(source, masks):
        from umed.cases.series_facts import inspect as inspect_dicom

        return inspect_dicom(source, masks)
    return gather(source, every=every)


def plan_for(facts: Facts, settings: Settings, generators: Path | None = None) -> Plan:
    """Make the plan that protect would use.

    Args:
        facts: from :func:`look`.
        settings: what the user chose.
        generators: folder or file of trained generators.

    Returns:
        The plan.

    Raises:
        InputError: when there are no generators there.
    """
    if facts.layout == "dicom":
        from umed.cases.series_facts import slice_plan

        plan = slice_plan(facts, settings)
    else:
        from umed.plan.planning import make_plan

        plan = make_plan(facts, settings)
    if generators is None and not METHODS[plan.method].universal:
        return plan  # without torch, which takes seconds to import
    from umed.methods.base import make_method
    from umed.methods.prepare import explain

    return explain(make_method(plan), plan, generators)


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    facts = look(args.input, args.masks)
    print(facts.to_json() if args.json else case_table(facts), end="" if args.json else "\n")
    return 0
