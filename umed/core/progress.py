# SPDX-License-Identifier: Apache-2.0
"""Progress on stderr: a bar where somebody looks at it, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from umed.core.types import Progress


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """Give a progress callback that draws one bar a stage.

    Args:
        quiet: no bar.

    Yields:
        The callback, or ``None`` when there is nobody to look at it.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    bars: dict[str, tqdm[Any]] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            close()
            bars[stage] = tqdm(total=total, desc=stage, file=sys.stderr, leave=True)
        bars[stage].update(done - bars[stage].n)

    def close() -> None:
        for bar in bars.values():
            bar.close()

    try:
        yield report
    finally:
        close()
