# SPDX-License-Identifier: Apache-2.0
"""What a data set is to everything downstream, whether its cases are files or DICOM series.

:mod:`umed.cases.file_source` and :mod:`umed.cases.series_source` are the two sources. Training, protecting, verifying
and recording are written once, against this protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from umed.cases.proposals import Proposals
from umed.cases.records import Record
from umed.core.config import Settings
from umed.core.types import Outcome, Regions, Volume
from umed.data.accounting import Accounting
from umed.plan.budget import Budget
from umed.plan.facts import Facts
from umed.plan.planning import Plan

if TYPE_CHECKING:
    from umed.dicom.objects import Limits


@dataclass(frozen=True, eq=False)
class Unit:
    """What a method sees at once: a whole file case, or a span of slices of a series.

    Args:
        name: stable name within the source.
        volumes: image files, or the slices of a span that are seen; one grid for all.
        regions: where they may change.
        limits: how far, one budget a volume; empty where the regions are.
        kept: the part along the first axis whose result counts.
    """

    name: str
    volumes: tuple[Volume, ...]
    regions: Regions
    limits: tuple[Budget, ...]
    kept: slice = field(default_factory=lambda: slice(None))

    @property
    def touched(self) -> bool:
        """Whether a kept voxel may change at all."""
        if self.regions.empty:
            return False
        whole = self.kept == slice(None)
        return bool((self.regions.support if whole else self.kept_support()).any())

    def kept_support(self) -> NDArray[np.bool_]:
        """Where the kept part may change, on its full grid."""
        whole = np.zeros(self.regions.shape, bool)
        if not self.regions.empty:
            whole[self.regions.box] = self.regions.support
        return whole[self.kept]


@dataclass(frozen=True)
class Quarantined:
    """A file that is not in the output.

    Args:
        name: in the input.
        category: key of :data:`umed.cases.instance_writer.CATEGORIES`.
        reason: the whole story.
    """

    name: str
    category: str
    reason: str


@dataclass(frozen=True)
class CaseDone:
    """What came of one case.

    Args:
        outcome: for the manifest.
        quarantine: its files that are not in the output.
        actions: how often each tag met each action of a profile.
    """

    outcome: Outcome
    quarantine: tuple[Quarantined, ...] = ()
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)


FATES = {"protected": "protected", "unchanged": "unchanged", "carried": "carried"}
"""Status of a case and the end of its images; all others are left out."""
ACTIONS = {"protect": "protected", "copy": "unchanged", "carry": "carried"}
"""What would be done with a case, likewise."""


def fates_of(outcomes: Iterable[Outcome]) -> dict[str, tuple[str, str]]:
    """What came of each case, for :meth:`Source.account`."""
    return {one.id: (FATES.get(one.status, "left out"), one.reason) for one in outcomes}


def fates_ahead(facts: Facts) -> dict[str, tuple[str, str]]:
    """What would become of each case that was looked at, likewise."""
    return {one.id: (ACTIONS.get(one.action, "left out"), one.why) for one in facts.cases}


def given_path(path: str | Path | None) -> Path | None:
    """An optional path as such."""
    return None if path is None else Path(path)


class CaseReader(Protocol):
    """A case that is open for reading."""

    def __len__(self) -> int:
        """Number of units."""
        ...

    def unit(self, index: int, margin: int = 8) -> Unit:
        """Read a unit.

        Args:
            index: which.
            margin: voxels of context around the support.

        Raises:
            InputError: when its files cannot be read.
            BudgetError: when the bound is below one stored step.
        """
        ...

    def masked_units(self) -> Sequence[int]:
        """Units that may hold a mask."""
        ...

    def training_unit(self, index: int) -> Unit:
        """A unit without the mask where nothing could be read."""
        ...

    @property
    def broken(self) -> Mapping[str, str]:
        """Name of each file that could not be decoded so far, and why."""
        ...


class CaseWriter(AbstractContextManager["CaseWriter"], Protocol):
    """A case that is being written; leaving the context by an error takes back what was written."""

    def units(self) -> Iterator[Unit]:
        """The units to perturb, in order; none of a case that only goes through."""
        ...

    def seed(self, unit: Unit) -> str:
        """Stable name that seeds the randomness of a unit."""
        ...

    def put(self, unit: Unit, changed: Sequence[NDArray[Any]] | None) -> None:
        """Write a unit.

        Args:
            unit: from :meth:`units`.
            changed: new stored values of its volumes; ``None`` where nothing may change.

        Raises:
            VerificationError: when a promise is broken, or a written file does not say what was meant.
        """
        ...

    def done(self) -> CaseDone:
        """Write what is left, and say what came of the case.

        Raises:
            BudgetError: when nothing of it could be changed.
        """
        ...

    def failed(self, error: BaseException) -> CaseDone:
        """What came of the case where an error ended it."""
        ...

    def record(self, done: CaseDone, run: str) -> Record:
        """What a resumed run needs to know."""
        ...


class Source(Protocol):
    """A data set: its cases, how they are opened, written, recorded and checked."""

    layout: str
    root: Path
    strict: bool
    """Whether a resumed run must find the very same files."""

    @property
    def proposals(self) -> Proposals | None:
        """Which masks are proposals; ``None`` where none is known."""
        ...

    @property
    def refused(self) -> Sequence[Quarantined]:
        """Files that belong to no case."""
        ...

    @property
    def all_aside(self) -> Sequence[Quarantined]:
        """Every file with the reason, where nothing can be protected; none of a source that does not quarantine."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the owner must look at, one line each."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of files of each case by id, in the order in which they are done."""
        ...

    def facts(self, every: bool = True) -> Facts:
        """What the data set holds; of every case, or only what a plan needs."""
        ...

    def make_plan(self, settings: Settings) -> Plan:
        """Resolve settings against the facts."""
        ...

    @property
    def carried(self) -> Mapping[str, str]:
        """Files of no case that go along byte for byte, with what each is."""
        ...

    def account(self, fates: Mapping[str, tuple[str, str]], aside: Sequence[Quarantined] = ()) -> Accounting:
        """Give every file of the input its end.

        Args:
            fates: of cases: one of :data:`umed.data.accounting.ENDS`, and why; of those that are not named, what is
                to be expected.
            aside: files that were put aside one by one.
        """
        ...

    def targets(self) -> list[str]:
        """Names, relative to the output, of all files that may be written outside ``umed/``."""
        ...

    def decisive(self, plan: Plan | None) -> dict[str, Any]:
        """Everything that decides a byte of the output, as plain data."""
        ...

    def plan_text(self, plan: Plan | None) -> str:
        """Content of ``plan.json``."""
        ...

    def decisive_of(self, text: str) -> dict[str, Any]:
        """:meth:`decisive` of an earlier run, from its ``plan.json``."""
        ...

    def left_alone(self, case: str, output: Path) -> CaseDone | None:
        """What becomes of a case that is not written at all; ``None`` for all others."""
        ...

    def name_run(self, decisive: str, generators: Sequence[str]) -> str:
        """Hash of all that decides the bytes of a run, of that of the settings and those of the generators."""
        ...

    def run_of(self, case: str, run: str) -> str:
        """Hash of all that decides the bytes of one case, of that of the run."""
        ...

    def recall(self, case: str, record: Record, output: Path) -> CaseDone | None:
        """What an earlier run made of a case, if its sources and outputs are still the same."""
        ...

    def role(self, case: str, name: str) -> str:
        """What a written file of a case is: ``"image"``, ``"label"``, or ``"carried"`` along."""
        ...

    def open(self, case: str, plan: Plan) -> CaseReader:
        """Open a case for reading."""
        ...

    def writer(self, case: str, plan: Plan | None, output: Path) -> CaseWriter:
        """Open a case for writing; nothing is touched before its context is entered."""
        ...

    def trainable(self) -> list[str]:
        """Ids of the cases that have a mask to train on."""
        ...

    def fingerprint(self, case: str) -> Any:
        """What tells a case from others, as plain data; for a hash, never to be written as it is."""
        ...

    def not_trained(
        self, left_out: Sequence[tuple[str, str]], broken: Mapping[str, Mapping[str, str]], *, public: bool
    ) -> list[tuple[str, str]]:
        """Name and reason of all that a training does without.

        Args:
            left_out: cases that could not be read, with the reason.
            broken: by case: files that could not be decoded, with the reason.
            public: for the release: no reason may name a source.
        """
        ...


@dataclass(frozen=True)
class Request:
    """Where a data set lies and how it is to be read and written; enough to open it in any process.

    Args:
        path: folder, or zip of DICOM files.
        settings: of the protection; ``None`` where a DICOM folder is only de-identified.
        masks: for DICOM: folder with masks beside those in the input.
        key_file: for DICOM: secret of a de-identification; ``None`` derives images of the same patients.
        profile: of the de-identification.
        accept_burned_in: release pictures that may hold burned-in text.
        look_for_text: put series aside in whose pixels tesseract reads words.
        syntax: transfer syntax of written images.
        limits: for DICOM: bounds against hostile input; the usual ones if ``None``.
        carry: take documents along, as the run did whose output is checked; a run has this in its settings.
        layout: mapping file of a data set of files, see :mod:`umed.data.layout_map`.
    """

    path: Path
    settings: Settings | None
    masks: Path | None = None
    key_file: Path | None = None
    profile: str | Path = "basic"
    accept_burned_in: bool = False
    look_for_text: bool = False
    syntax: str = "explicit-le"
    limits: Limits | None = None
    carry: bool = False
    layout: Path | None = None
