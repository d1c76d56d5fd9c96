# SPDX-License-Identifier: Apache-2.0
"""A bound on the computing time that one file may take, so that no file stalls a run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from umed.core.errors import InputError

_AGAIN = 0.5
"""Seconds after which it is raised once more, where a library swallowed it."""


class _Over(BaseException):
    """The time is over. No ``Exception``: whoever skips values that are broken must not skip this."""


class _State:
    """Whether a limit holds just now; only the main thread touches it."""

    active = False


def _ring(number: int, frame: object) -> None:
    if _State.active:  # one that was on its way when the work was done means nothing
        raise _Over


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Bound the work on one file; a limit within a limit is part of it.

    It ends loops of Python and matching of regular expressions alike. Only the main thread of a POSIX system can do
    this; elsewhere, and where somebody else uses ``SIGVTALRM``, nothing is bounded.

    Args:
        seconds: of the processor's time in this process (user time of all its threads).

    Raises:
        InputError: when they are over. Without the name of the file.
    """
    free = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not free or _State.active or signal.getsignal(signal.SIGVTALRM) not in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _ring)
    try:
        _State.active = True
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)
        yield
    except _Over:
        raise InputError(
            f"expected a file that is read and cleaned within {seconds:g} s of computing time, got one that takes "
            "longer; it is damaged or made to stall: look at it by hand, or leave it out"
        ) from None
    finally:
        _State.active = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
