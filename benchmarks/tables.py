# SPDX-License-Identifier: Apache-2.0
"""What the scripts here print: a Markdown table, and where and from what it was made."""

from __future__ import annotations

from collections.abc import Sequence

from umed.benchmark.environment import environment


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a Markdown table.

    Args:
        header: column names.
        rows: cells.

    Returns:
        The lines.
    """
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def provenance() -> str:
    """Date, hardware, versions and commit, in a line."""
    found = environment()
    return (
        f"{found['date']} UTC, {found['hardware']}, {found['cores']} cores, {found['threads']} threads, "
        f"torch {found['torch']}, umed {found['umed']}, commit {found['commit']}"
    )
