# SPDX-License-Identifier: Apache-2.0
"""What the machine gives a run: cores, memory, room on disk, places to write to, and how it writes text."""

from __future__ import annotations

import locale
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "note", "broken"]
LEAST_ROOM, SMALL_ROOM = 200 << 20, 2 << 30
"""Bytes on disk below which a run is likely to fail, and below which it is worth saying so."""
SMALL_MEMORY = 4 << 30
_CGROUP = Path("/sys/fs/cgroup/cpu.max")
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what it is, in a word or two.
        level: ``"ok"``; ``"note"``: umed runs, but something is missing or slow; ``"broken"``: something needed fails.
        said: what was found.
        cure: what to do, in one line; ``""`` where there is nothing to do.
    """

    name: str
    level: Level
    said: str
    cure: str = ""


def check_cores() -> Iterator[Check]:
    """Cores that this process may use, and whether threads or others fight for them."""
    cores = usable_cores()
    yield Check("cores", "ok", f"{cores} of {os.cpu_count()} for umed")
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > cores:
        yield Check(
            "threads", "note", f"OMP_NUM_THREADS={asked}, more than cores", f"Run: export OMP_NUM_THREADS={cores}"
        )
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > 1.5 * (os.cpu_count() or 1):
        said = f"{busy:.1f} programs want {os.cpu_count()} cores"
        yield Check("load", "note", said, "Everything takes longer now; stop what is not needed, or wait.")


def usable_cores() -> int:
    """Cores that the system and, in a container, its limit leave to this process; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP.read_text(encoding="ascii").split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no limit, or a system without such a file
        return cores


def check_memory() -> Iterator[Check]:
    """Memory that is free, where the system says it in a file."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError, IndexError):
        return
    if free < SMALL_MEMORY:
        cure = "Large volumes may not fit: stop other programs, or use a machine with more."
        yield Check("memory", "note", f"{in_words(free)} free", cure)
    else:
        yield Check("memory", "ok", f"{in_words(free)} free")


def check_folder(folder: Path, name: str, *, needed: bool) -> Iterator[Check]:
    """Whether a folder can be written to, keeps things from others, and has room.

    Args:
        folder: to look at; leaves nothing in it.
        name: of the checks.
        needed: whether umed cannot run without it. One that is not there yet is looked at in what it would lie in.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.absolute().parent
    bad: Level = "broken" if needed else "note"
    other = f"Pick another folder, or give it to this user: {folder}"
    try:
        place = Path(tempfile.mkdtemp(prefix=".umed-doctor-", dir=folder))
    except OSError as error:
        yield Check(name, bad, f"{folder}: cannot be written to ({error.strerror})", other)
        return
    try:
        (place / "file").write_bytes(b"umed")
        open_to_others = os.name == "posix" and stat.S_IMODE(place.stat().st_mode) & 0o077
    except OSError as error:
        yield Check(name, bad, f"{folder}: cannot be written to ({error.strerror})", other)
        return
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if open_to_others:
        said = f"{folder}: its file system keeps no permissions, so that others could read keys and originals there"
        yield Check(name, "note", said, "Put the private folder elsewhere: umed protect IN OUT --private DIR")
    free = shutil.disk_usage(folder).free
    if free < SMALL_ROOM:
        level: Level = bad if free < LEAST_ROOM else "note"
        cure = "Make room, or pick another folder; a release needs about the room of its input."
        yield Check(name, level, f"{folder}: {in_words(free)} free", cure)
    elif not open_to_others:
        yield Check(name, "ok", f"{folder}: can be written to, {in_words(free)} free")


def check_temporary() -> Iterator[Check]:
    """The folder for temporary files."""
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        yield Check("temporary", "broken", "no folder for temporary files", "Set TMPDIR to a folder of yours.")
        return
    yield from check_folder(folder, "temporary", needed=True)


def check_locale() -> Iterator[Check]:
    """Whether names and texts outside ASCII can be read and written."""
    names, texts = sys.getfilesystemencoding(), locale.getpreferredencoding(False)
    if {names.lower().replace("-", ""), texts.lower().replace("-", "")} == {"utf8"}:
        yield Check("locale", "ok", "UTF-8")
    else:
        said = f"names of files are {names}, texts {texts}"
        yield Check("locale", "note", said, "Run: export LC_ALL=C.UTF-8 (or PYTHONUTF8=1)")


def in_words(size: int) -> str:
    """A size for people.

    >>> in_words(3 << 30), in_words(150 << 20)
    ('3.0 GB', '150 MB')
    """
    return f"{size / (1 << 30):.1f} GB" if size >= 1 << 30 else f"{size >> 20} MB"
