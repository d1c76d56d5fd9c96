# SPDX-License-Identifier: Apache-2.0
"""Tasks that depend on each other, and what is known about them while they run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umed.core.errors import ConfigError, UmedError

TRIES = 3
"""How often a task is started whose worker dies."""
OnDone = Callable[["Done", int, int], None]


@dataclass(frozen=True)
class Task:
    """One thing to do. It must be safe to do again: results are files, written whole or not at all.

    Args:
        name: unique.
        function: importable, so that any process can find it.
        arguments: plain records that can be pickled.
        needs: names of tasks that must have ended well before.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """What came of a task.

    Args:
        name: of the task.
        value: what the function returned, ``None`` when it failed.
        error: one line, ``None`` when it ended well.
        seconds: wall time of the function.
    """

    name: str
    value: Any = None
    error: str | None = None
    seconds: float = 0.0


def perform(task: Task) -> Done:
    """Run a task here; an exception becomes its outcome, a message of umed's own as it is."""
    begin = time.perf_counter()
    value = text = None
    try:
        value = task.function(*task.arguments)
    except UmedError as error:
        text = str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        text = " ".join(f"{type(error).__name__}: {error}".split()) + f" ({where}). Report this as a bug."
    return Done(task.name, value, text, time.perf_counter() - begin)


class Board:
    """Which tasks are waiting, ready, and done.

    Args:
        tasks: all of them, in the order in which they should start.
        on_done: called with each outcome, how many there are, and how many there will be.

    Raises:
        ConfigError: when a name occurs twice, a need does not exist, or tasks need each other in a circle.
    """

    def __init__(self, tasks: Sequence[Task], on_done: OnDone | None = None) -> None:
        self.tasks = {task.name: task for task in tasks}
        if len(self.tasks) != len(tasks):
            names = [task.name for task in tasks]
            double = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"tasks: expected unique names, got {double!r} twice.")
        for task in tasks:
            for need in task.needs:
                if need not in self.tasks:
                    raise ConfigError(f"task {task.name}: expected a task {need!r} that it needs, got none.")
        self._check_circles()
        self.waiting = dict(self.tasks)
        self.done: dict[str, Done] = {}
        self.on_done = on_done

    def _check_circles(self) -> None:
        left = {name: set(task.needs) for name, task in self.tasks.items()}
        while left:
            free = [name for name, needs in left.items() if not needs & left.keys()]
            if not free:
                raise ConfigError(f"tasks: expected no circle of needs, got one with {next(iter(left))!r}.")
            for name in free:
                del left[name]

    def take(self) -> Task | None:
        """The first waiting task whose needs are done; tasks that can never run are ended on the way."""
        while (name := self._next()) is not None:
            task = self.waiting.pop(name)
            failed = next((need for need in task.needs if self._failed(need)), None)
            if failed is None:
                return task
            self.finish(Done(name, None, f"not run, because this failed: {failed}"))
        return None

    def _next(self) -> str | None:
        """The first waiting task that can run, or that never will."""
        for name, task in self.waiting.items():
            if any(map(self._failed, task.needs)) or all(need in self.done for need in task.needs):
                return name
        return None

    def _failed(self, name: str) -> bool:
        return name in self.done and self.done[name].error is not None

    def finish(self, done: Done) -> None:
        """Note what came of a task."""
        self.done[done.name] = done
        if self.on_done is not None:
            self.on_done(done, len(self.done), len(self.tasks))

    @property
    def over(self) -> bool:
        """Whether every task is done."""
        return len(self.done) == len(self.tasks)

    def outcomes(self) -> dict[str, Done]:
        """All outcomes, in the order of the tasks."""
        return {name: self.done[name] for name in self.tasks}
