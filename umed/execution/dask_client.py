# SPDX-License-Identifier: Apache-2.0
"""An existing Dask cluster: on Slurm through dask-jobqueue, on several GPUs through dask-cuda (docs/cluster.md)."""

from __future__ import annotations

from typing import Any

from umed.core.errors import ConfigError, error_line
from umed.execution.tasks import Board, Done, Task, perform

TIMEOUT = 20
"""Seconds to wait for the scheduler to answer."""


def run_on_dask(board: Board, scheduler: str) -> None:
    """Run everything on a board on the workers of a Dask cluster, which must see the same folders.

    ``scheduler`` is an address such as ``"tcp://127.0.0.1:8786"``. ConfigError when the package is missing or it does
    not answer.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigError(f"scheduler: needs Dask ({error}). Install it: pip install 'umed[dask]'.") from error
    try:
        client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"scheduler: expected a Dask scheduler at {scheduler!r}, got no answer "
            f"({error_line(error)}). Start: dask scheduler."
        ) from error
    with client:
        running: dict[Any, Task] = {}
        finished = as_completed(loop=client.loop)

        def start(task: Task) -> None:
            # Not pure: a task that is done again must really run.
            future = client.submit(perform, task, pure=False, retries=0)
            running[future] = task
            finished.add(future)

        def start_all() -> None:
            while (task := board.take()) is not None:
                start(task)

        start_all()
        while running:
            future = next(finished)
            task = running.pop(future)
            lost = future.exception()
            if lost is None:
                board.finish(future.result())
            else:  # KilledWorker: Dask has tried it again already, see distributed.scheduler.allowed-failures
                text = " ".join(f"{type(lost).__name__}: {lost}".split())
                board.finish(Done(task.name, None, f"its Dask worker failed: {text}. Look at the worker's log."))
            future.release()
            start_all()
