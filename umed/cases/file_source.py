# SPDX-License-Identifier: Apache-2.0
"""A data set of files as a source: everything of a case is written under temporary names, checked, renamed together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from umed.cases.proposals import Proposals, read_proposals
from umed.cases.records import Record, hash_of, match
from umed.cases.source import CaseDone, Quarantined, Request, Unit
from umed.core.config import Settings
from umed.core.errors import BudgetError, InputError, UmedError, VerificationError, error_line
from umed.core.reasons import group_reasons
from umed.core.types import Case, Dataset, Outcome, Progress, Volume
from umed.data import files, formats, layouts
from umed.data.accounting import Accounting
from umed.data.declared import ruled
from umed.data.inventory import account, find_carried, settle
from umed.data.mark import MARK
from umed.data.paths import no_paths
from umed.plan.changeable import Changeable
from umed.plan.facts import Facts, gather, is_colour, open_case
from umed.plan.limits import make_limits
from umed.plan.metrics import different, measure
from umed.plan.planning import Plan, make_plan
from umed.plan.promise import compare
from umed.plan.range_fit import check_fit
from umed.plan.regions import plan_regions

COPIED = ("protected", "unchanged")
"""Status of the cases that are in the output."""


@contextmanager
def open_files(request: Request, *, progress: Progress | None = None) -> Iterator[FileSource]:
    """Find a data set of files; see :func:`umed.cases.opening.open_source`."""
    source = FileSource(
        ruled(layouts.find_dataset(request.path, request.layout), request.settings),
        progress,
        carry=request.carry or (request.settings is not None and request.settings.carry),
    )
    if not source.by_id:
        why = "; ".join(group_reasons(source.dataset.problems))
        raise InputError(f"{request.path}: expected cases that can be released, got none: {why}.")
    yield source


class FileSource:
    """Cases of a data set in a known layout; see :class:`umed.cases.source.Source`.

    Args:
        dataset: from :func:`umed.data.layouts.find_dataset`.
        progress: called with ``"look"`` when cases are looked at.
        carry: all documents go along, not only the sidecars.
    """

    strict = True

    def __init__(self, dataset: Dataset, progress: Progress | None = None, *, carry: bool = False) -> None:
        self.dataset, self.progress, self.carry = settle(dataset), progress, carry
        self.layout, self.root = dataset.layout, dataset.root
        self.by_id = {case.id: case for case in self.dataset.cases}

    @cached_property
    def proposals(self) -> Proposals | None:
        """What ``proposals.json`` of the data set says."""
        return read_proposals(self.root)

    @cached_property
    def _documents(self) -> tuple[dict[str, str], dict[str, str]]:
        return find_carried(self.dataset, self.carry)

    @property
    def carried(self) -> Mapping[str, str]:
        """Licences and other sidecars, and documents where they are asked for."""
        return self._documents[0]

    def others(self, released: Collection[str]) -> tuple[dict[Path, bytes], dict[Path, Path]]:
        """What is written beside the cases, for the ids that are released: content by name, and sources by name."""
        contents = layouts.index_files(self.dataset, released)
        copies = {Path(name): Path(name) for name in self.carried} | layouts.companions_of(self.dataset, released)
        return contents, {name: own for name, own in copies.items() if name not in contents}

    def account(self, fates: Mapping[str, tuple[str, str]], aside: Sequence[Quarantined] = ()) -> Accounting:
        """Every file below the root; a case that is not named is expected to be protected if it has a label."""
        expected = {
            case.id: ("protected", "") if case.labels else ("left out", self._unlabelled(case))
            for case in self.dataset.cases
        }
        return account(self.dataset, {**expected, **fates}, *self._documents)

    def _unlabelled(self, case: Case) -> str:
        split = " (test split)" if case.id in self.dataset.split else ""
        return f"no label{split}, so there is no telling what to protect; not copied"

    @property
    def refused(self) -> Sequence[Quarantined]:
        """None: what is no case is a problem of the facts."""
        return ()

    all_aside: Sequence[Quarantined] = ()
    warnings: Sequence[str] = ()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Every case counts as one."""
        return dict.fromkeys(self.by_id, 1)

    def facts(self, every: bool = True) -> Facts:
        """Look at all cases, or at a few."""
        return gather(self.dataset, every=every, progress=self.progress)

    def make_plan(self, settings: Settings) -> Plan:
        """Resolve settings against a few cases."""
        return make_plan(self.facts(every=False), settings)

    def targets(self) -> list[str]:
        """Images, labels, sidecars and the index."""
        names = {path.as_posix() for part in self.others(set(self.by_id)) for path in part}
        for case in self.dataset.cases:
            if case.labels:
                names |= {path.as_posix() for path in (*self.written(case), *self.labels_of(case))}
        return sorted(names)

    def written(self, case: Case) -> tuple[Path, ...]:
        """All files of a case's images, relative to the output; a header and its data file are one image."""
        pairs = zip(case.images, case.outputs, strict=True)
        return tuple(path for image, out in pairs for path in formats.with_companions(self.root, image, out))

    def labels_of(self, case: Case) -> tuple[Path, ...]:
        """All files of a case's labels; each is copied under its own name."""
        return tuple(path for label in case.labels for path in formats.with_companions(self.root, label))

    def decisive(self, plan: Plan | None) -> dict[str, Any]:
        """The plan's own; files know no other settings."""
        assert plan is not None
        return plan.decisive()

    def plan_text(self, plan: Plan | None) -> str:
        """The whole plan."""
        assert plan is not None
        return plan.to_json()

    def decisive_of(self, text: str) -> dict[str, Any]:
        """Of an earlier plan."""
        return dict(json.loads(json.dumps(Plan.from_json(text).decisive())))

    def left_alone(self, case: str, output: Path) -> CaseDone | None:
        """A case without a label is skipped."""
        if self.by_id[case].labels:
            return None
        return CaseDone(Outcome(case, "skipped", self._unlabelled(self.by_id[case])))

    def name_run(self, decisive: str, generators: Sequence[str]) -> str:
        """One hash of all."""
        return hash_of([decisive, *sorted(generators)])

    def run_of(self, case: str, run: str) -> str:
        """The run, and classes that follow from other cases, too; the sources' checksums are in the record."""
        classes = self.by_id[case].classes
        return hash_of([run, *map(str, classes)]) if classes else run

    def recall(self, case: str, record: Record, output: Path) -> CaseDone | None:
        """A case stands as long as its sources and outputs have their checksums."""
        if record.outcome.get("status") not in COPIED:
            return None
        mine = self.by_id[case]
        for named, paths in ((record.sources, mine.images), (record.outputs, mine.outputs)):
            images = {Path(name) for name in named if formats.looks_like_image(Path(name))}
            if images != {*paths, *mine.labels}:  # another mask, or another layout
                return None
        if not match(record.sources, self.root) or not match(record.outputs, output):
            return None
        return CaseDone(record.to_outcome())

    def role(self, case: str, name: str) -> str:
        """A label or an image."""
        return "label" if Path(name) in self.labels_of(self.by_id[case]) else "image"

    def open(self, case: str, plan: Plan) -> FileReader:
        """Open a case for reading."""
        return FileReader(self, self.by_id[case], plan)

    def writer(self, case: str, plan: Plan | None, output: Path) -> FileWriter:
        """Open a case for writing."""
        assert plan is not None
        return FileWriter(self, self.by_id[case], plan, output)

    def trainable(self) -> list[str]:
        """Cases with a label."""
        return [case.id for case in self.dataset.cases if case.labels]

    def not_trained(
        self, left_out: Sequence[tuple[str, str]], broken: Mapping[str, Mapping[str, str]], *, public: bool
    ) -> list[tuple[str, str]]:
        """Cases that could not be read; of a release without the machine's folders."""
        if not public:
            return [(case, why.replace(f"{self.root}/", "")) for case, why in left_out]
        return [(case, no_paths(why, self.dataset, self.root)) for case, why in left_out]

    def fingerprint(self, case: str) -> Any:
        """What tells a case from others in the record of a training."""
        return case


class FileReader:
    """A case of files; its one unit is all of it."""

    broken: Mapping[str, str] = {}

    def __init__(self, source: FileSource, case: Case, plan: Plan) -> None:
        self.source, self.case, self.plan = source, case, plan

    def __len__(self) -> int:
        return 1

    def unit(self, index: int, margin: int = 8, *, fitting: bool = False) -> Unit:
        """Read the case; ``fitting`` makes sure that its values fit the range of the data set, see range_fit."""
        if index != 0:
            raise IndexError(index)
        opened = open_case(ruled(self.source.dataset, self.plan), self.case)
        assert opened.labels is not None
        regions = plan_regions(opened.labels, opened.volumes[0], self.plan, margin)
        if fitting and not regions.empty:
            check_fit(opened.volumes, self.plan.range, self.plan.seen)
        limits = () if regions.empty else tuple(make_limits(opened.volumes, self.plan))
        return Unit(self.case.id, opened.volumes, regions, limits)

    def masked_units(self) -> Sequence[int]:
        """The case."""
        return (0,)

    def training_unit(self, index: int) -> Unit:
        """The case; a file that cannot be read or does not fit the range is an error."""
        return self.unit(index, fitting=True)


class FileWriter(ExitStack):
    """Writes a case: everything under temporary names, read back, checked, then renamed together."""

    def __init__(self, source: FileSource, case: Case, plan: Plan, output: Path) -> None:
        super().__init__()
        self.source, self.case, self.plan, self.output = source, case, plan, output
        self._sources: dict[str, str] = {}
        self._outputs: dict[str, str] = {}
        self._outcome: Outcome | None = None

    def units(self) -> Iterator[Unit]:
        """The case; also one with an empty label, whose files are copied."""
        yield self.source.open(self.case.id, self.plan).unit(0, fitting=True)

    def seed(self, unit: Unit) -> str:
        """The case's id and the content of its images, so that one code is never on two images."""
        pairs = zip(unit.volumes, self.case.images, strict=True)
        return "/".join([unit.name, *(digest for v, n in pairs for digest in self._digests(v, n))])

    def _digests(self, volume: Volume, name: Path) -> list[str]:
        """Of the file of an image, and of those beside it that belong to it."""
        key = name.as_posix()
        if key not in self._sources:
            self._sources[key] = volume.sha256 or files.sha256(self.source.root / name)
            self._sources |= {name.with_name(other).as_posix(): digest for other, digest in volume.beside}
        return [self._sources[key], *(digest for _, digest in volume.beside)]

    def put(self, unit: Unit, changed: Sequence[NDArray[Any]] | None) -> None:
        """Write images and label."""
        case, root = self.case, self.source.root
        assert case.labels
        new = None if changed is None else list(changed)
        for volume, name in zip(unit.volumes, case.images, strict=True):
            self._digests(volume, name)
        labels = self.source.labels_of(case)
        self._sources |= {name.as_posix(): files.sha256(root / name) for name in labels}
        measures, weak, counts = [], list[str](), [len(volume.channels) for volume in unit.volumes]
        for i, (volume, name) in enumerate(zip(unit.volumes, case.outputs, strict=True)):
            temporary = self.enter_context(files.atomic(self.output / name))
            beside = [self.enter_context(files.atomic(temporary.with_name(other))) for other, _ in volume.beside]
            figures: dict[str, Any] = {}
            if new is not None:
                formats.write(volume, new[i], temporary, mark=MARK if self.plan.mark else "")
                back = _read_back(volume, new[i], temporary, mark=self.plan.mark)
                new[i] = back.stored  # one array less in memory
                digest = back.sha256 or files.sha256(temporary)
                written = back.beside
                figures = measure(volume, back.stored, unit.regions, unit.limits[i], slice_axis=self.plan.slice_axis)
                compare(volume.channels, back.channels, unit.regions, unit.limits[i]).check(name.as_posix())
                able = Changeable(is_colour(volume))
                able.add(volume.channels, back.channels, unit.regions, unit.limits[i])
                figures["can_change"] = able.share
                weak += able.weak(sum(counts[:i]), sum(counts))
            else:
                same = same_ending(case.images[i], name)
                digest, written = _unchanged(volume, same, temporary, beside)
            self._outputs[name.as_posix()] = digest
            self._outputs |= {name.with_name(other).as_posix(): its for other, its in written}
            left = formats.not_kept(volume) if new is not None or case.images[i] != name else ()
            figures |= {"not_kept": list(left)} if left else {}
            measures.append({**figures, "sha256_in": self._sources[case.images[i].as_posix()], "sha256_out": digest})
        if not unit.regions.empty and not any(figures.get("voxels_changed") for figures in measures):
            raise BudgetError(
                f"{case.id}: expected changed voxels, got none: all are outside the range, or the noise is below half "
                "a stored step. Set range or epsilon, or train the generator longer."
            )
        for name in labels:
            label = self.enter_context(files.atomic(self.output / name))
            self._outputs[name.as_posix()] = files.checked_copy(root / name, label, self._sources[name.as_posix()])
        digest = labels_digest([self._outputs[name.as_posix()] for name in case.labels])
        status, reason = ("protected", "") if new is not None else ("unchanged", self._why_unchanged())
        more = {"weak": "; ".join(weak)} if weak else {}
        self._outcome = Outcome(case.id, status, reason, {"files": measures, "label_sha256": digest, **more})  # type: ignore[arg-type]

    def _why_unchanged(self) -> str:
        reason = "the label is empty, so there is nothing to protect; the pixels are unchanged"
        lossy = not all(map(same_ending, self.case.images, self.case.outputs))
        return reason + (", written as png because the source is lossy" if lossy else "")

    def done(self) -> CaseDone:
        """What came of it; the files get their names when the context is left."""
        assert self._outcome is not None
        return CaseDone(self._outcome)

    def failed(self, error: BaseException) -> CaseDone:
        """One line without the machine's folders, since it goes into the manifest; nothing stays in the output."""
        for name in (*self.source.written(self.case), *self.source.labels_of(self.case)):  # of an earlier run, too
            (self.output / name).unlink(missing_ok=True)
        self._sources, self._outputs = {}, {}
        text = error_line(error)
        if not isinstance(error, UmedError):
            text = f"{type(error).__name__}: {text}"
        return CaseDone(Outcome(self.case.id, "failed", no_paths(text, self.source.dataset, self.output)))

    def record(self, done: CaseDone, run: str) -> Record:
        """Checksums of what was read and written."""
        return Record(asdict(done.outcome), run, self._sources, self._outputs)


def same_ending(image: Path, output: Path) -> bool:
    """Whether an image is written in the format of its source, so that an unchanged one is a copy of it."""
    return formats.ending(image) == formats.ending(output)


def labels_digest(digests: Sequence[str]) -> str:
    """What a record says of a case's label files: the SHA-256 of each, in order, a space between."""
    return " ".join(digests)


Beside = tuple[tuple[str, str], ...]
"""As in :attr:`umed.core.types.Volume.beside`."""


def _unchanged(volume: Volume, same_format: bool, temporary: Path, beside: Sequence[Path]) -> tuple[str, Beside]:
    """Checksums of the copy, and of those of the files that belong to it."""
    if same_format:
        digest = files.checked_copy(volume.source, temporary, volume.sha256)
        pairs = zip(volume.beside, beside, strict=True)
        return digest, tuple(
            (name, files.checked_copy(volume.source.with_name(name), path, its)) for (name, its), path in pairs
        )
    formats.write(volume, volume.stored, temporary)
    back = _read_back(volume, volume.stored, temporary)
    return back.sha256 or files.sha256(temporary), back.beside


def _read_back(volume: Volume, stored: NDArray[Any], path: Path, *, mark: bool = False) -> Volume:
    """Read a written file, once, and make sure that it says exactly what was meant; it knows its bytes' checksum."""
    back = formats.read(path)
    same = back.stored.shape == stored.shape and back.stored.dtype == stored.dtype
    if not same or different(back.stored, stored).any():
        raise VerificationError(f"{path.name}: expected the values that were written, got others. Check the disk.")
    difference = formats.header_difference(volume, back, mark=mark)
    if difference:
        raise VerificationError(f"{path.name}: {difference}. Report this file's format as a bug.")
    return back
