# SPDX-License-Identifier: Apache-2.0
"""What a run leaves beside the images so that it can be resumed, and overwritten without touching others' files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umed.core.config import from_mapping
from umed.core.errors import ConfigError, InputError
from umed.core.types import Outcome
from umed.data.files import RECORDS, TEMPORARY, atomic, sha256

PLAN, TARGETS, CASES, GENERATORS, WORK = "plan.json", "targets.json", "cases", "generators", "work"
MANIFEST, REPORT, LEFT_OUT = "manifest.json", "report.html", "left_out.json"


@dataclass(frozen=True)
class Record:
    """What was done to one case; lies in ``umed/cases/<id>.json``.

    Args:
        outcome: as in the manifest.
        run: hash of plan and generators that made it.
        sources: what was read, as its source tells it: of files the SHA-256 of each by name, of a DICOM series
            fingerprints without names.
        outputs: SHA-256 of each file that was written, by name relative to the output.
    """

    outcome: dict[str, Any]
    run: str
    sources: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def to_outcome(self) -> Outcome:
        """The outcome as an object."""
        return Outcome(**self.outcome)


def match(expected: Mapping[str, Any], root: Path) -> bool:
    """Whether files are there and have the checksums that are expected, by name."""
    return all((root / name).is_file() and sha256(root / name) == digest for name, digest in expected.items())


def write_json(path: Path, content: Any) -> None:
    """Write canonical JSON atomically.

    Args:
        path: file.
        content: plain data.
    """
    write_text(path, json.dumps(content, sort_keys=True, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically, the same bytes on every system.

    Args:
        path: file.
        text: content.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode())


class Store:
    """The records of one output folder.

    Args:
        output: output root.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / RECORDS

    def path(self, name: str) -> Path:
        """Path of one of the records."""
        return self.folder / name

    def read(self, case_id: str) -> Record | None:
        """Read a case's record.

        Args:
            case_id: case.

        Returns:
            The record, ``None`` where there is none or it is of another kind.
        """
        try:
            content = json.loads((self.folder / CASES / f"{case_id}.json").read_text(encoding="utf-8"))
            return from_mapping(Record, content, case_id)
        except (OSError, ValueError, ConfigError):
            return None  # the case is simply done again

    def write(self, case_id: str, record: Record) -> None:
        """Write a case's record."""
        write_json(self.folder / CASES / f"{case_id}.json", dataclasses.asdict(record))

    def write_left_out(self, cases: Iterable[tuple[str, str]]) -> None:
        """Keep which cases the training had to do without; an empty list replaces that of a stopped training.

        Args:
            cases: case id and reason, without paths.
        """
        write_json(self.path(LEFT_OUT), [{"id": case, "reason": reason} for case, reason in cases])

    def left_out(self) -> tuple[tuple[str, str], ...]:
        """The cases that the training of the kept generators had to do without; none where nothing was trained.

        Raises:
            InputError: when the file is damaged.
        """
        path = self.path(LEFT_OUT)
        if not path.is_file():
            return ()
        try:
            return tuple((str(one["id"]), str(one["reason"])) for one in json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: expected the cases left out of training, got: {error!r}. Overwrite it."
            ) from error

    def targets(self) -> list[str]:
        """Names, relative to the output, of all files outside ``umed/`` that the earlier run may have written.

        Raises:
            InputError: when the folder was not written by umed.
        """
        try:
            content = json.loads(self.path(TARGETS).read_text(encoding="utf-8"))
            names = [str(name) for name in content["files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.output}: expected the records of an earlier run in {RECORDS}/{TARGETS}, got none. "
                "Pick another output folder."
            ) from error
        root = self.output.resolve()
        for name in names:
            if root not in (root / name).resolve().parents:
                raise InputError(f"{self.path(TARGETS)}: expected names inside the output, got {name!r}.")
        return names

    def clear(self) -> None:
        """Delete what umed wrote, and nothing else.

        Raises:
            InputError: when a written file was changed since, so that it is no longer ours to delete.
        """
        names = self.targets()
        written: dict[str, Any] = {}
        for path in sorted((self.folder / CASES).glob("*.json")):
            record = self.read(path.stem)
            written |= record.outputs if record is not None else {}
        for name in names:
            path = self.output / name
            if name in written and path.is_file() and sha256(path) != written[name]:
                raise InputError(f"{path}: expected the file that umed wrote, got a changed one. Move it away first.")
        for name in names:
            for path in (self.output / name, (self.output / name).with_name(TEMPORARY + Path(name).name)):
                if path.is_file() or path.is_symlink():
                    path.unlink()
        for name in (PLAN, TARGETS, MANIFEST, REPORT, LEFT_OUT):
            for path in (self.path(name), self.path(TEMPORARY + name)):
                path.unlink(missing_ok=True)
        for name in (CASES, GENERATORS, WORK):
            if self.path(name).is_dir() and not self.path(name).is_symlink():
                shutil.rmtree(self.path(name))
        for folder in sorted({parent for name in names for parent in (self.output / name).parents}, reverse=True):
            if self.output in folder.parents and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def blank(output: Path) -> bool:
    """Whether a folder holds no file but half-written records, so that a run starts afresh in it."""
    return all(path.is_dir() or path.name.startswith(TEMPORARY) for path in output.rglob("*"))  # none: true


def hash_of(parts: Iterable[str]) -> str:
    """Hash of several texts, 16 hex digits."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
