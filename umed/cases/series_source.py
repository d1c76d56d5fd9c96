# SPDX-License-Identifier: Apache-2.0
"""A folder or zip of DICOM files as a source: a case is a series, its units are spans of slices."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from umed.cases.instance_writer import CATEGORIES
from umed.cases.patients import mixed_series, mixed_studies
from umed.cases.proposals import Proposals
from umed.cases.quarantine_list import AGAIN, put_all_aside, put_aside
from umed.cases.records import Record, hash_of
from umed.cases.series_facts import Masked, mask_scan, slice_plan
from umed.cases.series_reader import SeriesReader
from umed.cases.series_writer import SeriesWriter, fingerprints
from umed.cases.source import CaseDone, Quarantined, Request, fates_ahead
from umed.cases.spans import MOST_SLICES, Slices, value_range
from umed.core.config import Settings
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError, did_you_mean
from umed.core.reasons import group_reasons
from umed.core.types import Outcome, Progress
from umed.core.version import __version__
from umed.data.accounting import Accounting, FileEnd, make_accounting
from umed.data.dicom_input import OTHER_FILES
from umed.data.files import sha256
from umed.data.inventory import is_system
from umed.deid.identity import Anonymous, Derived, Identity, Names, Renamed
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile
from umed.deid.text_reader import TextReader
from umed.dicom.objects import LIMITS, NO_DICOM, Limits, Scan, Series
from umed.dicom.pixels.pixel_data import SYNTAXES
from umed.dicom.read.scan import scan
from umed.plan.facts import Facts
from umed.plan.planning import Plan

UNUSABLE = "cannot be read, or has other channels than most series"


@contextmanager
def open_series(request: Request, *, progress: Progress | None = None) -> Iterator[SeriesSource]:
    """Scan a folder or zip; see :func:`umed.cases.opening.open_source`."""
    bounds = request.limits or LIMITS
    said = request.settings
    if said is not None and (said.mask_values or said.mask_background or said.mask_ignore is not None):
        raise ConfigError(
            "mask_values: expected none for DICOM, whose masks name their classes, got mask_values, mask_background or "
            "mask_ignore. Leave them out, and save NIfTI and PNG masks with 0 as background."
        )
    if request.syntax not in SYNTAXES:
        hint = did_you_mean(request.syntax, SYNTAXES)
        raise ConfigError(f"transfer_syntax: expected one of {', '.join(SYNTAXES)}, got {request.syntax!r}.{hint}")
    if request.settings is not None and request.settings.carry:
        raise ConfigError(
            "--carry: expected a data set of files, got DICOM, whose documents may name anybody. Leave it out."
        )
    identity: Identity | None = None
    if request.key_file is not None:
        profile = load_profile(request.profile)
        if request.settings is not None and "retain_uids" in profile.options:
            raise ConfigError(
                f"profile {request.profile}: expected no retain_uids beside --protect, got it. Images whose pixels "
                "change need new UIDs (PS3.3 C.7.6.1.1.2). Drop retain_uids, or --protect."
            )
        words = TextReader() if request.look_for_text else None
        identity = Anonymous(DeidKey.load(request.key_file), profile, request.accept_burned_in, words)
    if not request.path.exists():
        raise InputError(f"{request.path}: expected a folder or zip of DICOM files, got nothing. Check the path.")
    see = identity.remember if isinstance(identity, Anonymous) else None
    yield SeriesSource(scan(request.path, bounds, progress, see), request, bounds, identity)


@contextmanager
def open_released(
    request: Request, record: Mapping[str, Any] | None, key: DeidKey | None, output: Collection[str]
) -> Iterator[SeriesSource]:
    """Scan the source of a finished release again, under the names that the release has.

    Args:
        request: what was read; with settings where a promise is named.
        record: private record of the release; ``None`` where there is none: then a key that names some of the written
            files says that they are those of nobody.
        key: of the release.
        output: names of what was written.

    Yields:
        The source, to be checked.

    Raises:
        ConfigError: when the key is missing.
        InputError: when the source cannot be read at all.
    """
    bounds = request.limits or LIMITS
    nobody = None  # without a record every byte is compared with what umed writes
    if record is None and key is not None:
        nobody = Anonymous(key, load_profile(request.profile), accept_burned_in=True)
    found = scan(request.path, bounds, see=None if nobody is None else nobody.remember)
    source = SeriesSource(found, request, bounds, None)
    if record is None:
        names, masked = _guess(source, nobody, output), source.masked
        source = SeriesSource(found, request, bounds, names)
        source.masked = masked
    else:
        source = SeriesSource(found, request, bounds, _names_of(record, key, found))
        if request.settings is None:  # regions follow from the masks alone
            source.masked = mask_scan(found, request.masks, bounds, facts=False) if record["plan"] else Masked({})
    yield source


def _names_of(record: Mapping[str, Any], key: DeidKey | None, found: Scan) -> Names:
    if record.get("identity") == "derived":
        done = set(record.get("derived", ()))
        return Derived([i.sop_uid for one in found.series if one.id in done for i in one.instances])
    assert key is not None  # without it there is no record
    return Renamed(key.keeping_uids() if record.get("retain_uids") else key)


def _guess(source: SeriesSource, nobody: Anonymous | None, output: Collection[str]) -> Anonymous | None:
    """Whose files an output holds: nobody's where the key gives their names, else those of the same patients."""
    instances = [i for one in source.scan.series for i in one.instances]
    if any(source.identity.target(i).as_posix() in output for i in instances):
        return None
    if nobody is None:
        if any(name.endswith(".dcm") for name in output):
            raise ConfigError(
                "--key-file: expected the key of the run, since no file has the name of an original and the output "
                "seems to be anonymized, got none. Give it."
            )
    return nobody


class SeriesSource:
    """Series of a scan; see :class:`umed.cases.source.Source`.

    Args:
        found: the scan.
        request: what is wanted; without settings nothing is perturbed.
        limits: bounds against hostile files.
        identity: who the written files are; ``None`` derives images of the same patients.
    """

    layout = "dicom"
    strict = False

    def __init__(self, found: Scan, request: Request, limits: Limits, identity: Names | None) -> None:
        self.scan, self.request, self.limits = found, request, limits
        self.root = request.path
        self.by_id = {series.id: series for series in found.series}
        self._identity = identity
        self._ranges: dict[tuple[str, str], str | tuple[float, float]] = {}

    @cached_property
    def masked(self) -> Masked:
        """Masks, and the facts about the series that have one; found when they are first asked for."""
        return mask_scan(self.scan, self.request.masks, self.limits)

    @cached_property
    def chosen(self) -> tuple[Series, ...]:
        """Image series that are not refused: those whose files are derived ones."""
        if self.request.settings is None:
            return ()
        refusals = self.masked.refusals
        return tuple(one for one in self.scan.series if one.kind == "image" and one.id not in refusals)

    @cached_property
    def identity(self) -> Any:
        """Who the written files are (:class:`umed.deid.identity.Identity`)."""
        return self._identity or Derived([i.sop_uid for one in self.chosen for i in one.instances])

    @property
    def derived(self) -> tuple[str, ...]:
        """Ids of the series whose images are new ones of the same patient."""
        return () if self.identity.secret else tuple(one.id for one in self.chosen)

    @property
    def proposals(self) -> Proposals | None:
        """What is known about masks that are proposals."""
        return self.masked.proposals if self.request.settings is not None else None

    @property
    def refused(self) -> Sequence[Quarantined]:
        """What the scan could not use."""
        return [
            Quarantined(name, "no-dicom" if why.startswith(NO_DICOM) or is_system(name) else "file", why)
            for name, why in self.scan.refused
        ]

    @cached_property
    def mixed(self) -> Mapping[str, str]:
        """Series with files of several patients, where each patient gets a new name; and why."""
        return mixed_series(self.scan) if self.identity.secret else {}

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Studies of several patients."""
        return mixed_studies(self.scan, self.mixed) if self.identity.secret else ()

    @property
    def all_aside(self) -> Sequence[Quarantined]:
        """Every file, for a run that can protect none."""
        return [*self.refused, *put_all_aside(self.scan.series, self.mixed, self.masked.refusals)]

    @property
    def carried(self) -> Mapping[str, str]:
        """None: documents beside DICOM files are never taken along."""
        return {}

    def account(self, fates: Mapping[str, tuple[str, str]], aside: Sequence[Quarantined] = ()) -> Accounting:
        """Every file of the scan; of a zip its members."""
        expected = fates_ahead(self.facts()) if self.request.settings is not None else {}
        masks = self.request.masks
        ends = [put_aside(one, self.root, masks) for one in (*self.refused, *aside)]
        named = {one.name for one in ends}
        for series in self.scan.series:
            kind = "image" if series.kind == "image" else "dicom"
            end, why = fates.get(series.id) or expected.get(series.id, ("unchanged", ""))
            grave = end == "left out"
            ends += [
                FileEnd(instance.name, end, kind, why, grave, series.id)
                for instance in series.instances
                if instance.name not in named
            ]
        return make_accounting(ends, hint="")

    @property
    def sizes(self) -> Mapping[str, int]:
        """Files of each series."""
        return {series.id: len(series.instances) for series in self.scan.series}

    def facts(self, every: bool = True) -> Facts:
        """One case a series; ``problems`` names files and masks that cannot be used."""
        assert self.masked.facts is not None
        unused = tuple(entry for entry in self.masked.problems if entry[0] not in self.by_id)
        rows = self.masked.rows
        return replace(self.masked.facts, cases=rows, count=len(rows), problems=(*self.scan.refused, *unused))

    def make_plan(self, settings: Settings) -> Plan:
        """Resolve settings against the series that have a mask."""
        if not any(series.kind == "image" for series in self.scan.series):
            why = "; ".join(group_reasons(self.scan.refused)) or "no image was found"
            raise InputError(f"{self.root}: expected DICOM images, got none that can be read ({why}). Check the path.")
        facts = self.masked.facts
        assert facts is not None
        if not facts.cases:
            reasons = dict.fromkeys([*self.masked.problems, *self.masked.refusals.items()])
            why = "; ".join(group_reasons(reasons, unit="series"))
            raise InputError(
                f"{self.scan.root}: expected at least one image series with a mask that fits, got none ({why}). "
                f"Give --masks DIR, and see umed inspect. {OTHER_FILES}"
            )
        return slice_plan(facts, settings)

    def targets(self) -> list[str]:
        """Every file under its new name."""
        return sorted({self.identity.target(i).as_posix() for one in self.scan.series for i in one.instances})

    def decisive(self, plan: Plan | None) -> dict[str, Any]:
        """Version, identity, syntax and plan."""
        return {
            "version": __version__,
            **self.identity.settings(),
            "syntax": self.request.syntax,
            "protect": plan is not None,
            **{f"plan.{key}": value for key, value in ({} if plan is None else plan.decisive()).items()},
        }

    def plan_text(self, plan: Plan | None) -> str:
        """What is decisive; the plan itself is in the record."""
        return json.dumps(self.decisive(plan), sort_keys=True, indent=1) + "\n"

    def decisive_of(self, text: str) -> dict[str, Any]:
        """Of an earlier run."""
        return dict(parse_json(text))

    def usable(self, series: Series) -> bool:
        """Whether a series can be perturbed or trained on: an image, not refused, with a mask that is not empty."""
        mask = self.masked.masks.get(series.id)
        filled = mask is not None and mask.extent[0] < mask.extent[1]
        refused = series.id in self.masked.refusals or series.id in self.mixed
        return series.kind == "image" and not refused and filled

    def mask_digest(self, case: str) -> str:
        """Hash of the classes of every voxel, 16 hex digits: another mask is another result. Empty without a mask."""
        mask = None if self.request.settings is None else self.masked.masks.get(case)
        if mask is None:
            return ""
        digest = hashlib.sha256()
        for start in range(mask.extent[0], mask.extent[1], MOST_SLICES):
            part = np.ascontiguousarray(mask.slices(start, min(start + MOST_SLICES, mask.extent[1])))
            digest.update(f"{start}".encode() + part.tobytes())
        return digest.hexdigest()[:16]

    def name_run(self, decisive: str, generators: Sequence[str]) -> str:
        """Both hashes, where something is perturbed."""
        return decisive if self.request.settings is None else f"{decisive} {hash_of(generators)}"

    def run_of(self, case: str, run: str) -> str:
        """Another mask is another result, too."""
        return f"{run} {self.mask_digest(case)}"

    def left_alone(self, case: str, output: Path) -> CaseDone | None:
        """A series of several patients or without protection is put aside; what an earlier run made of it goes."""
        series = self.by_id[case]
        refusals = self.masked.refusals if self.request.settings is not None and series.kind == "image" else {}
        if case in self.mixed:
            category, reason = "patients", self.mixed[case]
        elif case in refusals:
            unfit = any(instance.encoding is None for instance in series.instances)
            category, reason = "protection" if unfit else "mask", refusals[case]
        else:
            return None
        for instance in series.instances:
            (output / self.identity.target(instance)).unlink(missing_ok=True)
        aside = tuple(Quarantined(instance.name, category, reason) for instance in series.instances)
        return CaseDone(Outcome(case, "failed", CATEGORIES[category]), aside)

    def recall(self, case: str, record: Record, output: Path) -> CaseDone | None:
        """A series stands as long as its sources and outputs are the same; one that failed is tried again."""
        series = self.by_id[case]
        try:
            if not record.outputs or record.sources["files"] != fingerprints(series, self.identity):
                return None
            names = {self.identity.token(instance.name): instance.name for instance in series.instances}
            aside = tuple(Quarantined(names[token], kind, AGAIN) for token, kind in record.sources["quarantine"])
            actions = Counter({(tag, action): count for tag, action, count in record.sources["actions"]})
            outcome = record.to_outcome()
        except (ValueError, KeyError, TypeError):
            return None
        for name, digest in record.outputs.items():
            path = output / name
            if not path.is_file() or sha256(path) != digest:
                return None
        return CaseDone(outcome, aside, actions)

    def range_of(self, series: Series, plan: Plan, slices: Slices) -> str | tuple[float, float]:
        """The range that all slices of a series share, worked out once."""
        key = (series.id, plan.fingerprint)
        if key not in self._ranges:
            self._ranges[key] = value_range(series, plan, slices, self.masked.masks[series.id])
        return self._ranges[key]

    def role(self, case: str, name: str) -> str:
        """Images, and objects that refer to them."""
        return "image" if self.by_id[case].kind == "image" else "carried"

    def open(self, case: str, plan: Plan) -> SeriesReader:
        """Open a series for reading."""
        series = self.by_id[case]
        return SeriesReader(series, self.masked.masks[case], plan, self.limits, partial(self.range_of, series, plan))

    def writer(self, case: str, plan: Plan | None, output: Path) -> SeriesWriter:
        """Open a series for writing."""
        series = self.by_id[case]
        reader = None if plan is None or not self.usable(series) else self.open(case, plan)
        wanted = self.request.settings is not None
        return SeriesWriter(series, reader, self.identity, output, self.request.syntax, self.limits, asked=wanted)

    def trainable(self) -> list[str]:
        """Image series with a mask that is not empty."""
        return [series.id for series in self.scan.series if self.usable(series)]

    def not_trained(
        self, left_out: Sequence[tuple[str, str]], broken: Mapping[str, Mapping[str, str]], *, public: bool
    ) -> list[tuple[str, str]]:
        """Every image series that is not trained on, or not on all of it; masks that belong to none; files not read."""
        if public:
            return [(name, UNUSABLE) for name, _ in left_out]
        images = [one for one in self.scan.series if one.kind == "image"]
        reasons = {one.id: "the mask is empty" for one in images if not self.usable(one)}
        reasons |= self.masked.refusals
        for name, files in broken.items():
            first, why = next(iter(files.items()))
            reasons[name] = f"slices of {len(files)} files that cannot be decoded, such as {first}: {why}"
        refused: dict[str, list[str]] = {}
        for name, why in self.scan.refused:
            if not why.startswith(NO_DICOM):
                refused.setdefault(why, []).append(name)
        more = {why: f" (and {len(names) - 1} more)" if len(names) > 1 else "" for why, names in refused.items()}
        others = [(names[0], f"{why}{more[why]}") for why, names in refused.items()]
        unused = [entry for entry in self.masked.problems if entry[0] not in self.by_id]
        return [*sorted((reasons | dict(left_out)).items()), *unused, *others]

    def fingerprint(self, case: str) -> Any:
        """Id, images and mask of a series; the images as one hash, the mask as that of its voxels."""
        uids = hashlib.sha256(" ".join(one.sop_uid for one in self.by_id[case].instances).encode()).hexdigest()
        return [case, uids, self.mask_digest(case)]
