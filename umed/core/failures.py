# SPDX-License-Identifier: Apache-2.0
"""What ends a command, in one line for people: what happened, where, and what to do next; never a traceback.

``UMED_DEBUG=1`` in the environment lets the traceback through.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from umed.core.errors import ConfigError, UmedError, error_line

DEBUG = "UMED_DEBUG"
"""Environment variable that asks for tracebacks."""
FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = "the disk is full. Make room, then run it again."
_CURES: dict[int, str] = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the file would be larger than may be written here. Raise the limit, or pick another folder.",
    errno.EACCES: "it may not be read or written. Check its permissions and those of the folders above it.",
    errno.EPERM: "it may not be read or written. Check its owner and permissions, or pick another.",
    errno.EROFS: "it lies on a file system that is read-only. Pick another folder.",
    errno.ENOENT: "there is no such file or folder. Check the path.",
    errno.ENOTDIR: "a file stands where a folder is expected. Pick another folder, or move that file away.",
    errno.EISDIR: "a folder stands where a file is expected. Pick another name, or move that folder away.",
    errno.EEXIST: "something of that name stands in the way. Pick another name, or move it away.",
    errno.ENAMETOOLONG: "the name is too long for this system. Pick a shorter one.",
    errno.EMFILE: "too many files are open. Raise the limit (ulimit -n), or use fewer workers.",
    errno.ENOMEM: "the memory is not enough. Free some, use fewer workers, or a machine with more.",
    errno.EIO: "the disk or its connection fails. Check it, then run it again.",
    errno.ELOOP: "links lead in a circle. Remove them.",
    errno.EXDEV: "it cannot be moved to another file system. Pick a folder on one file system.",
    errno.ENOTSUP: "the file system cannot do this. Pick a folder on another one.",
    errno.ESTALE: "the network's file system lost it. Run it again.",
}
_OF_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")
"""In the text of torch's errors, which have no class of their own on a CPU."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: everything is cleaned up as after Ctrl-C.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Failure(NamedTuple):
    """How a command ends.

    Args:
        message: one line without ``umed:`` before it.
        exit_code: 1 failed, 2 wrong usage, 128 and the number of a signal.
        kind: what it was: ``"UmedError"`` and its subclasses, ``"OSError"``, ``"MemoryError"``, ``"RecursionError"``,
            ``"UsageError"``, ``"Stopped"``, or ``"Bug"``.
    """

    message: str
    exit_code: int = 1
    kind: str = "UmedError"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {"error": self.message, "kind": self.kind, "exit_code": self.exit_code}


def describe(error: BaseException, *, again: str = "") -> Failure:
    """Put what ended a command into one line.

    Args:
        error: of whatever kind.
        again: option with which the same command goes on, such as ``" with --resume"``.

    Returns:
        Message, exit code and kind.

    >>> describe(PermissionError(13, "Permission denied", "out/a.png")).message.split(". ")[0]
    'out/a.png: Permission denied: it may not be read or written'
    """
    if isinstance(error, UmedError):
        return Failure(error_line(error), 2 if isinstance(error, ConfigError) else 1, type(error).__name__)
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Terminated) else signal.SIGINT
        return Failure(
            f"stopped; run the same command again{again} to go on. Nothing is half-written.", 128 + number, "Stopped"
        )
    system = next((one for one in _causes(error) if isinstance(one, OSError) and one.errno is not None), None)
    if system is not None:
        return Failure(system_error(system), 1, "OSError")
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OF_MEMORY):
        return Failure(f"out of memory{_said(error)}. {_sentence(_CURES[errno.ENOMEM])}", 1, "MemoryError")
    if isinstance(error, RecursionError):
        return Failure(
            f"something in the input is nested too deeply{_place(error)}. Run umed inspect on it, and take that file "
            "out.",
            1,
            "RecursionError",
        )
    if isinstance(error, OSError):
        return Failure(f"{error_line(error)}. Check the paths and their permissions.", 1, "OSError")
    text = error_line(error)
    said = type(error).__name__ if text == type(error).__name__ else f"{type(error).__name__}: {text}"
    return Failure(f"{said}{_place(error)}. Report this as a bug; {DEBUG}=1 shows where it comes from.", 1, "Bug")


def system_error(error: OSError) -> str:
    """What the system refused, where, and the next step, in one line."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    where = f"{' -> '.join(names)}: " if names else ""
    said = error.strerror or error_line(error)
    cure = _CURES.get(error.errno or 0, "Check the path and its permissions.")
    return error_line(ValueError(f"{where}{said}{'. ' if cure[0].isupper() else ': '}{cure}"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from: torch hides a full disk behind one of its own."""
    seen: BaseException | None = error
    for _ in range(16):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__
        if seen is not None and not isinstance(error, RuntimeError):
            return  # what was handled on the way is none of its causes


def _said(error: BaseException) -> str:
    text = error_line(error)
    return "" if text == type(error).__name__ else f" ({text[:200]})"


def _place(error: BaseException) -> str:
    import traceback  # takes a tenth of the time that umed --help takes

    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def wants_traceback() -> bool:
    """Whether the environment asks for tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


@contextmanager
def ended_by_signals(names: Sequence[str] = ("SIGTERM", "SIGHUP")) -> Iterator[None]:
    """Let signals that end a process raise :class:`Terminated`, so that temporary folders are removed on the way out.

    Signals that somebody else ignores or handles are left to him; only the main thread can do this.

    Args:
        names: of the signals; those that the system does not have are left out.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in ours if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, _frame: object) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)  # a second one must not stop the cleaning up
        raise Terminated(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
