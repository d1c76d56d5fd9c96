# SPDX-License-Identifier: Apache-2.0
"""What a run of the DICOM step leaves beside the files so that it can be resumed; none of it names a source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import GENERATORS, PLAN, TARGETS, Record, Store, blank, hash_of, write_json
from umed.core.errors import ConfigError
from umed.core.types import Outcome
from umed.data.files import TEMPORARY, sha256
from umed.deid.identity import Identity
from umed.dicom.objects import Scan, Series

AGAIN = "as in the earlier run"
"""Reason of what a resumed run finds in its records, which hold no reason: it might name somebody."""


@dataclass(frozen=True)
class Kept:
    """What an earlier run says about a series.

    Args:
        outcome: of the series.
        quarantine: name, category and reason of each of its files that is not in the output.
        actions: how often each tag met each action.
    """

    outcome: Outcome
    quarantine: list[tuple[str, str, str]]
    actions: Counter[tuple[str, str]]


class Journal:
    """Records of one output folder.

    Args:
        output: output root.
        identity: names the targets and hides the sources.
        scan: what is released.
    """

    def __init__(self, output: Path, identity: Identity, scan: Scan) -> None:
        self.store, self.identity = Store(output), identity
        self.targets = sorted({identity.target(i).as_posix() for one in scan.series for i in one.instances})

    def start(self, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> str:
        """Open the records.

        Args:
            settings: everything that decides a byte of the output.
            resume: go on with an earlier run, whose settings must be the same.
            overwrite: delete what an earlier run wrote, and only that.

        Returns:
            Hash of the settings.

        Raises:
            ConfigError: when a resumed run had other settings; names what differs.
            InputError: when the folder holds somebody else's files.
        """
        plan, output = self.store.path(PLAN), self.store.output
        wanted = json.loads(json.dumps(dict(settings), sort_keys=True))
        if overwrite and output.is_dir() and not blank(output):
            self.store.clear()
        if resume and plan.is_file():
            before = json.loads(plan.read_text(encoding="utf-8"))
            differing = sorted(key for key in before.keys() | wanted.keys() if before.get(key) != wanted.get(key))
            if differing:
                key = differing[0]
                raise ConfigError(
                    f"--resume: expected the settings of the earlier run, got another {key}: was {before.get(key)!r}, "
                    f"now {wanted.get(key)!r}. Give the same settings, or --overwrite to start again."
                )
            known = set(self.store.targets())
            for name in known - set(self.targets):  # of sources that are no longer there
                (output / name).unlink(missing_ok=True)
            for name in self.targets:
                (output / name).with_name(TEMPORARY + Path(name).name).unlink(missing_ok=True)
            write_json(self.store.path(TARGETS), {"files": self.targets})
        else:
            write_json(self.store.path(TARGETS), {"files": self.targets})
            write_json(plan, wanted)
        return hash_of([json.dumps(wanted, sort_keys=True)])

    def generators(self) -> str:
        """Hash of the generators in the output."""
        folder = self.store.path(GENERATORS)
        found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        return hash_of([sha256(path) for path in found])

    def standing(self, series: Series, run: str) -> Kept | None:
        """What was done to a series, if nothing of it has changed since; ``None`` when it must be done again."""
        try:
            record = self.store.read(series.id)
            if record is None or record.run != run or record.sources["files"] != self._sources(series):
                return None
            names = {self.identity.token(instance.name): instance.name for instance in series.instances}
            quarantine = [(names[token], category, AGAIN) for token, category in record.sources["quarantine"]]
            actions = Counter({(tag, action): count for tag, action, count in record.sources["actions"]})
            outcome = record.to_outcome()
        except (ValueError, KeyError, TypeError):
            return None
        if not record.outputs:
            return None  # failed: try again, it may have been a codec that is there now
        for name, digest in record.outputs.items():
            path = self.store.output / name
            if not path.is_file() or sha256(path) != digest:
                return None
        return Kept(outcome, quarantine, actions)

    def write(
        self,
        series: Series,
        run: str,
        outcome: Outcome,
        quarantine: Sequence[tuple[str, str, str]],
        actions: Counter[tuple[str, str]],
    ) -> None:
        """Keep what was done to a series; reasons stay out, since they may name what must not get out."""
        sources = {
            "files": self._sources(series),
            "quarantine": [[self.identity.token(name), category] for name, category, _ in quarantine],
            "actions": sorted([tag, action, count] for (tag, action), count in actions.items()),
        }
        outputs = outcome.measures.get("sha256", {})
        self.store.write(series.id, Record(asdict(outcome), run, sources, outputs))

    def discard(self, series: Series) -> None:
        """Take back what a failed series has left in the output."""
        for instance in series.instances:
            (self.store.output / self.identity.target(instance)).unlink(missing_ok=True)

    def _sources(self, series: Series) -> list[str]:
        """Fingerprints of the source files: name, size and time of change; the content for members of a zip."""
        return [
            self.identity.token(f"{instance.name} {_state(instance.path, instance.name)}")
            for instance in series.instances
        ]


def _state(path: Path, name: str) -> str:
    if "!" in name:  # unpacked anew in every run
        return sha256(path)
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
