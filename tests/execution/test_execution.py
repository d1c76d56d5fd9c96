# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import umed
from umed.core.errors import ConfigError, InputError
from umed.data.files import atomic
from umed.execution import Done, Task, execute

# What workers do; they import this file by its path, so everything stands at the top level.


def write(folder: Path, name: str, text: str, *needs: str) -> str:
    """Write a file that holds what the needed files hold, and a text."""
    content = "".join((folder / need).read_text() for need in needs) + text
    with atomic(folder / name) as temporary:
        temporary.write_text(content)
    return content


def die_once(folder: Path, name: str) -> str:
    """Kill this very process the first time; the second time do the work."""
    marker = folder / f"{name}.tried"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write(folder, name, "again")


def die(folder: Path) -> None:
    """Kill this process every time."""
    (folder / "deaths").open("a").write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    """An error of umed's own."""
    raise InputError("no such case. Look again.")


def crash() -> None:
    """A bug."""
    raise KeyError("lost")


def slowly(folder: Path, name: str) -> str:
    """Work that takes a while."""
    time.sleep(0.3)
    return write(folder, name, name)


def threads() -> tuple[str | None, int]:
    """What a worker's numerical libraries may use."""
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


def chain(folder: Path) -> list[Task]:
    """Three tasks that need each other, given in the wrong order."""
    return [
        Task("third", write, (folder, "c", "3", "a", "b"), ("first", "second")),
        Task("first", write, (folder, "a", "1")),
        Task("second", write, (folder, "b", "2", "a"), ("first",)),
    ]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes find this file as ``test_execution``."""
    here = Path(__file__).parent
    root = Path(umed.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(root)]))
    monkeypatch.syspath_prepend(str(here))
    for function in (write, die_once, die, refuse, crash, slowly, threads):
        monkeypatch.setattr(function, "__module__", "test_execution")
    __import__("test_execution")
    module = sys.modules["test_execution"]
    for function in (write, die_once, die, refuse, crash, slowly, threads):
        monkeypatch.setattr(module, function.__name__, function)


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
    assert done["bug"].error is not None and done["bug"].error.startswith("KeyError: 'lost' (test_execution.py:")
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
    monkeypatch.setattr("umed.execution.processes._serve", _exit)
    large = "x" * 2_000_000  # more than a pipe holds, so sending it fails
    done = execute(
        [Task("one", write, (tmp_path, "one", large)), Task("two", write, (tmp_path, "two", large))], workers=2
    )
    assert all("died 3 times" in (one.error or "") for one in done.values())


def _exit(pipe: object, threads: int) -> None:
    os._exit(1)


def test_a_failure_may_stop_thousands() -> None:
    rest = [Task(str(k), refuse, (), ("first",)) for k in range(3000)]
    done = execute([Task("first", refuse), *rest])
    assert len(done) == 3001 and all("this failed: first" in (done[task.name].error or "") for task in rest)


def test_threads_hold_in_this_process_too() -> None:
    before = torch.get_num_threads()
    assert execute([Task("one", torch.get_num_threads)], threads=1)["one"].value == 1
    assert torch.get_num_threads() == before


def test_a_task_that_always_kills_its_worker_is_given_up(tmp_path: Path) -> None:
    done = execute([Task("mine", die, (tmp_path,)), Task("fine", write, (tmp_path, "a", "1"))], workers=2, threads=1)
    assert (tmp_path / "deaths").read_text() == "xxx" and done["fine"].value == "1"
    assert "its worker process died 3 times (exit code -9)" in str(done["mine"].error)


@pytest.mark.slow
def test_workers_get_their_threads() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    done = execute([Task("a", threads), Task("b", threads)], workers=2, threads=1)
    assert [one.value for one in done.values()] == [("1", 1), ("1", 1)]
    assert os.environ.get("OMP_NUM_THREADS") == before


class Cluster:
    """A Dask scheduler and two workers on loopback, as processes of their own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
        self.processes = [subprocess.Popen([*command, "--no-dashboard"], **quiet)]  # type: ignore[call-overload]
        for number in range(2):
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, "--no-nanny", "--no-dashboard"]
            worker += ["--nthreads", "1", "--host", "127.0.0.1", "--local-directory", str(folder / f"worker{number}")]
            self.processes.append(subprocess.Popen(worker, **quiet))  # type: ignore[call-overload]

    def wait(self) -> None:
        """Until both workers are there."""
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=90)

    def kill_a_worker(self) -> None:
        """Without any warning."""
        self.processes[1].kill()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path, importable: None) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    made = Cluster(tmp_path)
    try:
        made.wait()
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

    def kill(one: Done, count: int, total: int) -> None:
        if count == 3:
            cluster.kill_a_worker()

    done = execute(tasks(there), scheduler=cluster.address, on_done=kill)
    assert cluster.processes[1].wait(timeout=10) == -signal.SIGKILL
    alone = execute(tasks(here))
    assert {name: (one.value, one.error) for name, one in done.items()} == {
        name: (one.value, one.error) for name, one in alone.items()
    }
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (here, there)]
    assert files[0] == files[1] and len(files[0]) == 15


@pytest.mark.slow
def test_protect_on_processes_and_on_dask_writes_the_same_bytes(
    phantom: Path, tmp_path: Path, cluster: Cluster
) -> None:
    outputs = [tmp_path / name for name in ("alone", "processes", "dask")]
    umed.protect(phantom, outputs[0], method="random", report=False)
    umed.protect(phantom, outputs[1], method="random", report=False, workers=2)
    umed.protect(phantom, outputs[2], method="random", report=False, scheduler=cluster.address)
    trees = [
        {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in outputs
    ]
    assert trees[0] == trees[1] == trees[2]
    assert umed.verify(phantom, outputs[2]).ok


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("umed.execution.dask_client.TIMEOUT", 1)
    with pytest.raises(ConfigError, match="expected a Dask scheduler at 'tcp://127.0.0.1:9', got no answer"):
        execute([Task("a", crash)], scheduler="tcp://127.0.0.1:9")
