# SPDX-License-Identifier: Apache-2.0
"""Writes what a suspect network is to be run on: the published copy of each case, its twins, and decoys."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.file_source import FileSource, open_files
from umed.cases.records import GENERATORS, make_private, write_json
from umed.cases.source import Request, Source, given_path
from umed.core.config import from_mapping
from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.keyfile import Key, Secret
from umed.core.progress import counted
from umed.core.reasons import group_reasons, many
from umed.core.types import Progress
from umed.data import files, formats
from umed.plan.planning import Plan
from umed.protect.commitment import ALPHA, read_trace
from umed.protect.manifest import read_record
from umed.trace.drawn_copies import Arrays, DrawnCopies, QueryImage, draw_copies, turn
from umed.trace.queries import CHALLENGES, NOTE, Challenge, Query, folder_of, key_of
from umed.trace.rank_test import cases_needed

if TYPE_CHECKING:
    from umed.methods.base import Method

MOST_CASES = 1000
"""Of one challenge: the exact p-value of more takes long, and cases that were asked about are spent."""
Pictures = Callable[[str, DrawnCopies], tuple[NDArray[np.int16], list[QueryImage]]]
"""Labels of a case in the axes of its queries, and its queries, of its id and its copies."""
FLIPS = 4
"""Times that each copy is asked about: as it is, and turned round along the axes of a slice."""
TWINS, MOST_TWINS = 8, 32
"""Other draws that each published copy is compared with: eight tell half as much again as one; and the most."""
MOST_BYTES = 20e9
"""Of queries, as long as nobody asks for a number of twins: large volumes get fewer."""


@dataclass(frozen=True)
class Challenged:
    """What was written.

    Args:
        queries: folder for whoever runs the suspect network.
        private: file that says which query is what; never to be given away.
        cases: that are asked about.
        count: number of queries.
        twins: copies that each published one is compared with.
        left_out: cases that are not asked about, and why.
        key_file: that was given.
    """

    queries: Path
    private: Path
    cases: int
    count: int
    twins: int
    left_out: tuple[tuple[str, str], ...]
    key_file: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "queries": str(self.queries),
            "private": str(self.private),
            "cases": self.cases,
            "count": self.count,
            "twins": self.twins,
            "left_out": dict(self.left_out),
        }

    def summary(self) -> str:
        """A few lines for people."""
        each = f"each published copy beside {many(self.twins, 'other draw')} of its code"
        lines = [f"{self.count} queries about {many(self.cases, 'case')}, {each}: {self.queries}"]
        lines += [f"left out: {line}" for line in group_reasons(self.left_out, unit="cases")]
        if self.cases < (needed := cases_needed(ALPHA, self.twins + 1)):
            lines.append(f"WARNING: this proves nothing: evidence takes {needed} cases or more, all won")
        lines.append("run the suspect network on every image there, and keep each answer under the name of its query")
        lines.append(
            "whoever gets these images can put the copies of a case together: have them run by an expert or by yourself"
        )
        key = "" if self.key_file is None else f" --key-file {self.key_file}"
        lines.append(
            f"then: umed trace judge {self.queries} ANSWERS --private {self.private.parent.parent.parent}{key}"
        )
        return "\n".join(lines)


def challenge(
    originals: str | Path,
    queries: str | Path,
    *,
    private: str | Path,
    key_file: str | Path | None = None,
    layout: str | Path | None = None,
    masks: str | Path | None = None,
    output: str | Path | None = None,
    cases: int = MOST_CASES,
    flips: int = FLIPS,
    twins: int | None = None,
    decoys: float = 0.1,
    progress: Progress | None = None,
) -> Challenged:
    """Make the queries of a trace.

    Args:
        originals: the data set that was protected.
        queries: new folder for them.
        private: private folder of the release.
        key_file: its key; ``release.key`` of the private folder if ``None``.
        layout: mapping file that the run was given.
        masks: for DICOM: folder with masks that the run was given.
        output: the release; its commitment is compared where it is given.
        cases: most cases to ask about, drawn at random where there are more.
        flips: times that each copy is asked about, 1, 2 or 4.
        twins: copies that each published one is compared with, 1 to 32: other draws of its code from the key. 8 if
            ``None``, fewer where the queries would take more than 20 GB.
        decoys: queries that do not count, as a share of the cases.
        progress: called with ``"challenge"``, cases done and cases in all.

    Returns:
        What was written.

    Raises:
        InputError: when originals, private folder or key do not belong together, or the folder exists.
        ConfigError: when a number is out of range, or an option does not go with the release.
    """
    root, out, folder = Path(originals), Path(queries), Path(private)
    if flips not in (1, 2, 4):
        raise ConfigError(f"--flips: expected 1, 2 or 4, got {flips}.")
    if not 1 <= cases <= MOST_CASES:
        raise ConfigError(f"--cases: expected 1 to {MOST_CASES}, got {cases}.")
    if twins is not None and not 1 <= twins <= MOST_TWINS:
        raise ConfigError(f"--twins: expected 1 to {MOST_TWINS}, got {twins}.")
    if not 0 <= decoys <= 1:
        raise ConfigError(f"--decoys: expected a share from 0 to 1, got {decoys:g}.")
    if out.exists():
        raise InputError(f"{out}: expected a new folder for the queries, got one that is there. Pick another.")
    key = key_of(folder, given_path(key_file))
    record, trace = read_record(folder, key), read_trace(folder, given_path(output))
    plan = from_mapping(Plan, record["plan"], "plan")
    method = _method(plan, Secret(key, record["release"]), folder)
    name = secrets.token_hex(8)
    with (
        files.whole_folder(out) as temporary,
        _open(root, record, key, plan, given_path(layout), given_path(masks), progress) as (source, pictures),
    ):
        (temporary / "images").mkdir()
        wanted = sorted(trace["cases"])
        if cases < len(wanted):
            wanted = sorted(secrets.SystemRandom().sample(wanted, cases))
        turned = _axes(flips, plan, record["layout"] == "dicom")
        make = _Maker(source, pictures, plan, method, trace["cases"], temporary, turned, twins or TWINS)
        for case in counted(wanted, "challenge", progress):
            make.case(case, secrets.randbelow(10**6) < decoys * 10**6)
            if twins is None and make.asked == 1 and (fewer := make.fitting(len(wanted))) < make.twins:
                make.start_again(fewer)
                make.case(case, secrets.randbelow(10**6) < decoys * 10**6)
        if not make.asked:
            why = "; ".join(group_reasons(make.left_out, unit="cases"))
            raise InputError(f"{root}: expected cases of the release, got none that can be asked about ({why}).")
        said = Challenge(
            name,
            record["release"],
            trace["sha256"],
            plan.class_values or tuple(range(1, plan.classes)),
            make.sorted(),
            dict(make.left_out),
        )
        write_json(temporary / NOTE, {"challenge": name, "queries": len(said.queries)})
        _same_time(temporary)
        make_private(folder / CHALLENGES)
        make_private(folder_of(folder, name))
        for case, labels in make.labels.items():
            np.savez_compressed(_labels_file(folder, name, case), labels=labels)
        path = said.write(folder, key)
    left_out = tuple(make.left_out)
    return Challenged(out, path, make.asked, len(said.queries), make.twins, left_out, given_path(key_file))


def _labels_file(private: Path, challenge_id: str, case: str) -> Path:
    """Where the labels of a case lie; named by a hash, since ids may be long, or alike but for a slash."""
    return folder_of(private, challenge_id) / f"{hashlib.sha256(os.fsencode(case)).hexdigest()}.npz"


def read_labels_of(private: Path, challenge_id: str, case: str) -> NDArray[np.int16]:
    """Class of each voxel of a case that was asked about, 0 to K - 1, ``(*spatial)`` int16."""
    with np.load(_labels_file(private, challenge_id, case)) as arrays:
        found: NDArray[np.int16] = arrays["labels"]
    return found


def _axes(flips: int, plan: Plan, dicom: bool) -> list[tuple[int, ...]]:
    """Which axes of a query are turned round: of volumes those of a slice."""
    turned = dicom or plan.slice_axis is None  # of series the queries have columns and rows first
    axes = (0, 1) if turned else tuple(a for a in range(3) if a != plan.slice_axis)[:2]
    every = [part for count in range(3) for part in combinations(axes, count)]
    return {1: every[:1], 2: every[:2], 4: every}[flips]


def _same_time(folder: Path) -> None:
    """Give all files the same time: that at which each was written would tell the copies of a case apart."""
    now = int(time.time())
    for path in folder.rglob("*"):
        os.utime(path, (now, now))


@contextmanager
def _open(
    root: Path,
    record: Mapping[str, Any],
    key: Key,
    plan: Plan,
    layout: Path | None,
    masks: Path | None,
    progress: Progress | None,
) -> Iterator[tuple[Source, Pictures]]:
    """The originals of a release, and what makes queries of the copies of a case."""
    if record["layout"] != "dicom":
        if masks is not None:
            raise ConfigError(f"--masks {masks}: expected a release of DICOM series, got another. Leave it out.")
        with open_files(Request(root, plan, layout=layout), progress=progress) as found:
            yield found, partial(_file_images, found)
        return
    if layout is not None:
        raise ConfigError(f"--layout {layout}: expected a release of files, got one of DICOM series. Leave it out.")
    from umed.trace.series_queries import open_originals, series_images

    with open_originals(root, masks, record, key) as series:
        yield series, partial(series_images, series, record)


def _file_images(source: FileSource, case: str, drawn: DrawnCopies) -> tuple[NDArray[np.int16], list[QueryImage]]:
    """A case of files is asked about in the format of its release."""
    if any(volume.beside for volume in drawn.volumes):  # the header names the data file, and so the case
        raise InputError("its voxels lie in a file of their own; convert the images to .mha, .nrrd or .nii.gz")
    endings = [formats.ending(path) for path in source.by_id[case].outputs]

    def save(stored: Arrays, axes: Sequence[int], folder: Path, name: str) -> None:
        for channel, (volume, one, ending) in enumerate(zip(drawn.volumes, stored, endings, strict=True)):
            suffix = f"_{channel:04d}" if len(endings) > 1 else ""
            formats.write(volume, turn(one, axes), folder / f"{name}{suffix}{ending}")

    return drawn.labels, [QueryImage(role, partial(save, stored)) for role, stored in drawn.copies]


def _method(plan: Plan, secret: Secret, private: Path) -> Method:
    from umed.methods.base import make_method

    method = make_method(plan, secret)
    if method.requires_training:
        method.load(private / GENERATORS)
        method.to(plan.device)
    return method


class _Maker:
    """Draws the copies of a case again, and writes them as queries under random names, in random order."""

    def __init__(
        self,
        source: Source,
        pictures: Pictures,
        plan: Plan,
        method: Method,
        committed: dict[str, Any],
        folder: Path,
        flips: Sequence[tuple[int, ...]],
        twins: int,
    ) -> None:
        self.twins = twins
        self.source, self.pictures, self.plan, self.method = source, pictures, plan, method
        self.committed, self.folder, self.flips = committed, folder, flips
        self.labelled = frozenset(source.trainable())
        self.labels: dict[str, NDArray[np.int16]] = {}
        self.left_out: list[tuple[str, str]] = []
        self.queries: dict[str, Query] = {}
        self.asked = 0

    def case(self, case: str, decoy: bool) -> None:
        """Write the queries of one case, or say why there are none."""
        try:
            if case not in self.source.sizes:
                raise InputError("is not in the data set")
            if case not in self.labelled:
                raise InputError(
                    "no mask that fits it is here; give --masks as the run did, and every file of the case"
                )
            run = self.source, case, self.plan, self.method, self.committed[case], self.folder
            drawn = draw_copies(*run, twins=self.twins, decoy=decoy)
            labels, images = self.pictures(case, drawn)
        except UmedError as error:
            self.left_out.append((case, error_line(error)))
            return
        self.labels[case] = labels
        self.asked += 1
        asked = [(image, axes) for image in images for axes in self.flips]
        secrets.SystemRandom().shuffle(asked)
        for image, axes in asked:
            name = f"q{secrets.token_hex(6)}"
            self.queries[name] = Query(case, image.role, axes, image.frame)
            image.save(axes, self.folder / "images", name)

    def fitting(self, cases: int) -> int:
        """Twins with which so many cases as large as the first one take up to :data:`MOST_BYTES`; at least 1."""
        written = sum(path.stat().st_size for path in (self.folder / "images").iterdir())
        each = written * cases / len({query.role for query in self.queries.values()})
        return max(1, min(TWINS, int(MOST_BYTES / max(each, 1)) - 1))

    def start_again(self, twins: int) -> None:
        """Forget what was written, and compare with fewer twins."""
        for path in (self.folder / "images").iterdir():
            path.unlink()
        self.twins, self.asked = twins, 0
        self.labels.clear()
        self.queries.clear()

    def sorted(self) -> dict[str, Any]:
        """The queries, in the order of their random names, which says nothing."""
        return {name: vars(self.queries[name]) for name in sorted(self.queries)}
