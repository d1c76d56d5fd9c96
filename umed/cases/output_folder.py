# SPDX-License-Identifier: Apache-2.0
"""What lies in an output folder, seen once and without following a link: nothing in it is trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from umed.data import files

ADD_IT = "if it is a text that you laid there, such as a licence, name it with --added"


class OutputFolder:
    """Names of an output folder, and the checksums of its files, each worked out once.

    Args:
        root: output root.

    Attributes:
        files: names of ordinary files, relative to the root.
        folders: names of folders.
        odd: what is neither, by name: links, devices, what cannot be looked at.
        aside: names that were taken out of ``files``, see :meth:`set_aside`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.odd: dict[str, str] = {}
        self.aside: set[str] = set()
        self._digests: dict[str, str] = {}
        self._walk("")

    def _walk(self, below: str) -> None:
        try:
            entries = sorted(os.scandir(self.root / below), key=lambda entry: entry.name)
        except OSError as error:
            self.odd[below or "."] = f"a folder that cannot be read ({error.strerror})"
            return
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                self.files.add(name)
            elif stat.S_ISDIR(mode):
                self.folders.add(name)
                self._walk(name)
            else:
                self.odd[name] = "a link" if stat.S_ISLNK(mode) else "a special file"

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def set_aside(self, names: Iterable[str]) -> None:
        """Leave out files that somebody else answers for: from here on they, and their folders, are not foreign."""
        self.aside.update(names)
        self.files -= self.aside

    def absent(self, name: str) -> str:
        """What is there instead of a file, in words."""
        return next((what for odd, what in self.odd.items() if name == odd or name.startswith(f"{odd}/")), "nothing")

    def sha256(self, name: str) -> str:
        """SHA-256 of one of the files, hexadecimal."""
        if name not in self._digests:
            self._digests[name] = files.sha256(self.root / name)
        return self._digests[name]

    def know(self, name: str, digest: str) -> None:
        """Take over a checksum that a reader has worked out; an empty one is none."""
        if digest:
            self._digests[name] = digest

    def foreign(self, expected: Iterable[str], targets: Iterable[str]) -> list[str]:
        """A sentence for each entry that should not be there.

        Args:
            expected: names of all files that may.
            targets: names of all files that a run may write; of what it put aside, empty folders may stay.
        """
        known = set(expected)
        around = {parent.as_posix() for name in {*known, *targets, *self.aside} for parent in Path(name).parents}
        found = [f"{name}: expected no such file, got one; remove it, or {ADD_IT}" for name in self.files - known]
        found += [f"{name}: expected no such folder, got one; remove it" for name in self.folders - around]
        found += [f"{name}: expected files and folders only, got {what}" for name, what in self.odd.items()]
        return sorted(found)


@dataclass
class CaseFinding:
    """What was found about one case.

    Args:
        status: what the case is, see :class:`umed.core.types.Outcome`, or ``"missing"``.
        reason: why it is not protected.
        failures: a sentence for each broken promise.
        files: what each of its files in the output is, by name, in the words of the public manifest.
        bounds: largest step of each image in stored values.
        label_sha256: of its label; empty where none is released.
    """

    status: str
    reason: str = ""
    failures: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    bounds: set[float] = field(default_factory=set)
    label_sha256: str = ""
