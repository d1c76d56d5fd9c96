# SPDX-License-Identifier: Apache-2.0
"""What workers do in the tests. They import this file, so it imports little."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from umed.core.errors import InputError
from umed.data.files import atomic


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


def exit_at_once(pipe: object, threads: int) -> None:
    """End this process before it does anything."""
    os._exit(1)
