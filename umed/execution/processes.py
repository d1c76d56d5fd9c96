# SPDX-License-Identifier: Apache-2.0
"""Local worker processes. One that dies (killed, out of memory) is replaced, and its task is done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from umed.execution.tasks import TRIES, Board, Done, Task, perform

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, other = context.Pipe()
        with _threads(threads):  # read by numpy and torch when the child imports them
            self.process: SpawnProcess = context.Process(target=_serve, args=(other, threads), daemon=True)
            self.process.start()
        other.close()
        self.task: Task | None = None

    def start(self, task: Task) -> None:
        """Give it something to do."""
        self.task = task
        self.pipe.send(task)

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_on_processes(board: Board, workers: int, threads: int | None = None) -> None:
    """Run everything on a board on local processes, at most one a task.

    ``threads`` are those of each; the cores divided by the workers if ``None``.
    """
    each = threads or max(1, (os.cpu_count() or 1) // workers)
    pool: list[_Worker] = []
    again: list[Task] = []
    lost = _Lost(board, again)
    try:
        while not board.over:
            _hand_out(board, pool, again, min(workers, len(board.tasks)), each, lost)
            busy = [worker for worker in pool if worker.task is not None]
            if not busy:
                break  # everything that was left could not run
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(one for one in busy if one.pipe is ready)
                task, worker.task = worker.task, None
                assert task is not None
                try:
                    done: Done = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    worker.close()
                    pool.remove(worker)
                    lost(task, worker.process.exitcode)
                    continue
                board.finish(done)
    finally:
        for worker in pool:
            worker.close()


class _Lost:
    """What becomes of a task whose worker died: done again, a few times.

    Args:
        board: hears of tasks that are given up.
        again: where tasks go that are done again.
    """

    def __init__(self, board: Board, again: list[Task]) -> None:
        self.board, self.again = board, again
        self.tries: dict[str, int] = {}

    def __call__(self, task: Task, code: int | None) -> None:
        self.tries[task.name] = self.tries.get(task.name, 0) + 1
        if self.tries[task.name] < TRIES:
            self.again.append(task)
            return
        text = f"its worker process died {TRIES} times (exit code {code}). Out of memory? Use fewer workers."
        self.board.finish(Done(task.name, None, text))


def _hand_out(board: Board, pool: list[_Worker], again: list[Task], most: int, threads: int, lost: _Lost) -> None:
    """Give every idle worker something to do, and start workers while there is more to do than hands."""
    while True:
        idle = next((worker for worker in pool if worker.task is None), None)
        if idle is None and len(pool) >= most:
            return
        task = again.pop() if again else board.take()
        if task is None:
            return
        if idle is None:
            idle = _Worker(threads)
            pool.append(idle)
        try:
            idle.start(task)
        except (BrokenPipeError, ConnectionError):  # it died while it was idle, or as soon as it started
            idle.close()
            pool.remove(idle)
            lost(task, idle.process.exitcode)


def _serve(pipe: Connection, threads: int) -> None:
    """What a worker does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    first = True
    while True:
        try:
            task: Any = pipe.recv()  # unpickling imports what the task needs
        except (EOFError, ConnectionError):
            return
        if first and (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(threads)
        first = False
        pipe.send(perform(task))


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    """Environment of a child: how many threads its numerical libraries start."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
