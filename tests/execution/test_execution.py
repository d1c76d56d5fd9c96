# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import umed
from tests.execution.worker_tasks import crash, die, die_once, exit_at_once, refuse, slowly, threads, write
from umed.core.errors import ConfigError
from umed.core.keyfile import Key
from umed.data.phantom import make_phantom
from umed.execution import Done, Task, execute


def chain(folder: Path) -> list[Task]:
    """Three tasks that need each other, given in the wrong order."""
    return [
        Task("third", write, (folder, "c", "3", "a", "b"), ("first", "second")),
        Task("first", write, (folder, "a", "1")),
        Task("second", write, (folder, "b", "2", "a"), ("first",)),
    ]


def test_tasks_wait_for_what_they_need(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    done = execute(chain(tmp_path), on_done=lambda one, count, total: seen.append((one.name, count, total)))
    assert list(done) == ["third", "first", "second"]
    assert [name for name, _, _ in seen] == ["first", "second", "third"]
    assert [count for _, count, _ in seen] == [1, 2, 3] and {total for _, _, total in seen} == {3}
    assert done["third"].value == "1123" and done["third"].error is None and done["third"].seconds >= 0


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    tasks = [
        Task("bad", refuse),
        Task("after", write, (tmp_path, "x", "x"), ("bad",)),
        Task("later", write, (tmp_path, "y", "y"), ("after",)),
        Task("bug", crash),
        Task("good", write, (tmp_path, "z", "z")),
    ]
    done = execute(tasks)
    assert done["bad"].error == "no such case. Look again."
    assert done["after"].error == "not run, because this failed: bad"
    assert done["later"].error == "not run, because this failed: after"
    assert done["bug"].error is not None and done["bug"].error.startswith("KeyError: 'lost' (worker_tasks.py:")
    assert done["good"].value == "z" and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        ([Task("a", crash), Task("a", crash)], {}, "unique names, got 'a' twice"),
        ([Task("a", crash, (), ("b",))], {}, "a task 'b' that it needs, got none"),
        ([Task("a", crash, (), ("b",)), Task("b", crash, (), ("a",))], {}, "no circle"),
        ([], {"workers": 0}, "workers: expected at least 1"),
        ([], {"threads": 0}, "threads: expected at least 1"),
        ([], {"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "Leave --workers out"),
    ],
)
def test_what_makes_no_sense_is_refused(tasks: list[Task], options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        execute(tasks, **options)  # type: ignore[arg-type]


def test_no_tasks_are_no_work() -> None:
    assert execute([]) == {} and execute([], workers=2) == {}


@pytest.mark.slow
def test_processes_share_the_work_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    tasks = [*chain(tmp_path), Task("phoenix", die_once, (tmp_path, "d")), Task("bad", refuse)]
    tasks.append(Task("last", write, (tmp_path, "e", "!", "d"), ("phoenix",)))
    done = execute(tasks, workers=2)
    assert {name: one.value for name, one in done.items() if one.error is None} == {
        "first": "1",
        "second": "12",
        "third": "1123",
        "phoenix": "again",
        "last": "again!",
    }
    assert done["bad"].error == "no such case. Look again."


@pytest.mark.slow
def test_workers_that_die_at_once_are_given_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umed.execution.processes._serve", exit_at_once)
    large = "x" * 2_000_000  # more than a pipe holds, so sending it fails
    done = execute(
        [Task("one", write, (tmp_path, "one", large)), Task("two", write, (tmp_path, "two", large))], workers=2
    )
    assert all("died 3 times" in (one.error or "") for one in done.values())


def test_a_failure_may_stop_thousands() -> None:
    rest = [Task(str(k), refuse, (), ("first",)) for k in range(3000)]
    done = execute([Task("first", refuse), *rest])
    assert len(done) == 3001 and all("this failed: first" in (done[task.name].error or "") for task in rest)


def test_threads_hold_in_this_process_too() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert execute([Task("one", torch.get_num_threads)], threads=1)["one"].value == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_task_that_always_kills_its_worker_is_given_up(tmp_path: Path) -> None:
    done = execute([Task("mine", die, (tmp_path,)), Task("fine", write, (tmp_path, "a", "1"))], workers=2, threads=1)
    assert (tmp_path / "deaths").read_text() == "xxx" and done["fine"].value == "1"
    assert "its worker process died 3 times (exit code -9)" in str(done["mine"].error)


@pytest.mark.slow
def test_workers_get_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = os.environ.get("OMP_NUM_THREADS")
    done = execute([Task("a", threads), Task("b", threads)], workers=2, threads=1)
    assert [one.value for one in done.values()] == [("1", 1), ("1", 1)]
    assert os.environ.get("OMP_NUM_THREADS") == before


class Cluster:
    """A Dask scheduler and its workers on loopback, as processes of their own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.folder = f"tcp://127.0.0.1:{port}", folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start("dask_scheduler", "--port", str(port))

    def start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        """Start one of its processes."""
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--host", "127.0.0.1", "--no-dashboard", *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}  # where the tasks are imported from
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def have(self, count: int) -> None:
        """Start workers until so many are alive, and wait for them."""
        from distributed import Client

        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < count:
            folder = str(self.folder / f"worker{len(self.workers)}")
            own = ("--no-nanny", "--nthreads", "1", "--local-directory", folder)
            self.workers.append(self.start("dask_worker", self.address, *own))
        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=90)

    def close(self) -> None:
        """End everything at once."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.slow
def test_dask_ends_complete_when_a_worker_is_killed_in_the_middle(tmp_path: Path, cluster: Cluster) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()

    def tasks(folder: Path) -> list[Task]:
        return [*(Task(f"slow{k}", slowly, (folder, f"f{k}")) for k in range(12)), *chain(folder), Task("bad", refuse)]

    cluster.have(2)
    victim = cluster.workers[0]

    def kill(one: Done, count: int, total: int) -> None:
        if count == 3:
            victim.kill()  # without any warning

    done = execute(tasks(there), scheduler=cluster.address, on_done=kill)
    assert victim.wait(timeout=10) == -signal.SIGKILL
    alone = execute(tasks(here))
    assert {name: (one.value, one.error) for name, one in done.items()} == {
        name: (one.value, one.error) for name, one in alone.items()
    }
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (here, there)]
    assert files[0] == files[1] and len(files[0]) == 15


@pytest.mark.slow
def test_protect_on_processes_and_on_dask_writes_the_same_bytes(tmp_path: Path, cluster: Cluster) -> None:
    phantom = make_phantom(tmp_path / "phantom", cases=3, size=(24, 24, 16))
    cluster.have(1)
    outputs = [tmp_path / name for name in ("alone", "processes", "dask")]
    Key.create(tmp_path / "key")
    options = {"method": "random", "report": False, "key_file": tmp_path / "key"}
    umed.protect(phantom, outputs[0], **options)
    umed.protect(phantom, outputs[1], workers=2, **options)
    umed.protect(phantom, outputs[2], scheduler=cluster.address, **options)
    trees = [
        {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in outputs
    ]
    assert trees[0] == trees[1] == trees[2]
    assert umed.verify(phantom, outputs[2], key_file=tmp_path / "key").ok


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("umed.execution.dask_client.TIMEOUT", 1)
    with pytest.raises(ConfigError, match="expected a Dask scheduler at 'tcp://127.0.0.1:9', got no answer"):
        execute([Task("a", crash)], scheduler="tcp://127.0.0.1:9")
