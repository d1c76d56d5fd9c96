# SPDX-License-Identifier: Apache-2.0
"""Where, when and from what a figure was made; no paths, no names of people or machines."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from umed.core.version import __version__


def environment() -> dict[str, Any]:
    """Versions, hardware, commit and date, for a record.

    Returns:
        ``umed``, ``python``, ``torch``, ``monai``, ``hardware``, ``cores``, ``threads``, ``commit``, ``date`` (UTC).
    """
    import torch

    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {
        "umed": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": metadata.version("monai"),
        "hardware": chip,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "date": f"{datetime.datetime.now(tz=datetime.timezone.utc):%Y-%m-%d %H:%M}",
    }


@cache
def processor() -> str:
    """Name of the CPU."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def commit() -> str:
    """Hash of the commit that this code lies in, with ``+`` when there are changes, ``"unknown"`` outside git."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
