# SPDX-License-Identifier: Apache-2.0
"""Recipients, releases with unlock files, and what must hold after they were unlocked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from umed.cli.main import main
from umed.unlock.age_keys import new_identity, write_identity


class Person(NamedTuple):
    """A recipient: the secret key file, the public key, and a list that holds it alone."""

    key: Path
    public: str
    list: Path


def person(folder: Path, name: str) -> Person:
    """A new recipient."""
    public = write_identity(folder / f"{name}.key", new_identity())
    (folder / f"{name}.txt").write_text(f"# {name}\n{public}\n")
    return Person(folder / f"{name}.key", public, folder / f"{name}.txt")


def protect(root: Path, out: Path, *more: str) -> int:
    """Protect with a method that trains nothing."""
    method = () if "--method" in more else ("--method", "checkerboard")
    return main(["protect", str(root), str(out), *method, "--quiet", *more])


def unlock(out: Path, originals: Path, key: Path, *more: str) -> int:
    """Unlock through the command line."""
    return main(["unlock", str(out), str(originals), "--key", str(key), "--quiet", *more])


def payload_path(out: Path, name: str) -> Path:
    """The unlock file of a published file, by the rule of the documentation."""
    return out / "umed" / "unlock" / f"{hashlib.sha256(name.encode()).hexdigest()}.age"


def files(root: Path) -> dict[str, bytes]:
    """Content of every file, by name, without those of umed."""
    found = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("umed/")}
