# SPDX-License-Identifier: Apache-2.0
"""What a run keeps apart from the images, so that it can be resumed, verified, and overwritten without touching others.

OUTPUT holds only what may be published: the images, and of umed two files in ``umed/``. All else lies in the private
folder beside it, which only its owner may read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umed.core.config import from_mapping
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.core.types import Outcome
from umed.data.files import RECORDS, TEMPORARY, atomic, sha256

PLAN, TARGETS, CASES, GENERATORS, WORK = "plan.json", "targets.json", "cases", "generators", "work"
RECORD, KEY, REPORT, LEFT_OUT = "release.json", "release.key", "report.html", "left_out.json"
LOCK = "lock"
_LONGEST_ID = 200
"""Bytes of a case's id up to which its record is called like it."""
PREVIEW = "preview.html"
"""What ``umed protect --preview`` leaves in a private folder before there is a run; it holds originals."""
AUDIT, QUARANTINE = "report.json", "quarantine.json"
FORECAST = "forecast.json"
COPY = "copy.json"
"""Whose copy a release is, where the owner said so, see :mod:`umed.protect.recipient_label`."""
TRACE, COMMITMENT = "trace.json", "commitment.json"
"""What a trace rests on, and what is published of it, see :mod:`umed.protect.commitment`."""
CARD = "card.json"
"""What ``umed card`` was told, and the SHA-256 of what it wrote."""
CARD_FILES = frozenset({"README.md", "TERMS.md", "croissant.json", ".zenodo.json", "tdmrep.json"})
"""All that it may write into an output."""
CARD_WHAT = "card"
"""What the manifest calls these files."""
UNLOCK, UNLOCK_KEY, RECIPIENTS = "unlock", "unlock.key", "recipients.txt"
"""Folder of unlock files in ``OUTPUT/umed``, and what leads to them in the private folder, see :mod:`umed.unlock`."""
KEPT = (PLAN, LEFT_OUT, REPORT, AUDIT, QUARANTINE, FORECAST, RECIPIENTS, TRACE, COPY, CARD)
"""Files of the private folder whose content the record vouches for, beside the generators."""
MANIFEST, ABOUT = "manifest.json", "about.html"
"""All that lies in ``OUTPUT/umed``."""
THIEF = frozenset({"victim", "verdict", "clean", "protected", "difference", "chance", "left"})
"""What a forecast says of each thief."""
VERDICTS = ("holds", "weakens", "none", "unknown")
"""Of a forecast and of each of its thieves."""
PRIVATE = "-private"
"""Ending of the private folder's name."""


@dataclass(frozen=True)
class Record:
    """What was done to one case; lies in ``cases/<id>.json`` of the private folder.

    Args:
        outcome: as in the manifest.
        run: hash of plan and generators that made it.
        sources: what was read, as its source tells it: of files the SHA-256 of each by name, of a DICOM series
            fingerprints without names.
        outputs: SHA-256 of each file that was written, by name relative to the output.
        twins: digests of what was published of each unit and of its twin, by the name that its code was drawn for.
    """

    outcome: dict[str, Any]
    run: str
    sources: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    twins: dict[str, Any] = field(default_factory=dict)

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


def private_of(output: Path) -> Path:
    """Where the private folder of an output lies, unless the user names another place.

    >>> private_of(Path("data/out")).as_posix()
    'data/out-private'
    """
    whole = output if output.name else output.absolute()
    return whole.with_name(f"{whole.name}{PRIVATE}")


def open_to_others(folder: Path) -> str:
    """Whether others than its owner may look into a private folder.

    Args:
        folder: as it is; what is none is open to nobody.

    Returns:
        The mode, and the command that closes it; ``""`` where it is closed, or the system knows no modes.
    """
    mode = folder.stat().st_mode & 0o777 if os.name == "posix" and folder.is_dir() else 0
    return f"mode {mode:03o}; run: chmod -R go-rwx {shlex.quote(str(folder))}" if mode & 0o077 else ""


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, or close one that is there.

    Raises:
        InputError: when it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder of yours for what must not be published, got none ({error.strerror}). "
            "Pick another with --private."
        ) from error


def close_private(folder: Path) -> None:
    """Take everything in a folder from all but its owner: folders 0700, files 0600."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


class Store:
    """The records of one output folder.

    Args:
        output: output root.
        private: its private folder; beside the output if ``None``.
    """

    def __init__(self, output: Path, private: Path | None = None) -> None:
        self.output = output
        self.folder = private_of(output) if private is None else private

    def path(self, name: str) -> Path:
        """Path of one of the private records."""
        return self.folder / name

    def public(self, name: str) -> Path:
        """Path of one of umed's files in the output."""
        return self.output / RECORDS / name

    def read(self, case_id: str) -> Record | None:
        """Read a case's record.

        Args:
            case_id: case.

        Returns:
            The record, ``None`` where there is none or it is of another kind.
        """
        try:
            content = parse_json(self._case(case_id).read_text(encoding="utf-8"))
            return from_mapping(Record, content, case_id)
        except (OSError, ValueError, ConfigError):
            return None  # the case is simply done again

    def write(self, case_id: str, record: Record) -> None:
        """Write a case's record."""
        write_json(self._case(case_id), dataclasses.asdict(record))

    def _case(self, case_id: str) -> Path:
        """The file of a case's record; ids that hold a long path are cut, since a name has 255 bytes."""
        long = len(os.fsencode(case_id)) > _LONGEST_ID
        own = hashlib.sha256(os.fsencode(case_id)).hexdigest() if long else case_id
        return self.path(CASES) / f"{own}.json"

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
            return tuple((str(one["id"]), str(one["reason"])) for one in parse_json(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: expected the cases left out of training, got: {error!r}. Overwrite it."
            ) from error

    def forecast(self) -> dict[str, Any] | None:
        """What was forecast for this run, see :mod:`umed.benchmark.forecast`; ``None`` where nothing was.

        Raises:
            InputError: when the file is damaged.
        """
        path = self.path(FORECAST)
        if not path.is_file():
            return None
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected a forecast, got: {error}. Give --forecast again.") from error
        return check_forecast(content, str(path))

    def begin(self, names: Iterable[str], key: str) -> None:
        """Keep what a run may write and with which key, before it writes anything.

        Args:
            names: all files outside ``umed/``, relative to the output.
            key: its fingerprint.
        """
        make_private(self.folder)
        write_json(self.path(TARGETS), {"output": str(self.output.absolute()), "key": key, "files": sorted(names)})

    @property
    def begun(self) -> bool:
        """Whether an earlier run has begun here."""
        return self.path(TARGETS).is_file()

    def _targets(self) -> dict[str, Any]:
        try:
            content = parse_json(self.path(TARGETS).read_text(encoding="utf-8"))
            found = {"output": str(content["output"]), "key": str(content["key"])}
            return {**found, "files": [str(name) for name in content["files"]]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path(TARGETS)}: expected the records of an earlier run, got none. "
                "Pick other folders for output and --private."
            ) from error

    @property
    def key_digest(self) -> str:
        """Fingerprint of the key of the earlier run; InputError when there was none."""
        return str(self._targets()["key"])

    def targets(self) -> list[str]:
        """Names, relative to the output, of all files outside ``umed/`` that the earlier run may have written.

        Raises:
            InputError: when there was none, or it was of another output.
        """
        content = self._targets()
        other = Path(content["output"])
        moved = not other.exists() or (self.output.exists() and other.samefile(self.output))
        if other != self.output.absolute() and not moved:
            raise InputError(
                f"{self.folder}: expected the private folder of {self.output}, got that of {other}, which is still "
                "there. Give another --private."
            )
        root, names = self.output.resolve(), list(content["files"])
        for name in names:
            if root not in (root / name).resolve().parents:
                raise InputError(f"{self.path(TARGETS)}: expected names inside the output, got {name!r}.")
        return names

    def card(self) -> dict[str, Any]:
        """What is known of the card of this output: ``settings``, and ``files`` with the SHA-256 of each.

        Returns:
            It; empty where none was written.

        Raises:
            InputError: when the file is damaged.
        """
        path = self.path(CARD)
        if not path.is_file():
            return {}
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            files = {str(name): str(digest) for name, digest in content["files"].items()}
            if not files.keys() <= CARD_FILES:
                raise ValueError(f"files {sorted(files)}")
            without = [str(name) for name in content["without"]]
            return {"settings": dict(content["settings"]), "without": without, "files": files}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: expected the record of a card, got: {error}. Remove it, then write the card again: umed card."
            ) from error

    def clear(self) -> None:
        """Delete what umed wrote, and nothing else; the key stays, since a lost one cannot be made again.

        That of the unlock files goes with the release that it opens: who could open that one cannot open the next.

        Raises:
            InputError: when a written file was changed since, so that it is no longer ours to delete.
        """
        names = self.targets()
        written: dict[str, Any] = {}
        for path in sorted(self.path(CASES).glob("*.json")):
            record = self.read(path.stem)
            written |= record.outputs if record is not None else {}
        for name in names:
            path = self.output / name
            if name in written and path.is_file() and sha256(path) != written[name]:
                raise InputError(f"{path}: expected the file that umed wrote, got a changed one. Move it away first.")
        card = self.card().get("files", {})
        for name, digest in card.items():
            path = self.output / name
            if path.is_file() and sha256(path) != digest:
                raise InputError(f"{path}: expected the card that umed wrote, got a changed one. Move it away first.")
        names += list(card)
        public = [self.public(name) for name in (MANIFEST, ABOUT, COMMITMENT)]
        private = [self.path(name) for name in (TARGETS, RECORD, PREVIEW, UNLOCK_KEY, *KEPT)]
        for path in (*(self.output / name for name in names), *public, *private):
            for one in (path, path.with_name(TEMPORARY + path.name)):
                if one.is_file() or one.is_symlink():
                    one.unlink()
        for name in (CASES, GENERATORS, WORK):
            if self.path(name).is_dir() and not self.path(name).is_symlink():
                shutil.rmtree(self.path(name))
        folders = {parent for name in [*names, f"{RECORDS}/{ABOUT}"] for parent in (self.output / name).parents}
        for folder in sorted(folders, reverse=True):
            if self.output in folder.parents and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def check_forecast(content: Any, where: str) -> dict[str, Any]:
    """Make sure that this is what ``umed.forecast(...).to_dict()`` gives, as far as summary and report read it.

    Args:
        content: to check.
        where: it comes from, for the error.

    Raises:
        InputError: when it is something else.
    """
    good = isinstance(content, Mapping) and content.get("verdict") in VERDICTS
    good = good and isinstance(content.get("sentence"), str)
    thieves = content.get("thieves") if good else None
    if not isinstance(thieves, list) or not thieves or not all(_is_thief(one) for one in thieves):
        raise InputError(
            f"{where}: expected what Forecast.to_dict() gives, got something else. Make the forecast again."
        )
    return dict(content)


def _is_thief(one: Any) -> bool:
    """Whether all that the report prints of a thief is there: a figure is a number, or None where it is not known."""
    if not isinstance(one, Mapping) or not THIEF <= one.keys() or one["verdict"] not in VERDICTS:
        return False
    parts = [one[name] for name in ("clean", "protected", "difference", "left")]
    if not all(isinstance(part, Mapping) for part in parts) or not isinstance(one["victim"], str):
        return False
    figures = [one["chance"], *(part.get(name, "") for part in parts for name in ("mean", "low", "high"))]
    return all(value is None or is_figure(value) for value in figures)


def is_figure(value: object) -> bool:
    """Whether a value of a file can be printed as a figure: neither NaN nor a number of 400 digits."""
    return isinstance(value, (int, float)) and -1e9 < value < 1e9


def blank(folder: Path) -> bool:
    """Whether a folder holds no file but half-written ones, so that a run starts afresh in it."""
    return all(path.is_dir() or path.name.startswith(TEMPORARY) for path in folder.rglob("*"))  # none: true


def hash_of(parts: Iterable[str]) -> str:
    """Hash of several texts, 16 hex digits."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
