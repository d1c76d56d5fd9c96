# SPDX-License-Identifier: Apache-2.0
"""What a benchmark left in its folder, and which of it belongs to the present grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from umed.benchmark.results.cells import Cell, json_files, read_cell
from umed.benchmark.results.summary import Summary, summarise
from umed.core.conversion import parse_json
from umed.core.errors import InputError


@dataclass(frozen=True)
class FoundResults:
    """Content of a benchmark's folder.

    Args:
        folder: where it lies.
        cells: trainings of the present grid.
        summary: all figures.
        grid: content of ``grid.json``; empty without.
    """

    folder: Path
    cells: tuple[Cell, ...]
    summary: Summary
    grid: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Heading of tables and page."""
        name = self.grid.get("name")
        return f"Benchmark {name}" if isinstance(name, str) and name else "Benchmark"


def read_folder(folder: Path) -> FoundResults:
    """Read and sum up what ``umed benchmark`` has written so far.

    Args:
        folder: its ``--out``.

    Returns:
        The content. Cells and prices that ``grid.json`` does not name are of earlier settings and left out; those that
        it names but that are not there yet are counted. Both are said in the summary's notes.

    Raises:
        InputError: when there is no cell, or a file cannot be read.
    """
    grid = read_json(folder / "grid.json") if (folder / "grid.json").is_file() else {}
    notes = []
    found, wanted = json_files(folder / "cells"), _names(grid, "cells")
    if wanted:  # others may be of settings, and even of a format, of long ago
        kept = [path for path in found if path.name in wanted]
        notes += _count(len(found) - len(kept), "of earlier settings left out: the present grid does not name {them}")
        notes += _count(len(wanted) - len(kept), "of the grid not there yet: run the same command again")
        found = kept
    cells = [read_cell(path) for path in found]
    if not cells:
        raise InputError(
            f"{folder}: expected cells/*.json of a benchmark, found none{' of its grid' if wanted else ''}. "
            f"Run: umed benchmark GRID.yaml --out {folder}"
        )
    priced = _names(grid, "price")
    prices = [path for path in json_files(folder / "price") if not priced or path.name in priced]
    chosen = [read_json(path) for path in prices]
    axes = [grid[axis] for axis in ("methods", "data") if isinstance(grid.get(axis), (list, dict))]
    summary = summarise(cells, chosen, [str(name) for axis in axes for name in axis])
    return FoundResults(folder, tuple(cells), replace(summary, notes=(*notes, *summary.notes)), grid)


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a mapping.

    Args:
        path: JSON file.

    Returns:
        Its content.

    Raises:
        InputError: when it is none.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}. Delete it and run umed benchmark again.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a mapping, got {type(content).__name__}. Delete it; it is made again.")
    return content


def _names(grid: Mapping[str, Any], key: str) -> set[str]:
    """File names that the grid lists; only a list can be one."""
    names = grid.get(key)
    return {str(name) for name in names} if isinstance(names, list) else set()


def _count(number: int, what: str) -> list[str]:
    if number <= 0:
        return []
    return [f"{number} cell{'s' if number > 1 else ''} {what.format(them='them' if number > 1 else 'it')}."]
