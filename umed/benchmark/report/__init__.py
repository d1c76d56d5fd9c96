# SPDX-License-Identifier: Apache-2.0
"""The benchmark's report: one self-contained page and the same figures as CSV, Markdown and LaTeX; needs no torch."""

from __future__ import annotations

from pathlib import Path

from umed.benchmark.report.benchmark_page import render_benchmark
from umed.benchmark.report.report_folder import FoundResults, read_folder
from umed.benchmark.results.text_tables import csv_table, latex_report, markdown_report
from umed.cases.records import write_text

__all__ = ["FoundResults", "read_folder", "write_benchmark_report", "write_files"]


def write_benchmark_report(folder: Path) -> Path:
    """Write report.html, table.csv, table.md and table.tex beside the cells; the same cells give the same bytes.

    Args:
        folder: ``--out`` of a benchmark; it may be unfinished.

    Returns:
        The page.

    Raises:
        InputError: when there is no cell, or a file cannot be read.
    """
    return write_files(read_folder(Path(folder)))


def write_files(found: FoundResults) -> Path:
    """Write the report of what was read already.

    Args:
        found: content of a benchmark's folder.

    Returns:
        The page.
    """
    contents = {
        "table.csv": csv_table(found.summary),
        "table.md": markdown_report(found.summary, found.title),
        "table.tex": latex_report(found.summary, found.title),
        "report.html": render_benchmark(found),
    }
    for name, content in contents.items():
        write_text(found.folder / name, content)
    return found.folder / "report.html"
