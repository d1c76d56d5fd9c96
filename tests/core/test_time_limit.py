# SPDX-License-Identifier: Apache-2.0
"""Loops and regular expressions end when the time of a file is over, and nothing stays behind."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable

import pytest

from umed.core.errors import InputError
from umed.core.time_limit import limited

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")


def loop() -> None:
    while True:
        pass


def matching() -> None:
    re.match(r"(?:[-a ]+)+$", "-" * 62 + "!")


def swallowing() -> None:
    while True:
        try:
            loop()
        except Exception:  # as whoever skips broken values
            pass


def swallowing_all() -> None:
    for _ in range(2):
        try:
            loop()
        except BaseException:
            pass


@pytest.mark.parametrize("work", [loop, matching, swallowing])
def test_what_does_not_end_is_ended(work: Callable[[], None]) -> None:
    began = time.process_time()
    with pytest.raises(InputError, match=r"^expected a file that is read and cleaned within 0.2 s of computing time"):
        with limited(0.2):
            work()
    assert time.process_time() - began < 2
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_it_is_raised_again_where_a_library_swallows_everything() -> None:
    began = time.process_time()
    with limited(0.1):
        swallowing_all()  # which ends at all
    assert time.process_time() - began < 5


def test_a_limit_within_a_limit_is_part_of_it() -> None:
    with pytest.raises(InputError, match="within 0.1 s"), limited(0.1):
        with limited(1000):
            loop()


def test_waiting_takes_no_time_and_other_errors_pass() -> None:
    with limited(0.05):
        time.sleep(0.2)
    with pytest.raises(KeyError), limited(1):
        raise KeyError


def test_other_threads_and_other_users_of_the_signal_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with limited(0.01):
            seen.append(signal.getsignal(signal.SIGVTALRM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
    before = signal.signal(signal.SIGVTALRM, lambda *_: None)
    try:
        with limited(0.01):
            assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    finally:
        signal.signal(signal.SIGVTALRM, before)
