# SPDX-License-Identifier: Apache-2.0
"""Gathers the cases and problems of one data set and keeps their ids, outputs and paths safe."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from umed.core.errors import InputError
from umed.core.types import Case, Dataset
from umed.data import files, formats, raster
from umed.data.declared import declared_channels, declared_rules

LICENCES = re.compile(r"(licen[cs]e|copying)", re.IGNORECASE)
"""Files at the root that are carried over: the licence of the data must go with them."""
SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
"""Names, in lower case, of what systems lay beside data; like hidden files, they are never looked into."""
MOST_BYTES = 160
"""Longest name of a case, which is that of its record, too."""
CHOOSE = "say which is meant with --layout map.yaml (umed inspect INPUT --suggest drafts one)"


def system_name(name: str) -> bool:
    """Whether a file or folder is hidden or laid there by a system (``._*``, ``__MACOSX``, ``Thumbs.db``)."""
    return name.startswith(".") or name.lower() in SYSTEM


class FolderTree:
    """Files and folders below a root, seen once; links to folders are followed where they stay in it.

    Args:
        root: the folder.

    Attributes:
        files: names relative to the root, with ``/``, sorted; none that is hidden or of a system.
        folders: the same of folders.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        self.folders: list[str] = []
        self._look(root, "", (Path(os.path.realpath(root)),))
        self.files.sort()

    def _look(self, folder: Path, here: str, above: tuple[Path, ...]) -> None:
        """Take what lies in a folder; ``above`` are the real folders that led to it, the root first."""
        with os.scandir(folder) as found:
            entries = sorted((one for one in found if not system_name(one.name)), key=lambda one: one.name)
        for entry in entries:
            name = f"{here}{entry.name}"
            if entry.is_file():
                self.files.append(name)
            elif entry.is_dir():
                real = Path(os.path.realpath(entry.path))
                if entry.is_symlink() and (real in above or not real.is_relative_to(above[0])):
                    continue  # in a circle, or out of the data set
                self.folders.append(name)
                self._look(Path(entry.path), f"{name}/", (*above, real))

    @cached_property
    def images(self) -> list[str]:
        """Files that hold or may hold an image or mask."""
        return [name for name in self.files if formats.looks_like_image(Path(name))]

    def below(self, folder: str) -> list[str]:
        """Images in a folder and below it."""
        return [name for name in self.images if name.startswith(f"{folder}/")]


def plain_name(name: str) -> str:
    """A name as an index gives it, without a leading ``./``."""
    return name[2:] if name.startswith("./") else name


def stem_of(name: str) -> str:
    """A name without the ending of its format.

    >>> stem_of("a/b.nii.gz"), stem_of("a/b.webp")
    ('a/b', 'a/b')
    """
    known = formats.ending(Path(name))
    return name[: len(name) - len(known)] if known else name.removesuffix(PurePosixPath(name).suffix)


def case_id(name: str) -> str:
    """What a case is called in records and tables: letters and digits of any language, ``.``, ``_`` and ``-``.

    >>> case_id("Müller 1/b"), case_id("患者 (2)"), len(case_id("long" * 100))
    ('Müller_1_b', '患者__2_', 160)
    """
    plain = unicodedata.normalize("NFC", name)
    text = "".join(one if one in "._-" or unicodedata.category(one)[0] in "LMN" else "_" for one in plain)
    if len(text.encode()) > MOST_BYTES:  # names of files end at 255 bytes
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
        text = f"{text.encode()[: MOST_BYTES - 9].decode(errors='ignore')}_{digest}"
    return text.lstrip(".") or "case"


class CaseCollector:
    """Cases and problems of one data set.

    Args:
        tree: its files.
        layout: name from the registry.
    """

    def __init__(self, tree: FolderTree, layout: str) -> None:
        self.tree, self.root, self.layout = tree, tree.root, layout
        self.cases: dict[str, Case] = {}
        self.problems: list[tuple[str, str]] = []
        self.split: set[str] = set()
        self.companions: list[tuple[str, Path, Path]] = []
        self.sidecars: set[str] = set()
        self._taken: dict[str, str] = {}
        self._data: dict[str, str] = {}
        self._real = tree.root.resolve()

    def relative(self, name: str) -> str:
        """A name of an index, relative to the root; absolute ones that lie in the root are accepted."""
        if not PurePosixPath(name).is_absolute():
            return plain_name(name)
        for root in (self.root.absolute(), self._real):
            if PurePosixPath(name).is_relative_to(root.as_posix()):
                return PurePosixPath(name).relative_to(root.as_posix()).as_posix()
        return name

    def inside(self, name: str) -> Path:
        """A relative path that stays in the root, lexically and through links; else InputError."""
        if "\\" in name:
            raise InputError("expected / between folders, got \\, which is part of a name here; write / in the index")
        pure = PurePosixPath(self.relative(name))
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or ":" in pure.parts[0]:
            raise InputError("expected a path inside the data set, got one that leads out of it; remove the entry")
        if pure.parts[0] == files.RECORDS:
            raise InputError(f"expected a folder other than {files.RECORDS}/, which is umed's own; rename the folder")
        real = (self.root / pure).resolve()
        if real != self._real and self._real not in real.parents:
            raise InputError("expected a file inside the data set, got a link that leads out of it; copy the file in")
        return Path(pure)

    def carries(self, name: str) -> bool:
        """Whether there is a file of this name that may be copied along."""
        try:
            return (self.root / self.inside(name)).is_file()
        except InputError:
            return False

    def problem(self, names: str | Iterable[str], reason: str) -> None:
        """Note why files are no case."""
        self.problems += [(name, reason) for name in ([names] if isinstance(names, str) else names)]

    def add(
        self,
        name: str,
        images: Sequence[str],
        labels: Iterable[str] = (),
        *,
        classes: Sequence[int] = (),
        outputs: Sequence[str] | None = None,
        test: bool = False,
    ) -> str | None:
        """Add a case, or problems if its names are not safe or not unique.

        Args:
            name: of the case.
            images: names of its image files.
            labels: names of its label files.
            classes: class number of each label file, if each is one class.
            outputs: names of the written images; as ``images`` if ``None``.
            test: it belongs to a test split.

        Returns:
            Its id; ``None`` where it is no case.
        """
        identity = case_id(name)
        if identity in self.cases and test:
            identity = f"test_{identity}"
        masks = list(labels)
        try:
            paths = tuple(self.inside(image) for image in images)
            marks = tuple(self.inside(label) for label in masks)
            targets = paths if outputs is None else tuple(Path(one) for one in outputs)
            targets = tuple(p.with_suffix(".png") if formats.ending(p) in raster.JPEG else p for p in targets)
            self._claim(identity, paths, marks, targets)
        except InputError as error:
            self.problem(dict.fromkeys(map(plain_name, [*images, *masks])), str(error))
            return None
        self.cases[identity] = Case(identity, paths, marks, targets, tuple(classes))
        if test:
            self.split.add(identity)
        return identity

    def _claim(
        self, identity: str, paths: tuple[Path, ...], marks: tuple[Path, ...], targets: tuple[Path, ...]
    ) -> None:
        """Take the output names of a case; InputError when one is another's."""
        if identity in self.cases:
            raise InputError(f"expected a case name of its own, got {identity} twice; rename one of the files")
        new = [*zip(map(str, targets), map(str, paths), strict=True)]
        if clash := next((self._taken[out] for out, _ in new if out in self._taken), None):
            raise InputError(f"expected an output name of its own, got that of {clash}; rename one of the files")
        if len(dict(new)) < len(new) or not {out for out, _ in new}.isdisjoint(map(str, marks)):
            raise InputError("expected an output name for each image and mask, got one twice; rename one of the files")
        if clash := next((mark for mark in map(str, marks) if self._taken.get(mark, mark) != mark), None):
            raise InputError(f"expected a mask, got {clash}, which is the output of {self._taken[clash]}; rename it")
        self._claim_data([*paths, *marks])
        self._taken.update(new)
        self._taken.update((str(mark), str(mark)) for mark in marks if str(mark) not in self._taken)

    def _claim_data(self, headers: Iterable[Path]) -> None:
        """Make sure that the data file of each header (MetaImage, NRRD) is that of no other."""
        new: dict[str, str] = {}
        for header in headers:
            for data in formats.with_companions(self.root, header)[1:]:
                name = str(self.inside(data.as_posix()))
                other = self._data.get(name) or new.get(name) or str(header)
                if other != str(header):
                    raise InputError(
                        f"expected a data file of its own, got {data}, which is that of {other}, too; save each image "
                        "as a file of its own, such as .mha or .nrrd"
                    )
                new[name] = str(header)
        self._data |= new

    def done(self, modality: tuple[str, ...] = ()) -> Dataset:
        """The data set; every image or mask that is in no case is among its problems."""
        known = {path.as_posix() for case in self.cases.values() for path in (*case.images, *case.labels)}
        self.problems = [(name, reason) for name, reason in self.problems if name not in known]  # of another's mask
        known |= {name for name, _ in self.problems}
        for name in self.tree.images:
            if name not in known:
                self.problem(name, f"is in no case of the layout {self.layout}; {CHOOSE}")
        root = [name for name in self.tree.files if "/" not in name and not (self.root / name).is_symlink()]
        return Dataset(
            root=self.root,
            layout=self.layout,
            cases=tuple(self.cases[key] for key in sorted(self.cases)),
            sidecars=tuple(map(Path, sorted({name for name in root if LICENCES.match(name)} | self.sidecars))),
            modality=modality or declared_channels(self.root),
            problems=tuple(sorted(set(self.problems))),
            split=frozenset(self.split),
            rules=declared_rules(self.root),
            companions=tuple(self.companions),
        )
