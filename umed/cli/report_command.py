# SPDX-License-Identifier: Apache-2.0
"""Make report.html, table.csv, table.md and table.tex from what a benchmark has measured so far."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.benchmark.report import read_folder, write_files
from umed.benchmark.results.overview import bottom_line
from umed.benchmark.results.text_tables import record
from umed.cli import parsing


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="--out of umed benchmark; it may be unfinished")
    parsing.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the report and say the bottom line."""
    found = read_folder(args.folder)
    page = write_files(found)
    summary = found.summary
    if args.json:
        rows = [record(row) for row in summary.rows]
        content = {"report": str(page), "bottom_line": bottom_line(summary), "notes": summary.notes, "rows": rows}
        print(json.dumps(content, indent=2))
    else:
        print("\n".join([*bottom_line(summary), *summary.notes, f"report: {page}"]))
    return 0
