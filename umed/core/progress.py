# SPDX-License-Identifier: Apache-2.0
"""Progress on stderr: a bar where somebody looks at it; elsewhere a line when a stage begins and ends, and every 30 s.

A stage that will take a while says so early, as soon as its first seconds let it be told.

A line never holds control characters, so that it reads the same in a file, a journal or the log of a scheduler.
Programs that draw progress themselves set ``UMED_PROGRESS=json`` and get each report as a line of JSON.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO, TypeVar

from umed.core.types import Progress

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
EVERY = 30.0
"""Seconds between two lines of a stage that goes on."""
EARLY, LONG = 5.0, 10.0
"""Seconds after which a stage says for the first time how long it will take, if more than so many are left."""
PATIENCE = 2.0
"""Seconds before anything is said: what is refused at once is refused in one line."""
EVENTS = "UMED_PROGRESS"
"""Environment variable; ``json`` asks for :class:`ProgressEvents`."""
START = "read the input"
"""Stage before the first one that is reported: libraries are imported, folders are listed."""


def words(seconds: float) -> str:
    """A duration for people.

    >>> words(40), words(600), words(8000), words(float("nan"))
    ('40 s', '10 min', '2 h 13 min', 'unknown')
    """
    if seconds != seconds:
        return "unknown"
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{minutes} min"
        if minutes < 90
        else f"{minutes // 60} h {minutes % 60} min"
    )


class Countable(Sized, Iterable[T_co], Protocol[T_co]):
    """What can be gone through and has a length."""


def counted(items: Countable[T], stage: str, progress: Progress | None) -> Iterator[T]:
    """Go through items, and report each when the next one is asked for.

    Args:
        items: what there is to do.
        stage: name of the stage.
        progress: called with it, how many are done and how many there are; before the first one, too.
    """
    if progress is not None:
        progress(stage, 0, len(items))
    for done, item in enumerate(items, 1):
        yield item
        if progress is not None:
            progress(stage, done, len(items))


class ProgressLines:
    """Says how far a run is, one line at a time.

    Args:
        stream: where to.
        clock: seconds that never go back.
        every: seconds between two lines of a stage.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, every: float = EVERY) -> None:
        self.stream, self.clock, self.every = stream, clock, every
        self._lock = threading.RLock()  # the one who reports and the one who ticks
        self._stage, self._done, self._total, self._over = START, 0, 0, True
        self._began = self._ended = self._last = clock()
        self._started, self._held = clock(), list[str]()
        self._skipped, self._waits, self._told = 0, False, False

    def start(self) -> None:
        """Begin with :data:`START`, of which nothing is said before it has taken :data:`PATIENCE`."""
        with self._lock:
            self._stage, self._done, self._total, self._over = START, 0, 0, False
            self._began, self._waits = self.clock(), True

    def begin(self, stage: str, done: int, total: int) -> None:
        """Say that a stage begins.

        Args:
            stage: its name.
            done: what is done of it already, such as the iterations of a training that goes on.
            total: what there is to do; 0 where nobody knows.
        """
        with self._lock:
            self._waits = False
            self._stage, self._done, self._total, self._over = stage, done, total, False
            self._began, self._skipped, self._told = self.clock(), done, False
            much = "begins" if not total else f"begins, {done} of {total} done" if done else f"begins, {total} to do"
            self._say(much)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take a report; what it says is printed when it is time."""
        stage = " ".join(stage.split())
        with self._lock:
            if stage != self._stage:
                self.end()
                self.begin(stage, done if 1 < done < total else 0, total)  # one alone has just been done
            elif self._over:
                if 0 < self._total == total and done >= total:
                    return  # said already
                self.begin(stage, done, total)
            self._done, self._total = done, total
            if 0 < total <= done:
                self.end()
            else:
                self.tick()

    def tick(self) -> None:
        """Say what was held back, and how far the stage is, if that was not said for a while."""
        with self._lock:
            if self.clock() - self._started >= PATIENCE:
                self._flush()
            if self._over:
                if self.clock() - self._last >= self.every:  # a training is scored, files are closed
                    self._say(f"done; what comes next is under way, {words(self.clock() - self._ended)} so far")
                return
            if self._waits:
                if self.clock() - self._began >= PATIENCE:
                    self._waits = False
                    self._say("begins")
            elif self.clock() - self._last >= self.every or self._is_news():
                self._told = True
                self._say(f"{self._far()}, {words(self.clock() - self._began)} elapsed{self._left()}")

    def close(self, broken: bool = False) -> None:
        """Say that the run is over.

        Args:
            broken: it was stopped, or failed; what was held back until then is not said at all.
        """
        with self._lock:
            if broken and self._held:
                self._held, self._over = [], True
            self.end(broken)
            self._flush()

    def end(self, broken: bool = False) -> None:
        """Say that the stage is over.

        Args:
            broken: it was stopped, or failed.
        """
        with self._lock:
            if self._over or self._waits:
                self._over = True
                return
            self._over, self._ended = True, self.clock()
            took = words(self.clock() - self._began)
            if broken:
                self._say(f"broken off after {took}" + (f", {self._far()}" if self._done or self._total else ""))
            else:
                self._say(f"done, {self._far()} in {took}" if self._done or self._total else f"done in {took}")

    def _far(self) -> str:
        if self._total:
            return f"{self._done} of {self._total}"
        return f"{self._done} done" if self._done else "under way"

    def _is_news(self) -> bool:
        """Whether it can be told now for the first time that the stage will take a while."""
        return not self._told and self.clock() - self._began >= EARLY and self._seconds_left() > LONG

    def _seconds_left(self) -> float:
        """How long the rest takes, at the pace so far; NaN where nobody can know."""
        fresh, rest = self._done - self._skipped, self._total - self._done
        return (self.clock() - self._began) / fresh * rest if fresh > 0 and rest > 0 else math.nan

    def _left(self) -> str:
        left = self._seconds_left()
        if math.isnan(left):
            return "" if not self._total else ", time left unknown"
        return f", about {words(left)} left"

    def _say(self, what: str) -> None:
        self._last = self.clock()
        text = f"umed: {self._stage}: {what}"
        self._held.append("".join(one if one.isprintable() else "?" for one in text))
        if self._last - self._started >= PATIENCE:
            self._flush()

    def _flush(self) -> None:
        lines, self._held = self._held, []
        for line in lines:
            with suppress(OSError, ValueError):  # closed, or nobody listens: the work goes on
                print(line, file=self.stream, flush=True)


class ProgressEvents:
    """Writes reports as JSON, ``{"stage": ..., "done": ..., "total": ...}``, one a line and five a second at most.

    Args:
        stream: where to.
        clock: seconds that never go back.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self._stage, self._last = "", 0.0
        self._lock = threading.Lock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write a report; the first and the last one of a stage always."""
        with self._lock:
            now = self.clock()
            if stage == self._stage and now - self._last < 0.2 and done < total:
                return
            self._stage, self._last = stage, now
            with suppress(OSError, ValueError):  # nobody listens any more: the work goes on
                print(json.dumps({"stage": stage, "done": done, "total": total}), file=self.stream, flush=True)


@contextmanager
def _ticking(lines: ProgressLines, wake: float) -> Iterator[None]:
    """Let lines come also while nothing is reported: one case may take minutes."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(wake):
            lines.tick()

    thread = threading.Thread(target=watch, name="umed-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def progress_bar(quiet: bool, *, stream: TextIO | None = None, every: float = EVERY) -> Iterator[Progress | None]:
    """Give a progress callback that draws one bar a stage, or prints lines where there is no terminal.

    With ``UMED_PROGRESS=json`` in the environment it prints JSON instead, wherever stderr leads.

    Args:
        quiet: neither.
        stream: ``sys.stderr`` if ``None``.
        every: seconds between two lines of a stage that goes on.

    Yields:
        The callback, ``None`` where nothing is to be said.
    """
    stream = sys.stderr if stream is None else stream
    if quiet or stream is None:
        yield None
        return
    if os.environ.get(EVENTS) == "json":
        yield ProgressEvents(stream)
        return
    if not stream.isatty():
        lines = ProgressLines(stream, every=every)
        lines.start()
        with _ticking(lines, 1.0):
            try:
                yield lines
            except BaseException:
                lines.close(broken=True)
                raise
            lines.close()
        return
    from tqdm import tqdm

    bars: dict[str, tqdm[Any]] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            close()
            bars[stage] = tqdm(total=total or None, desc=stage, file=stream, leave=True)
        bars[stage].update(done - bars[stage].n)

    def close() -> None:
        for bar in bars.values():
            bar.close()

    try:
        yield report
    finally:
        close()
