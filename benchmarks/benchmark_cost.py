# SPDX-License-Identifier: Apache-2.0
"""What the benchmark itself costs: the share of a cell's time that is neither training nor prediction of the victim.

umed benchmark cpu --data ... --out DIR
python benchmarks/benchmark_cost.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from umed.benchmark.results.cells import read_cells


def main() -> None:
    """Print the share for each data set, and for cells by whether they had to prepare their cases."""
    cells = [cell for cell in read_cells(Path(sys.argv[1]) / "cells") if "train" in cell.seconds]
    for data in sorted({cell.spec.data for cell in cells}):
        mine = [cell for cell in cells if cell.spec.data == data]
        total = sum(cell.seconds["total"] for cell in mine)
        victim = sum(cell.seconds["train"] + cell.seconds["predict"] for cell in mine)
        scoring = sum(cell.seconds["score"] for cell in mine)
        shares = [1 - (c.seconds["train"] + c.seconds["predict"]) / c.seconds["total"] for c in mine]
        print(
            f"{data}: {len(mine)} cells, {total:.0f} s; besides the victim {1 - victim / total:.1%} "
            f"(median cell {np.median(shares):.1%}, 90th percentile {np.percentile(shares, 90):.1%}), "
            f"of which scoring {scoring / total:.1%}"
        )


if __name__ == "__main__":
    main()
