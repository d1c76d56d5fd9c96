# SPDX-License-Identifier: Apache-2.0
"""Commands in processes of their own: what they report, and every way to end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.app.errand import Errand

PYTHON = (sys.executable, "-c")
SAYS = """print('{"stage": "train", "done": 1, "total": 4}', file=sys.stderr, flush=True)"""
SLEEP = f"import sys, time; {SAYS}; time.sleep(60)"
CLEAN = "import signal, sys, time; signal.signal(15, lambda *a: sys.exit(143)); " + SLEEP


def until(true: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def errand(folder: Path, *scripts: str) -> Errand:
    """An errand of small scripts."""
    made = Errand("run", [(str(number), [script]) for number, script in enumerate(scripts)], folder, program=PYTHON)
    made.start()
    return made


def test_a_command_answers_and_the_next_one_follows(tmp_path: Path) -> None:
    done = errand(tmp_path, "print('{\"a\": 1}')", "print('{\"b\": 2}')")
    assert done.wait(30) and not done.running
    assert [dict(one.result) for one in done.spells] == [{"a": 1}, {"b": 2}]
    assert [one.end for one in done.spells] == ["done", "done"] and done.spells[0].error == ""


def test_umed_itself(tmp_path: Path) -> None:
    done = Errand("run", [("info", ["info", "--json"])], tmp_path)
    done.start()
    assert done.wait(60) and done.spells[0].result["umed"]


def test_what_it_prints_is_nobody_elses(tmp_path: Path) -> None:
    errand(tmp_path, "print('{}')").wait(30)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]


def test_a_module_in_the_folder_of_the_user_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, work = tmp_path / "here", tmp_path / "work"
    here.mkdir()
    work.mkdir()
    (here / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(here)
    done = Errand("run", [("info", ["info", "--json"])], work)
    done.start()
    assert done.wait(60) and done.spells[0].exit_code == 0


def test_an_error_stops_the_rest_and_is_told(tmp_path: Path) -> None:
    bad = "import sys; print('umed: a.png: broken.', file=sys.stderr); sys.exit(1)"
    done = errand(tmp_path, bad, "print('{}')")
    assert done.wait(30) and len(done.spells) == 1
    assert (done.spells[0].end, done.spells[0].error) == ("failed", "a.png: broken.")


def test_an_error_as_json(tmp_path: Path) -> None:
    done = errand(tmp_path, 'import sys; print(\'{"error": "no such folder"}\'); sys.exit(1)')
    assert done.wait(30) and (done.spells[0].end, done.spells[0].error) == ("failed", "no such folder")


@pytest.mark.parametrize("text", ["{", "[1]", "", "\\xff"])
def test_an_answer_that_is_none(text: str, tmp_path: Path) -> None:
    done = errand(tmp_path, f"print({text!r})")
    assert done.wait(30) and done.spells[0].result == {}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_command_that_is_killed_from_outside_says_so(tmp_path: Path) -> None:
    now = errand(tmp_path, SLEEP, "print('{}')")
    until(lambda: now.headway().stage == "train")
    far = now.headway()
    assert (far.done, far.total, now.running) == (1, 4, True)
    assert now.process_id is not None
    os.kill(now.process_id, signal.SIGKILL)
    assert now.wait(30) and len(now.spells) == 1
    assert now.spells[0].end == "killed" and "signal 9" in now.spells[0].error


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("script", [CLEAN, SLEEP], ids=["cleans up", "knows no signal"])
def test_a_stop_ends_it_and_starts_nothing_more(script: str, tmp_path: Path) -> None:
    now = errand(tmp_path, script, "print('{}')")
    until(lambda: now.headway().stage == "train")
    now.stop(10)
    assert not now.running and [one.end for one in now.spells] == ["stopped"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_does_not_stop_is_killed(tmp_path: Path) -> None:
    now = errand(tmp_path, "import signal; signal.signal(15, signal.SIG_IGN); " + SLEEP)
    until(lambda: now.headway().stage == "train")
    now.stop(0.5)
    assert not now.running
