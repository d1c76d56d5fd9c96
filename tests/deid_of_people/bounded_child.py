# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a process of its own and says how much memory it took at most."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

_CODE = """
import resource, sys
from umed.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:  # Linux counts the memory of the process that started this one in ru_maxrss, but not here
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    pass
peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(f"\\nPEAK {peak // 1024}", file=sys.stderr)
sys.exit(code)
"""


class Ended(NamedTuple):
    """How a command ended.

    Args:
        code: exit code.
        out: stdout.
        err: stderr.
        peak: resident memory of the largest of its processes, MiB.
    """

    code: int
    out: str
    err: str
    peak: int


def run(*words: object, **more: str) -> Ended:
    """Run ``umed`` with these words; ``more`` goes into its environment."""
    environment: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *map(str, words)], capture_output=True, text=True, env=environment, timeout=300
    )
    said, _, peak = done.stderr.rpartition("\nPEAK ")
    return Ended(done.returncode, done.stdout, said, int(peak))
