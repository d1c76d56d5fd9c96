# SPDX-License-Identifier: Apache-2.0
"""Runs tasks where the user has room: here, on local processes, or on an existing Dask cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from umed.core.errors import ConfigError
from umed.execution.tasks import Board, Done, OnDone, Task, perform


def execute(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    threads: int | None = None,
    on_done: OnDone | None = None,
) -> dict[str, Done]:
    """Run tasks, each after those that it needs. One that fails stops only those that need it.

    A worker that dies is replaced, and what it was doing is done again: at most three times here, as often as
    ``distributed.scheduler.allowed-failures`` says on Dask.

    Args:
        tasks: in the order in which they should start.
        workers: local processes; 1 is this process itself.
        scheduler: address of a Dask scheduler, such as ``"tcp://127.0.0.1:8786"``, instead of local processes.
        threads: of each local process; if ``None``, the cores divided by the workers.
        on_done: called with each outcome, how many there are, and how many there will be.

    Returns:
        What came of each task, in the order given.

    Raises:
        ConfigError: when the tasks or the numbers make no sense, or the scheduler cannot be reached.
    """
    check_execution(workers, scheduler, threads)
    board = Board(tasks, on_done)
    if scheduler is not None:
        from umed.execution.dask_client import run_on_dask

        run_on_dask(board, scheduler)
    elif workers > 1:
        from umed.execution.processes import run_on_processes

        run_on_processes(board, workers, threads)
    else:
        with limited(threads):
            while (task := board.take()) is not None:
                board.finish(perform(task))
    return board.outcomes()


def check_execution(workers: int, scheduler: str | None, threads: int | None) -> None:
    """Refuse numbers that make no sense, before anything is done.

    Args:
        workers: local processes.
        scheduler: address of a Dask scheduler, instead of them.
        threads: of each local process.

    Raises:
        ConfigError: when they make no sense.
    """
    if workers < 1:
        raise ConfigError(f"workers: expected at least 1, got {workers}.")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads: expected at least 1, got {threads}.")
    if scheduler is not None and workers > 1:
        raise ConfigError("workers: a Dask scheduler has its own. Leave --workers out.")


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Let torch use so many threads in this process, if it is imported at all; ``None`` leaves it as it is."""
    torch = sys.modules.get("torch")
    if torch is None or threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
