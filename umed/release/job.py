# SPDX-License-Identifier: Apache-2.0
"""One run of the DICOM step: masks, plan, then one series at a time; each file is written or quarantined.

Torch is imported only where something is to be protected.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.instance_writer import CATEGORIES, DISK, Refused, write_instance
from umed.cases.masked import Masked, find_masked, mask_digest
from umed.cases.proposals import Proposals, marked, sentence
from umed.core.config import Settings
from umed.core.errors import InputError, UmedError, VerificationError
from umed.core.types import Outcome, Progress
from umed.core.version import __version__
from umed.deid.identity import Derived, Identity
from umed.dicom.masks.series_masks import Mask
from umed.dicom.objects import NO_DICOM, Instance, Limits, Scan, Series
from umed.plan.planning import Plan
from umed.release.audit import finish
from umed.release.journal import Journal
from umed.release.protecting import protect_series
from umed.release.released import Quarantined, Released

if TYPE_CHECKING:
    from umed.methods.base import Method

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is wanted; every field that decides a byte of the output is compared when a run is resumed.

    Args:
        protect: perturb the images; series without a mask are quarantined then.
        masks: folder with masks, beside those in the input.
        syntax: key of :data:`umed.dicom.pixels.pixel_data.SYNTAXES`.
        settings: of the protection.
        generators: folder of trained generators.
    """

    protect: bool
    masks: Path | None
    syntax: str
    settings: Settings
    generators: Path | None = None


class Job:
    """One run: everything that its steps share."""

    def __init__(
        self,
        found: Scan,
        output: Path,
        identity: Identity | None,
        request: Request,
        limits: Limits,
        progress: Progress | None,
    ) -> None:
        self.scan, self.output, self.request, self.limits = found, output, request, limits
        self.progress = progress
        self.quarantine = [Quarantined(name, _kind(reason), reason) for name, reason in found.refused]
        self.actions: Counter[tuple[str, str]] = Counter()
        self.masks: Mapping[str, Mask] = {}
        self.proposals: Proposals | None = None
        self.plan: Plan | None = None
        self.refusals: Mapping[str, str] = {}
        self.masked: Masked | None = None
        if request.protect:
            self.masked = find_masked(found, request.masks, request.settings, limits)
            self.masks, self.refusals, self.plan = self.masked.masks, self.masked.refusals, self.masked.plan
            self.proposals = self.masked.proposals
        chosen = [one for one in found.series if self._protected(one)]
        self.identity = identity or Derived([i.sop_uid for one in chosen for i in one.instances])
        self.derived = () if identity is not None else tuple(one.id for one in chosen)
        self.journal = Journal(output, self.identity, found)

    def _protected(self, series: Series) -> bool:
        return self.request.protect and series.kind == "image" and series.id not in self.refusals

    def go(self, resume: bool, overwrite: bool, report: bool) -> Released:
        """Do it.

        Args:
            resume: go on with an earlier run.
            overwrite: replace an earlier run.
            report: write ``report.html`` too.

        Returns:
            What came of it.
        """
        method = self._method()
        run = self.journal.start(self._settings(), resume=resume, overwrite=overwrite)
        left_out: tuple[tuple[str, str], ...] = ()
        if method is not None:
            left_out = self._prepare(method)
            self._explain(method)
            run = f"{run} {self.journal.generators()}"
        total, done, outcomes = sum(len(one.instances) for one in self.scan.series), 0, []
        for series in self.scan.series:
            outcomes.append(self._series(series, method, run))
            done += len(series.instances)
            if self.progress is not None:
                self.progress("release", done, total)
        # after the records: a mask that was only saved anew has the same voxels, but is no proposal any more
        outcomes = marked(outcomes, self.proposals)
        result = Released(
            self.output, tuple(outcomes), tuple(sorted(self.quarantine, key=lambda q: q.name)), self.actions,
            self.plan, left_out, self.derived, labels=sentence(outcomes, self.proposals),
        )  # fmt: skip
        return finish(result, self.identity, self.journal.store, self.scan, self.masks, self.limits, report)

    def _method(self) -> Method | None:
        """The method, untrained; what is wrong with it is said before anything is written."""
        if self.plan is None:
            return None
        from umed.methods.base import make_method
        from umed.methods.prepare import check_given

        method = make_method(self.plan)
        check_given(method, self.request.generators)
        return method

    def _prepare(self, method: Method) -> tuple[tuple[str, str], ...]:
        """Train or load the method; gives the series that were left out."""
        from umed.methods.prepare import Samples, prepare

        masked = self.masked
        assert masked is not None

        def samples() -> Samples:
            from umed.training.series_samples import UNUSABLE, SeriesSamples

            chosen = [one for one in self.scan.series if masked.usable(one)]
            found = SeriesSamples(chosen, masked.masks, masked.plan, self.limits)
            return found, [(name, UNUSABLE) for name, _ in found.left_out]  # the reason may name a source

        return prepare(method, masked.plan, self.journal.store, self.request.generators, samples, self.progress)

    def _explain(self, method: Method) -> None:
        from umed.methods.prepare import explain

        assert self.plan is not None
        self.plan = explain(method, self.plan)

    def _settings(self) -> dict[str, Any]:
        plan = {} if self.plan is None else self.plan.decisive()
        return {
            "version": __version__,
            **self.identity.settings(),
            "syntax": self.request.syntax,
            "protect": self.request.protect,
            **{f"plan.{key}": value for key, value in plan.items()},
        }

    def _series(self, series: Series, method: Method | None, run: str) -> Outcome:
        """Do one series, or find that it was done."""
        run = f"{run} {mask_digest(self.masks.get(series.id))}"
        kept = self.journal.standing(series, run)
        if kept is not None:
            self.quarantine += [Quarantined(*entry) for entry in kept.quarantine]
            self.actions += kept.actions
            return kept.outcome
        before = len(self.quarantine), self.actions.copy()
        self.journal.discard(series)  # what an earlier run made of other sources must not stay beside the new
        try:
            outcome = self._release(series, method)
        except Exception as error:  # one bad series never stops the batch
            self.actions = before[1].copy()  # of files that are gone again
            self.journal.discard(series)
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            if not isinstance(error, UmedError | OSError | MemoryError):
                logger.warning("series %s failed unexpectedly", series.id, exc_info=True)
            outcome = self._failed(series, _category(error), " ".join(str(error).split()) or type(error).__name__)
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
            unfit = any(instance.encoding is None for instance in series.instances)
            return self._failed(series, "protection" if unfit else "mask", self.refusals[series.id])
        protect = method is not None and self.masked is not None and self.masked.usable(series)
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
        if rectangles:
            reason = "parts of its pixels are blanked out, as the profile says"
        elif status == "unchanged" and self.request.protect:
            reason = "the mask is empty, so there is nothing to protect; the pixels are unchanged"
        return Outcome(series.id, status, reason, measures)  # type: ignore[arg-type]


def _kind(reason: str) -> str:
    return "no-dicom" if reason.startswith(NO_DICOM) else "file"


def _category(error: BaseException) -> str:
    if isinstance(error, Refused):
        return error.category
    if isinstance(error, VerificationError):
        return "write"
    if isinstance(error, OSError):
        return "file"
    return "pixels" if isinstance(error, InputError) else "protection"
