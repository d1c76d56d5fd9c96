# SPDX-License-Identifier: Apache-2.0
"""The DICOM step: scan, find masks, plan, then one series at a time, each file written whole or quarantined."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed import __version__
from umed.config import Settings, make_settings
from umed.deid.keys import Key
from umed.deid.profile import load_profile
from umed.dicom import masks as finding
from umed.dicom.masks import Mask
from umed.dicom.pixels import SYNTAXES
from umed.dicom.scan import scan
from umed.dicom.types import Instance, Limits, Scan, Series
from umed.errors import BudgetError, ConfigError, InputError, UmedError, VerificationError, did_you_mean
from umed.facts import Facts
from umed.io import files
from umed.methods.base import Method, make_method
from umed.planning import Plan, make_plan
from umed.release import training
from umed.release.journal import Journal
from umed.release.protecting import protect_series
from umed.release.write import CATEGORIES, DISK, Refused, write_instance
from umed.series.facts import look
from umed.series.identity import Anonymous, Derived, Identity
from umed.types import Outcome, Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quarantined:
    """A file that is not in the output.

    Args:
        name: in the input.
        category: key of :data:`umed.release.write.CATEGORIES`.
        reason: the whole story.
    """

    name: str
    category: str
    reason: str


@dataclass(frozen=True)
class Released:
    """What came of a run.

    Args:
        output: output root.
        outcomes: one a series.
        quarantine: files that are not in the output.
        actions: how often each tag met each action of the profile.
        plan: ``None`` when nothing was to be protected.
        left_out: series that could not be used for training.
        derived: series whose images are new ones of the same patient, so that references to them follow.
        private: list of what was quarantined, with names; never to be released.
        report: the report, ``None`` when it was not wanted.
    """

    output: Path
    outcomes: tuple[Outcome, ...]
    quarantine: tuple[Quarantined, ...] = ()
    actions: Mapping[tuple[str, str], int] | None = None
    plan: Plan | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    derived: tuple[str, ...] = ()
    private: Path | None = None
    report: Path | None = None

    @property
    def written(self) -> int:
        """Number of files in the output."""
        return sum(len(outcome.measures.get("sha256", ())) for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when every DICOM file was released, 3 when some were quarantined, 1 when all were."""
        if not self.written:
            return 1
        return 3 if any(entry.category != "no-dicom" for entry in self.quarantine) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``; names files of the source."""
        return {
            "output": str(self.output),
            "report": None if self.report is None else str(self.report),
            "private": None if self.private is None else str(self.private),
            "exit_code": self.exit_code,
            "files_written": self.written,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "quarantine": [asdict(entry) for entry in self.quarantine],
            "left_out_of_training": [list(item) for item in self.left_out],
        }


@dataclass(frozen=True)
class Request:
    """What is wanted; every field that decides a byte of the output is compared when a run is resumed.

    Args:
        protect: perturb the images; series without a mask are quarantined then.
        masks: folder with masks, beside those in the input.
        syntax: key of :data:`umed.dicom.pixels.SYNTAXES`.
        settings: of the protection.
        generators: folder of trained generators.
    """

    protect: bool
    masks: Path | None
    syntax: str
    settings: Settings
    generators: Path | None = None


def anonymize(
    input: str | Path,
    output: str | Path,
    *,
    key_file: str | Path,
    protect: bool = False,
    masks: str | Path | None = None,
    profile: str | Path = "basic",
    accept_burned_in: bool = False,
    transfer_syntax: str = "explicit-le",
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    generators: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    limits: Limits | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Released:
    """De-identify a folder of DICOM files (PS3.15 Annex E), and protect its images too if asked for.

    Args:
        input: folder, any mess of files below it, or a zip of one; never changed.
        output: new folder outside ``input``.
        key_file: secret from ``umed keygen``; the same key gives the same UIDs next year.
        protect: perturb every image series that has a mask; those without are quarantined.
        masks: folder with masks (SEG, RTSTRUCT, NIfTI, PNG) beside those in the input.
        profile: shipped name, several joined by ``+`` (``"longitudinal+device_identity"``), or a YAML file.
        accept_burned_in: release pictures that may hold burned-in text. Look at them first.
        transfer_syntax: of written images, always lossless.
        recipe: of the protection, as in :func:`umed.protect`.
        settings: used as they are instead of the recipe.
        generators: folder of trained generators; nothing is trained then.
        resume: go on with a stopped run; the same bytes in the end.
        overwrite: first delete what umed wrote to ``output``, and only that.
        report: write ``umed/report.html``.
        limits: bounds against hostile input.
        progress: called with a stage, the steps done and the steps in all.
        overrides: any setting of the protection, laid over the recipe.

    Returns:
        What came of each series and file.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another one.
    """
    key = Key.load(Path(key_file))
    if Path(output).resolve() in Path(key_file).resolve().parents:
        raise ConfigError(f"--key-file {key_file}: expected a key outside the output, got one inside. Move it away.")
    identity = Anonymous(key, load_profile(profile), accept_burned_in)
    chosen = make_settings(recipe, overrides) if settings is None else settings
    request = Request(protect, _path(masks), transfer_syntax, chosen, _path(generators))
    return release(
        Path(input), Path(output), identity, request, limits=limits, resume=resume, overwrite=overwrite,
        report=report, progress=progress,
    )  # fmt: skip


def release(
    source: Path,
    output: Path,
    identity: Identity | None,
    request: Request,
    *,
    limits: Limits | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Released:
    """Release a folder under an identity; :func:`anonymize` and ``umed protect`` both end here.

    Args:
        source: folder or zip.
        output: output root.
        identity: ``None`` keeps patients as they are and derives new images.
        request: what is wanted.
        limits: bounds against hostile input.
        resume: go on with a stopped run.
        overwrite: replace an earlier run.
        report: write the report.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        What came of it.

    Raises:
        InputError: when the input cannot be read at all, or the output may not be written.
        ConfigError: when a setting is wrong, or a resumed run had another one.
    """
    if request.syntax not in SYNTAXES:
        hint = did_you_mean(request.syntax, SYNTAXES)
        raise ConfigError(f"transfer_syntax: expected one of {', '.join(SYNTAXES)}, got {request.syntax!r}.{hint}")
    if not source.exists():
        raise InputError(f"{source}: expected a folder or zip of DICOM files, got nothing. Check the path.")
    files.check_output(source, output, resume=resume or overwrite)
    with tempfile.TemporaryDirectory(prefix="umed-") as work:
        bounds = limits or Limits()
        found = scan(source, Path(work) / "input", bounds, progress)
        if not found.series:
            first = "; ".join(f"{name}: {reason}" for name, reason in found.refused[:3]) or "no file was found"
            raise InputError(f"{source}: expected DICOM files, got none that can be released ({first}).")
        return _Run(found, output, identity, request, bounds, Path(work), progress).go(resume, overwrite, report)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


class _Run:
    """One run: everything that its steps share."""

    def __init__(
        self,
        found: Scan,
        output: Path,
        identity: Identity | None,
        request: Request,
        limits: Limits,
        work: Path,
        progress: Progress | None,
    ) -> None:
        self.scan, self.output, self.request, self.limits = found, output, request, limits
        self.work, self.progress = work, progress
        self.quarantine = [Quarantined(name, _kind(reason), reason) for name, reason in found.refused]
        self.actions: Counter[tuple[str, str]] = Counter()
        self.masks: dict[str, Mask] = {}
        self.plan: Plan | None = None
        self.refusals: dict[str, str] = {}
        if request.protect:
            self._find()
        chosen = [one for one in found.series if self._protected(one)]
        self.identity = identity or Derived([i.sop_uid for one in chosen for i in one.instances])
        self.derived = () if identity is not None else tuple(one.id for one in chosen)
        self.journal = Journal(output, self.identity, found)

    def _find(self) -> None:
        """Masks, facts and the plan."""
        self.masks, problems = finding.find(self.scan, self.request.masks, limits=self.limits)
        self.problems = dict(problems)
        rows, facts = look(self.scan, self.masks, self.problems, self.limits)
        self.refusals = {row.id: row.why for row in rows if row.action == "refuse"}
        if not facts.cases:
            why = "; ".join(f"{name}: {reason}" for name, reason in [*problems, *self.refusals.items()][:3])
            raise InputError(
                f"{self.scan.root}: expected at least one image series with a mask that fits, got none ({why}). "
                "Give --masks DIR, and see umed inspect."
            )
        self.plan = slice_plan(facts, self.request.settings)

    def _protected(self, series: Series) -> bool:
        return self.request.protect and series.kind == "image" and series.id not in self.refusals

    def go(self, resume: bool, overwrite: bool, report: bool) -> Released:
        method = make_method(self.plan) if self.plan is not None else None
        run = self.journal.start(self._settings(), resume=resume, overwrite=overwrite)
        left_out: tuple[tuple[str, str], ...] = ()
        if method is not None and self.plan is not None:
            chosen = [one for one in self.scan.series if self._protected(one) and self._extent(one)]
            left_out = training.prepare(
                method, self.plan, chosen, self.masks, self.journal.store, self.request.generators, self.limits,
                self.progress,
            )  # fmt: skip
            run = f"{run} {self.journal.generators()}"
        total, done, outcomes = sum(len(one.instances) for one in self.scan.series), 0, []
        for series in self.scan.series:
            outcomes.append(self._series(series, method, run))
            done += len(series.instances)
            if self.progress is not None:
                self.progress("release", done, total)
        result = Released(
            self.output, tuple(outcomes), tuple(sorted(self.quarantine, key=lambda q: q.name)), self.actions,
            self.plan, left_out, self.derived,
        )  # fmt: skip
        from umed.release.audit import finish

        return finish(result, self.identity, self.journal.store, self.scan, self.masks, self.limits, report)

    def _settings(self) -> dict[str, Any]:
        plan = {} if self.plan is None else self.plan.decisive()
        return {
            "version": __version__,
            "identity": self.identity.fingerprint,
            "syntax": self.request.syntax,
            "protect": self.request.protect,
            **{f"plan.{key}": value for key, value in plan.items()},
        }

    def _extent(self, series: Series) -> bool:
        mask = self.masks.get(series.id)
        return mask is not None and mask.extent[0] < mask.extent[1]

    def _series(self, series: Series, method: Method | None, run: str) -> Outcome:
        """Do one series, or find that it was done."""
        kept = self.journal.standing(series, run)
        if kept is not None:
            self.quarantine += [Quarantined(*entry) for entry in kept.quarantine]
            self.actions += kept.actions
            return kept.outcome
        before = len(self.quarantine), self.actions.copy()
        try:
            outcome = self._release(series, method)
        except OSError as error:
            self.journal.discard(series)
            if error.errno in DISK:
                raise UmedError(
                    f"{self.output}: cannot be written ({error.strerror}). Make room and give --resume to go on."
                ) from error
            outcome = self._failed(series, "file", f"{type(error).__name__}: {error.strerror}")
        except (UmedError, MemoryError) as error:
            self.journal.discard(series)
            outcome = self._failed(series, _category(error), " ".join(str(error).split()) or type(error).__name__)
        except Exception as error:  # one bad series never stops the batch
            self.journal.discard(series)
            logger.warning("series %s failed unexpectedly", series.id, exc_info=True)
            outcome = self._failed(series, "protection", f"{type(error).__name__}: {error}")
        self.journal.write(
            series, run, outcome,
            [(q.name, q.category, q.reason) for q in self.quarantine[before[0]:]], self.actions - before[1],
        )  # fmt: skip
        return outcome

    def _failed(self, series: Series, category: str, reason: str) -> Outcome:
        known = {entry.name for entry in self.quarantine}
        self.quarantine += [Quarantined(i.name, category, reason) for i in series.instances if i.name not in known]
        return Outcome(series.id, "failed", CATEGORIES[category])

    def _release(self, series: Series, method: Method | None) -> Outcome:
        if self.request.protect and series.kind == "image" and series.id in self.refusals:
            return self._failed(series, "mask", self.refusals[series.id])
        protect = method is not None and self._protected(series) and self._extent(series)
        digests: dict[str, str] = {}
        rectangles: dict[str, list[tuple[int, ...]]] = {}

        def sink(instance: Instance, values: NDArray[np.generic] | None, changed: bool) -> None:
            try:
                written = write_instance(
                    instance, values, self.identity, self.output,
                    syntax=self.request.syntax, protected=changed, limits=self.limits,
                )  # fmt: skip
            except Refused as error:
                self.quarantine.append(Quarantined(instance.name, error.category, str(error)))
                return
            name = self.identity.target(instance).as_posix()
            digests[name] = written.digest
            self.actions.update(written.counts)
            if written.rectangles:
                rectangles[name] = [tuple(int(n) for n in box) for box in written.rectangles]

        measures: dict[str, Any] = {}
        if protect:
            assert method is not None and self.plan is not None
            seed = f"{self.identity.uid(series.uid)}/{series.id}"
            figures, broken = protect_series(series, self.masks[series.id], method, self.plan, seed, self.limits, sink)
            for file, reason in sorted(broken.items()):
                self.quarantine.append(Quarantined(series.instances[file].name, "pixels", reason))
            measures["files"] = [figures.to_dict()]
        else:
            for instance in series.instances:
                sink(instance, None, False)
        if not digests:
            return Outcome(series.id, "failed", "every file of it was quarantined")
        measures |= {"sha256": digests, "modality": series.modality, "kind": series.kind}
        if rectangles:
            measures["rectangles"] = rectangles
        status = "protected" if protect else "unchanged" if series.kind == "image" else "carried"
        reason = "" if protect else "its pixels are unchanged" if series.kind == "image" else "its references follow"
        if status == "unchanged" and self.request.protect:
            reason = "the mask is empty, so there is nothing to protect; the pixels are unchanged"
        return Outcome(series.id, status, reason, measures)  # type: ignore[arg-type]


def slice_plan(facts: Facts, settings: Settings) -> Plan:
    """Make the plan of a scan: slice-wise methods always go through the slices as they were taken.

    Args:
        facts: from :func:`umed.series.facts.look`.
        settings: what the user chose.

    Returns:
        The plan.
    """
    plan = make_plan(facts, settings)
    if plan.spatial_dims == 2 and plan.slice_axis != 0:
        plan = make_plan(facts, replace(settings, spatial_dims=2, slice_axis=0))
    return plan


def _kind(reason: str) -> str:
    return "no-dicom" if reason.startswith("is not a DICOM file") else "file"


def _category(error: BaseException) -> str:
    if isinstance(error, Refused):
        return error.category
    if isinstance(error, VerificationError):
        return "write"
    return "protection" if isinstance(error, BudgetError | ConfigError | MemoryError) else "pixels"
