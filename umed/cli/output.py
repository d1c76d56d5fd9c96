# SPDX-License-Identifier: Apache-2.0
"""How results are laid out on stdout."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns with spaces.

    Args:
        header: column names.
        rows: cells, as many a row as there are columns.

    Returns:
        The lines.

    >>> print(table(["case", "dB"], [["a", "48.1"]]))
    case  dB
    a     48.1
    """
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
