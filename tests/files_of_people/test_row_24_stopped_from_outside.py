# SPDX-License-Identifier: Apache-2.0
"""Row 24: SIGTERM and SIGHUP, as a scheduler, ``docker stop`` and a closed window send them."""

from __future__ import annotations

import os
import signal
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files_of_people.every_command import Places, call, places
from umed.core.failures import Terminated, ended_by_signals
from umed.core.progress import ProgressLines
from umed.execution.processes import _Worker
from umed.execution.tasks import Task

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
AT_WORK = {
    "protect": "protect",
    "anonymize": "protect",
    "verify": "verify",
    "check-release": "check",
    "train-generator": "train",
}
"""Commands, and the stage in which they are stopped."""


@pytest.fixture(scope="module")
def there() -> Iterator[Places]:
    with places() as made:
        yield made


def stopped_in(stage: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a signal to this very process when a stage has done something, and once more while it cleans up."""
    report = ProgressLines.__call__

    def kill(self: ProgressLines, name: str, done: int, total: int) -> None:
        report(self, name, done, total)
        if name == stage and done >= 1:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(ProgressLines, "__call__", kill)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[pytest.mark.slow] if "train" in name else []) for name in AT_WORK]
)
def test_temporary_folders_are_gone_and_one_line_says_how_to_go_on(
    command: str, number: int, there: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "tmp"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in there.dicom.iterdir():
            file.write(path, path.name)
    words = there._replace(dicom=archive, out=tmp_path / "o").words(command)
    words.remove("--quiet")
    with monkeypatch.context() as patch:
        stopped_in(AT_WORK[command], number, patch)
        said = call(words)
    assert said.code == 128 + number and said.out == ""
    again = " with --resume" if command in ("protect", "anonymize") else ""
    last = f"umed: stopped; run the same command again{again} to go on. Nothing is half-written."
    assert said.err.splitlines()[-1] == last and "Traceback" not in said.err
    assert list(work.glob("umed*")) == [] and not list(tmp_path.rglob(".umed-tmp-*"))
    assert not [path for path in tmp_path.rglob("umed-*") if path.is_dir()]  # what a zip held
    assert signal.getsignal(number) is signal.SIG_DFL
    if command in ("protect", "anonymize", "train-generator"):
        assert call([*words, *(["--resume"] if again else [])]).code in (0, 3)
    if command == "protect":
        for path in (there.protected / "images").iterdir():
            assert (tmp_path / "o" / "images" / path.name).is_file()


def test_signals_that_somebody_else_wants_are_left_to_him() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_at_work_removes_its_temporary_folder(tmp_path: Path) -> None:
    worker = _Worker(1)
    worker.start(Task("sleep", sleep_in_a_folder, (str(tmp_path),)))
    ready = worker.pipe
    while not list(tmp_path.glob("umed-*")):
        assert not ready.poll(0.02)
    worker.close()
    assert list(tmp_path.iterdir()) == [] and worker.process.exitcode == 128 + signal.SIGTERM


def sleep_in_a_folder(parent: str) -> None:
    """A task that holds a temporary folder until it is stopped."""
    import time

    with tempfile.TemporaryDirectory(prefix="umed-", dir=parent):
        time.sleep(60)
