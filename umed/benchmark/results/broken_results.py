# SPDX-License-Identifier: Apache-2.0
"""Results of an earlier run that are not whole: set aside, so that they are made again instead of ending every run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from umed.benchmark.results.cells import read_cell
from umed.core.conversion import parse_json
from umed.core.errors import InputError, error_line
from umed.data.files import set_aside

AGAIN = "It is made again."


def set_broken_aside(
    cells: Iterable[Path] = (), prices: Iterable[Path] = (), archives: Iterable[Path] = ()
) -> list[Path]:
    """Look at results that are there, and rename those that are not whole to ``*.broken``, each with a warning.

    Args:
        cells: JSON files of trainings.
        prices: JSON files of prices.
        archives: weights and pictures, which are zip files.

    Returns:
        The names that are free now.
    """
    looks: tuple[tuple[Iterable[Path], Callable[[Path], object], str], ...] = (
        (cells, read_cell, "a cell"),
        (prices, _read_mapping, "a price"),
        (archives, _read_archive, "weights or pictures"),
    )
    found = []
    for paths, look, what in looks:
        for path in paths:
            if not path.exists():
                continue
            try:
                look(path)
            except (InputError, ValueError) as error:
                why = error_line(error).removeprefix(f"{path}: ").removesuffix(" Delete it; it is redone.")
                set_aside(path, f"{what} of an earlier run", f"something else ({why[:160]})", AGAIN)
                found.append(path)
    return found


def _read_mapping(path: Path) -> None:
    content = parse_json(path.read_bytes()) if path.is_file() else None
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__}")


def _read_archive(path: Path) -> None:
    if path.is_dir() or not zipfile.is_zipfile(path):
        raise ValueError("no whole archive")
