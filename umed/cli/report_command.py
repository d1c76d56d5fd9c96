# SPDX-License-Identifier: Apache-2.0
"""Make report.html, table.csv, table.md and table.tex from what a benchmark has measured so far."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import print_json
from umed.cli.parsing import add_shared


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="--out of umed benchmark; it may be unfinished")
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Write the report and say the bottom line."""
    from umed.benchmark.report import read_folder, write_files
    from umed.benchmark.results.overview import bottom_line
    from umed.benchmark.results.text_tables import record

    found = read_folder(args.folder)
    page = write_files(found)
    summary = found.summary
    if args.json:
        rows = [record(row) for row in summary.rows]
        content = {"report": str(page), "bottom_line": bottom_line(summary), "notes": summary.notes, "rows": rows}
        print_json(content)
    else:
        print("\n".join([*bottom_line(summary), *summary.notes, f"report: {page}"]))
    return 0
