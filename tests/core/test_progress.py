# SPDX-License-Identifier: Apache-2.0
"""Progress without a terminal: a line when a stage begins and ends, one every 30 seconds, and no sleep in the tests."""

from __future__ import annotations

import io
import json

import pytest

from umed.core import progress as module
from umed.core.progress import ProgressEvents, ProgressLines, counted, progress_bar


class Clock:
    """A clock that tests turn."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[ProgressLines, Clock, io.StringIO]:
    stream, clock = io.StringIO(), Clock()
    lines = ProgressLines(stream, clock)
    lines.start()
    return lines, clock, stream


def test_row_27_a_stage_says_that_it_begins_every_30_seconds_how_far_it_is_and_that_it_ends() -> None:
    lines, clock, stream = made()
    clock.now += 3
    lines.tick()
    assert stream.getvalue() == "umed: read the input: begins\n"
    clock.now += 1
    lines("protect", 0, 250)
    for done in range(1, 251):
        clock.now += 1
        lines("protect", done, 250)
    lines.close()
    assert stream.getvalue().splitlines()[1:] == [
        "umed: read the input: done in 4 s",
        "umed: protect: begins, 250 to do",
        *(
            f"umed: protect: {n} of 250, {module.words(n)} elapsed, about {module.words(250 - n)} left"
            for n in range(5, 250, 30)
        ),
        "umed: protect: done, 250 of 250 in 4 min",
    ]


@pytest.mark.parametrize(("pace", "said"), [(1.0, True), (0.05, False)], ids=["minutes", "seconds"])
def test_how_long_a_stage_takes_is_said_early_if_it_takes_long(pace: float, said: bool) -> None:
    lines, clock, stream = made()
    lines("protect", 0, 110)
    for done in range(1, 10):
        clock.now += pace
        lines("protect", done, 110)
    clock.now += 2
    early = "umed: protect: 5 of 110, 5 s elapsed, about 2 min left"
    assert (early in stream.getvalue().splitlines()) is said
    assert stream.getvalue().count("left") == said


def test_row_27_lines_come_also_while_one_long_case_reports_nothing() -> None:
    lines, clock, stream = made()
    lines("protect", 0, 2)
    for _ in range(95):
        clock.now += 1
        lines.tick()
    assert stream.getvalue().splitlines() == [
        "umed: protect: begins, 2 to do",
        "umed: protect: 0 of 2, 30 s elapsed, time left unknown",
        "umed: protect: 0 of 2, 60 s elapsed, time left unknown",
        "umed: protect: 0 of 2, 2 min elapsed, time left unknown",
    ]


def test_row_27_a_total_may_be_unknown_and_a_training_goes_on_where_it_was() -> None:
    lines, clock, stream = made()
    lines("scan", 5, 0)
    clock.now += 31
    lines("scan", 9, 0)
    lines("train", 60, 100)
    clock.now += 30
    lines("train", 70, 100)
    lines.close(broken=True)
    assert stream.getvalue().splitlines() == [
        "umed: scan: begins",
        "umed: scan: 9 done, 31 s elapsed",
        "umed: scan: done, 9 done in 31 s",
        "umed: train: begins, 60 of 100 done",
        "umed: train: 70 of 100, 30 s elapsed, about 2 min left",
        "umed: train: broken off after 30 s, 70 of 100",
    ]


def test_what_ends_in_an_error_at_once_says_nothing_but_the_error() -> None:
    lines, clock, stream = made()
    lines("scan", 0, 3)
    clock.now += 1.5
    lines.close(broken=True)
    assert stream.getvalue() == ""


def test_after_a_stage_it_is_said_that_the_work_goes_on() -> None:
    lines, clock, stream = made()
    list(counted([1, 2], "train", lines))
    clock.now += 31
    lines.tick()
    assert stream.getvalue().splitlines()[-1] == "umed: train: done; what comes next is under way, 31 s so far"


def test_no_control_characters_reach_a_log() -> None:
    lines, clock, stream = made()
    lines("case \x1b[31m\r\x07 a\nb", 0, 2)
    lines.close()
    said = stream.getvalue()
    assert said.count("\n") == 2 and all(one.isprintable() or one == "\n" for one in said)


def test_a_reader_who_has_left_stops_nothing() -> None:
    lines, clock, stream = made()
    stream.close()
    lines("protect", 0, 2)
    clock.now += 40
    lines("protect", 2, 2)
    lines.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_says_nothing_and_a_terminal_has_bars(stream: io.StringIO) -> None:
    with progress_bar(True, stream=stream) as quiet:
        assert quiet is None
    assert stream.getvalue() == ""
    with progress_bar(False, stream=stream) as report:
        assert report is not None
        report("protect", 0, 2)
        report("protect", 2, 2)
    assert ("\r" in stream.getvalue()) is stream.isatty()
    assert "protect" in stream.getvalue()
    if not stream.isatty():
        assert stream.getvalue() == "umed: protect: begins, 2 to do\numed: protect: done, 2 of 2 in 0 s\n"


def test_programs_get_reports_as_json_few_a_second_and_the_first_and_last_of_each_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, clock = io.StringIO(), Clock()
    events = ProgressEvents(stream, clock)
    for done in range(101):
        events("train", done, 100)
        clock.now += 0.01
    events("check\n", 0, 0)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert found[0] == {"stage": "train", "done": 0, "total": 100}
    assert found[-2] == {"stage": "train", "done": 100, "total": 100} and found[-1]["stage"] == "check\n"
    assert 5 <= len(found) <= 9
    monkeypatch.setenv("UMED_PROGRESS", "json")
    with progress_bar(False, stream=stream) as progress:
        assert isinstance(progress, ProgressEvents)
    with progress_bar(True, stream=stream) as progress:
        assert progress is None
