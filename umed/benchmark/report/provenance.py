# SPDX-License-Identifier: Apache-2.0
"""Where the figures come from: command, hardware, commits, dates, seeds, versions, time, and the settings in full."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from umed.benchmark.report.report_folder import FoundResults
from umed.benchmark.results.cells import Cell

LONGEST = 6000
"""Characters of the settings of one label that are shown; the cells hold them in full."""


def origin(found: FoundResults) -> list[tuple[str, str]]:
    """Name and value of command, hardware, commits, dates, seeds and versions."""
    cells, grid = found.cells, found.grid
    pairs = [(name, short(str(grid[name]))) for name in ("name", "command", "notes") if grid.get(name)]
    pairs.append(("cells", str(len(cells))))
    pairs.append(("seeds", ", ".join(str(seed) for seed in sorted({cell.spec.seed for cell in cells}))))
    dates = sorted(str(cell.environment["date"]) for cell in cells if cell.environment.get("date"))
    if dates:
        pairs.append(("date", dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"))
    names = dict.fromkeys(name for cell in cells for name in cell.environment if name != "date")
    for name in names:
        values = dict.fromkeys(short(str(cell.environment[name])) for cell in cells if name in cell.environment)
        pairs.append((name, ", ".join(values)))
    return pairs


def time_spent(cells: Sequence[Cell]) -> tuple[str, str] | None:
    """Wall time of all trainings, and the share that is the benchmark's own; ``None`` where it is not known."""
    total = sum(cell.seconds.get("total", 0.0) for cell in cells)
    if not total:
        return None
    parts = {name: sum(cell.seconds.get(name, 0.0) for cell in cells) for name in ("train", "predict", "score")}
    own = total - parts["train"] - parts["predict"]
    hours = f"{total / 3600:.1f} h" if total >= 3600 else f"{total / 60:.1f} min"
    said = ", ".join(f"{name} {100 * value / total:.1f} %" for name, value in parts.items() if value)
    return f"{hours}{f' ({said})' if said else ''}", f"{100 * own / total:.1f} % (all but training and prediction)"


def settings(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """What every label stands for, as JSON: by kind and label."""
    blocks: dict[str, dict[str, Any]] = {"data": {}, "methods": {}, "victims": {}, "countermeasures": {}}
    for cell in cells:
        spec, given = cell.spec, cell.spec.settings
        rest = {key: given[key] for key in given if key not in ("protection", "victim", "countermeasures")}
        blocks["data"].setdefault(spec.data, rest)
        blocks["methods"].setdefault(f"{spec.data}: {spec.method}", given.get("protection"))
        blocks["victims"].setdefault(f"{spec.data}: {spec.victim}", given.get("victim"))
        blocks["countermeasures"].setdefault(spec.countermeasure, given.get("countermeasures"))
    return {kind: {name: _text(value) for name, value in entries.items()} for kind, entries in blocks.items()}


def _text(value: Any) -> str:
    text = json.dumps(_shortened(value), indent=1, sort_keys=True)
    return f"{text[:LONGEST]}\n... cut, see the cells" if len(text) > LONGEST else text


def remarks(cells: Sequence[Cell]) -> list[str]:
    """Notes of the cells, each with how many have it."""
    counts = Counter((cell.spec.data, cell.spec.victim, note) for cell in cells for note in cell.notes)
    return [f"{data}, {victim}: {note} ({number} cells)" for (data, victim, note), number in sorted(counts.items())]


def short(text: str) -> str:
    """Keep the last part of absolute paths: where data lie is nobody's business.

    Example:
        >>> short("umed benchmark grid.yaml --data hip=/home/me/Task04 --out /tmp/x")
        'umed benchmark grid.yaml --data hip=Task04 --out x'
    """
    words = []
    for word in text.split(" "):
        key, equals, value = word.rpartition("=")
        words.append(f"{key}{equals}{Path(value).name}" if Path(value).is_absolute() else word)
    return " ".join(words)


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _shortened(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(one) for one in value]
    return short(value) if isinstance(value, str) else value
