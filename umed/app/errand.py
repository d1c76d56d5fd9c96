# SPDX-License-Identifier: Apache-2.0
"""Commands of umed, one after the other, each in a process of its own; what they report is kept for whoever asks.

A command that fails, is stopped or is killed takes nothing with it: the page stays, and says what happened.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import umed
from umed.core.progress import EVENTS, START, words

PACKAGES = Path(umed.__file__).resolve().parents[1]
"""Where Python finds umed, also from another working folder."""
PATIENT = 20.0
"""Seconds that a command gets to clean up before it is killed."""
STOPPED = (129, 130, 143)
"""Exit codes of a command that was stopped and has cleaned up."""
End = Literal["done", "failed", "stopped", "killed"]


@dataclass(frozen=True)
class Spell:
    """How one command ended.

    Args:
        name: what it is called among the commands of its errand.
        exit_code: as on the command line; negative where a signal killed it.
        result: its JSON, empty where it printed none.
        said: its last lines on stderr, warnings and errors.
    """

    name: str
    exit_code: int
    result: Mapping[str, Any]
    said: tuple[str, ...] = ()

    @property
    def end(self) -> End:
        """In one word: 0 and 3 are ``"done"``, and so is 1 where there is a result that says why."""
        if self.exit_code in STOPPED:
            return "stopped"
        if self.exit_code < 0 or self.exit_code > 128:
            return "killed"
        return "done" if self.result and "error" not in self.result or self.exit_code == 0 else "failed"

    @property
    def error(self) -> str:
        """Why it did not do what it was asked to, in one line; empty where it did."""
        if self.end == "done":
            return ""
        if self.end == "killed":
            cause = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"
            return f"The process that did the work was ended from outside ({cause}). Nothing is half-written."
        if self.end == "stopped":
            return "Stopped. Nothing is half-written."
        last = self.said[-1].removeprefix("umed: ") if self.said else f"ended with exit code {self.exit_code}"
        return str(self.result.get("error", last))


@dataclass(frozen=True)
class Headway:
    """How far an errand is, for people.

    Args:
        stage: what is being done.
        done: steps done.
        total: steps in all; 0 where nobody knows.
        elapsed: seconds since the errand began.
        left: about how long the stage still takes, in words; empty where nobody knows.
    """

    stage: str
    done: int
    total: int
    elapsed: float
    left: str = ""


class Errand:
    """A few commands, in order; the next one starts only when the one before is done.

    Args:
        name: of the errand, such as ``"run"``.
        commands: name and words of each, without ``umed``.
        folder: private folder for what they print.
        finished: called, in a thread of its own, when all is over.
        program: what is started with the words of a command.
    """

    def __init__(
        self,
        name: str,
        commands: Sequence[tuple[str, Sequence[str]]],
        folder: Path,
        finished: Callable[[Errand], None] = lambda errand: None,
        program: Sequence[str] = (sys.executable, "-m", "umed"),
    ) -> None:
        self.name, self.commands = name, [(key, list(command)) for key, command in commands]
        self.spells: list[Spell] = []
        self.stopping = False
        self._folder, self._finished, self._program = folder, finished, list(program)
        self._lock = threading.Lock()
        self._began = self._ended = time.monotonic()
        self._stage, self._done, self._total, self._stage_began, self._skipped = START, 0, 0, self._began, 0
        self._said: deque[str] = deque(maxlen=40)
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"umed-{name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is not over yet."""
        return not self._over.is_set()

    @property
    def process_id(self) -> int | None:
        """Of the command that runs now."""
        process = self._process
        return None if process is None else process.pid

    @property
    def last_line(self) -> str:
        """What the command said last, for people."""
        return self._said[-1].removeprefix("umed: ") if self._said else ""

    @property
    def last(self) -> Spell | None:
        """How the last command ended, ``None`` before."""
        return self.spells[-1] if self.spells else None

    def result(self, name: str) -> Spell | None:
        """How a command ended, ``None`` where it has not begun or not ended."""
        return next((one for one in self.spells if one.name == name), None)

    def printed(self, name: str) -> Path:
        """File that holds what a command printed."""
        return self._folder / f"{self.name}-{name}.json"

    def wait(self, seconds: float) -> bool:
        """Wait until it is over; whether it is."""
        return self._over.wait(seconds)

    def headway(self) -> Headway:
        """How far it is."""
        with self._lock:
            now = self._ended if self._over.is_set() else time.monotonic()
            fresh, rest = self._done - self._skipped, self._total - self._done
            left = ""
            if fresh > 0 and rest > 0 and now - self._stage_began > 3:
                left = words((now - self._stage_began) / fresh * rest)
            return Headway(self._stage, self._done, self._total, now - self._began, left)

    def stop(self, seconds: float = 0.0) -> None:
        """Ask the command to clean up and end, and start none after it.

        Args:
            seconds: wait that long, then kill it; 0 asks only.
        """
        with self._lock:
            self.stopping = True
            process = self._process
        if process is not None:
            with suppress(OSError):
                process.terminate()
        if seconds and not self._over.wait(seconds):
            with suppress(OSError):
                if process is not None:
                    process.kill()
            self._over.wait(5)

    def _work(self) -> None:
        try:
            for name, command in self.commands:
                spell = self._command(name, command)
                self.spells.append(spell)
                if spell.end in ("stopped", "killed") or self.stopping or (spell.end == "failed" and name != "search"):
                    break
        finally:
            self._ended = time.monotonic()
            self._over.set()
            self._finished(self)

    def _command(self, name: str, command: Sequence[str]) -> Spell:
        """Run one command to its end."""
        target = self.printed(name)
        self._said.clear()
        places = [str(PACKAGES), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        path = os.pathsep.join(os.path.abspath(place) for place in places)
        with self._lock:
            late = self.stopping
            if late:
                return Spell(name, 143, {})
            self._begin(START, 0, 0)
            with open(target, "wb") as out:
                os.chmod(target, 0o600)
                self._process = subprocess.Popen(
                    [*self._program, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.PIPE,
                    env={**os.environ, EVENTS: "json", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path},
                    cwd=self._folder,  # Python looks for modules where it is started: nobody else writes here
                    start_new_session=os.name == "posix",  # Ctrl-C in the terminal is for the server, which stops it
                )
        process = self._process
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._hear(line.decode("utf-8", "replace").rstrip())
        code = process.wait()
        with self._lock:
            self._process = None
            asked = self.stopping
        if asked and code < 0:
            code = 128 - code  # it was asked to end before it could say so itself
        return Spell(name, code, _read_json(target), tuple(self._said))

    def _hear(self, line: str) -> None:
        """Take a line of stderr: a report of progress, or something for people."""
        if line.startswith('{"stage"'):
            with suppress(ValueError, KeyError, TypeError):
                report = json.loads(line)
                stage, done, total = str(report["stage"]), int(report["done"]), int(report["total"])
                with self._lock:
                    if stage != self._stage:
                        self._begin(stage, done, total)
                    self._done, self._total = done, total
                return
        if line:
            self._said.append(line)

    def _begin(self, stage: str, done: int, total: int) -> None:
        self._stage, self._done, self._total = stage, done, total
        self._stage_began, self._skipped = time.monotonic(), done


def _read_json(path: Path) -> dict[str, Any]:
    """What a command printed; empty where that is no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
