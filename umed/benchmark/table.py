# SPDX-License-Identifier: Apache-2.0
"""Tables of a benchmark, in Markdown, and the lines that say where and how they were made."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from umed.benchmark.study import CLEAN, CellResult


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation over seeds, in percent.

    Args:
        values: DSC in [0, 1], one a seed.
        digits: after the point.

    Returns:
        Text such as ``"81.2 +- 0.4"``; without a deviation for a single seed, ``"-"`` for none.

    Example:
        >>> spread([0.80, 0.82]), spread([0.5]), spread([])
        ('81.0 ± 1.4', '50.0', '-')
    """
    if not values:
        return "-"
    percent = 100 * np.asarray(values, dtype=np.float64)
    if len(values) == 1:
        return f"{percent[0]:.{digits}f}"
    return f"{percent.mean():.{digits}f} ± {percent.std(ddof=1):.{digits}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a Markdown table.

    Args:
        header: column names.
        rows: cells.

    Returns:
        The lines.

    Example:
        >>> print(markdown(["a", "b"], [["1", "2"]]))
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results_table(
    cells: Sequence[CellResult],
    fidelity: Mapping[tuple[str, str], Mapping[str, float]],
    names: Sequence[str] = (),
) -> str:
    """Draw one row for each data set, victim, method and countermeasure, averaged over the seeds.

    Args:
        cells: all figures.
        fidelity: ``psnr``, ``psnr_roi``, ``roi_share`` of each (data set, method).
        names: class names for the heading, where all data sets share them.

    Returns:
        Markdown; DSC in percent on clean test cases.
    """
    groups: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for cell in cells:
        groups.setdefault((cell.data, cell.victim, cell.method, cell.countermeasure), []).append(cell)
    header = [
        "data",
        "victim",
        "method",
        "thief's step",
        "DSC last",
        "DSC best on clean val.",
        "DSC of each class, last",
    ]
    header += ["PSNR dB", "PSNR in support dB", "support %", "loss flat", "seeds"]
    rows = []
    for (data, victim, method, countermeasure), group in groups.items():
        measures = fidelity.get((data, method), {})
        classes = range(len(group[0].last))
        each = [f"{100 * float(np.nanmean([cell.last[k] for cell in group])):.1f}" for k in classes]
        labels = [f"{name} {score}" for name, score in zip(names, each, strict=True)] if names else each
        rows.append(
            [
                data,
                victim,
                method,
                countermeasure,
                spread([float(np.nanmean(cell.last)) for cell in group]),
                spread([float(np.nanmean(cell.best)) for cell in group]),
                " / ".join(labels),
                _figure(measures, "psnr"),
                _figure(measures, "psnr_roi"),
                "-" if method == CLEAN else _figure(measures, "roi_share", 100),
                f"{sum(cell.flat for cell in group)}/{len(group)}",
                str(len(group)),
            ]
        )
    return markdown(header, rows)


def _figure(measures: Mapping[str, float], name: str, factor: float = 1.0) -> str:
    return f"{factor * measures[name]:.2f}" if name in measures else "-"


def provenance(arguments: Sequence[str] | None = None) -> str:
    """Say when, where and from what a table was made.

    Args:
        arguments: the command line, ``None`` for the process's own.

    Returns:
        Lines of text: command, date, hardware, commit, versions. Folders of the command line are cut to their names.
    """
    import monai
    import torch

    words = list(sys.argv if arguments is None else arguments)
    command = " ".join(_short(word) for word in words)
    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return "\n".join(
        [
            f"command: python {command}",
            f"date: {datetime.datetime.now(tz=datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
            f"hardware: {chip}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s) used",
            f"commit: {commit()}",
            f"versions: python {platform.python_version()}, torch {torch.__version__}, monai {monai.__version__}",
        ]
    )


def _short(word: str) -> str:
    """Keep the last part of an absolute path: where data lie is nobody's business."""
    key, equals, value = word.rpartition("=")
    return f"{key}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Hash of the commit that this code lies in, with ``+`` when there are changes, ``"unknown"`` outside git."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{found}{'+' if changed else ''}"
