# SPDX-License-Identifier: Apache-2.0
"""Local worker processes. One that dies (killed, out of memory) is replaced, and its task is done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from umed.execution.tasks import TRIES, Board, Done, Task, perform

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

GRACE = 5.0
"""Seconds that a worker at work has to remove what it was writing when all is stopped."""


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
        """End it; one at work has a moment to remove its temporary folders."""
        if self.task is not None:
            self.process.terminate()
            self.process.join(GRACE)
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Pool:
    """Workers that share a board. A task whose worker died is done again, a few times."""

    def __init__(self, board: Board, most: int, threads: int) -> None:
        self.board, self.most, self.threads = board, most, threads
        self.workers: list[_Worker] = []
        self.again: list[Task] = []
        self.tries: Counter[str] = Counter()

    def hand_out(self) -> None:
        """Give every idle worker something to do, and start workers while there is more to do than hands."""
        while True:
            idle = next((worker for worker in self.workers if worker.task is None), None)
            if idle is None and len(self.workers) >= self.most:
                return
            task = self.again.pop() if self.again else self.board.take()
            if task is None:
                return
            if idle is None:
                idle = _Worker(self.threads)
                self.workers.append(idle)
            try:
                idle.start(task)
            except (BrokenPipeError, ConnectionError):  # it died while it was idle, or as soon as it started
                self.lose(idle, task)

    def hear(self, worker: _Worker) -> None:
        """Take what a worker has done, or find out that it died."""
        task, worker.task = worker.task, None
        assert task is not None
        try:
            self.board.finish(worker.pipe.recv())
        except (EOFError, ConnectionError):
            self.lose(worker, task)

    def lose(self, worker: _Worker, task: Task) -> None:
        """Do a task again whose worker died, or give it up."""
        worker.close()
        self.workers.remove(worker)
        self.tries[task.name] += 1
        if self.tries[task.name] < TRIES:
            self.again.append(task)
            return
        code = worker.process.exitcode
        text = f"its worker process died {TRIES} times (exit code {code}). Out of memory? Use fewer workers."
        self.board.finish(Done(task.name, None, text))


def run_on_processes(board: Board, workers: int, threads: int | None = None) -> None:
    """Run everything on a board on local processes, at most one a task.

    ``threads`` are those of each; the cores divided by the workers if ``None``.
    """
    pool = _Pool(board, min(workers, len(board.tasks)), threads or max(1, (os.cpu_count() or 1) // workers))
    try:
        while not board.over:
            pool.hand_out()
            busy = {worker.pipe: worker for worker in pool.workers if worker.task is not None}
            if not busy:
                break  # everything that was left could not run
            for ready in wait(list(busy)):
                pool.hear(busy[ready])  # type: ignore[index]
    finally:
        for worker in pool.workers:
            worker.close()


def _serve(pipe: Connection, threads: int) -> None:
    """What a worker does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    signal.signal(signal.SIGTERM, _leave)
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


def _leave(number: int, _frame: object) -> None:
    """Ends a worker in order; a second signal does not stop the cleaning up."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


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
