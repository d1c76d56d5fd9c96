# SPDX-License-Identifier: Apache-2.0
"""nnU-Net lives in an environment of its own, named by ``UMED_NNUNET_PYTHON``; umed starts scripts there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

NNUNET_PYTHON = "UMED_NNUNET_PYTHON"
"""Variable with the interpreter of nnU-Net's environment."""
HOW_TO = (
    "Make an environment of its own: python -m venv nnunet; nnunet/bin/pip install 'nnunetv2>=2.8,<3'; "
    f"then set {NNUNET_PYTHON}=nnunet/bin/python"
)


def nnunet_interpreter(given: str | None = None) -> str:
    """The interpreter that is asked for, that of the variable, or the running one."""
    return given or os.environ.get(NNUNET_PYTHON) or sys.executable


@cache
def nnunet_missing(interpreter: str) -> str:
    """Why nnU-Net cannot be imported by an interpreter; ``""`` if it can."""
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('nnunetv2') is None)"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else "no module named nnunetv2"


def nnunet_variables(folders: Mapping[str, str | Path], threads: int) -> dict[str, str]:
    """Environment variables for a process of nnU-Net.

    Args:
        folders: its ``raw``, ``preprocessed`` and ``results``.
        threads: of its libraries.
    """
    given = {**os.environ, **{f"nnUNet_{name}": str(path) for name, path in folders.items()}}
    given |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    given |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    given.pop("PYTHONPATH", None)  # umed's own environment is none of nnU-Net's business
    return given
