# SPDX-License-Identifier: Apache-2.0
"""Writes a series span by span, every file as soon as its last slice is known; what cannot be written is put aside."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.instance_writer import CATEGORIES, Refused, write_instance
from umed.cases.records import Record
from umed.cases.series_figures import Figures
from umed.cases.series_reader import SeriesReader
from umed.cases.source import CaseDone, Quarantined, Unit
from umed.cases.spans import Span
from umed.cases.text_look import look_for_text
from umed.core.errors import BudgetError, InputError, VerificationError, error_line
from umed.core.ranges import Ranges
from umed.core.types import Outcome, Volume
from umed.deid.identity import Identity, Names
from umed.dicom.members import FileRef, ZipMember, digest_of
from umed.dicom.objects import Instance, Limits, Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader as files
from umed.plan.promise import compare
from umed.plan.range_fit import check_fit

FEW_LEVELS = 16
"""Series that use fewer stored steps are test objects or masks called CT; they are not held to a range."""


class SeriesWriter:
    """A series that is being written; see :class:`umed.cases.source.CaseWriter`.

    Args:
        series: what is written.
        reader: gives the spans of a series that is perturbed; ``None`` where it only goes through.
        identity: who the written files are.
        output: output root.
        syntax: of written images.
        limits: bounds against hostile files.
        asked: whether images are to be protected, where they have a mask.
    """

    def __init__(
        self,
        series: Series,
        reader: SeriesReader | None,
        identity: Identity,
        output: Path,
        syntax: str,
        limits: Limits,
        *,
        asked: bool,
    ) -> None:
        self.series, self.reader, self.identity = series, reader, identity
        self.output, self.syntax, self.limits, self.asked = output, syntax, limits, asked
        self.figures = Figures()
        self.quarantine: list[Quarantined] = []
        self.actions: Counter[tuple[str, str]] = Counter()
        self._digests: dict[str, str] = {}
        self._rectangles: dict[str, list[tuple[int, ...]]] = {}
        self._accepted: Counter[str] = Counter()
        self._looked_at = 0
        self._open: dict[int, tuple[NDArray[Any], set[int], bool]] = {}
        self._frames: dict[int, set[int]] = {}
        for file, frame in series.slices:
            self._frames.setdefault(file, set()).add(frame)
        self._span: Span | None = None

    def __enter__(self) -> SeriesWriter:
        self._discard()  # what an earlier run made of other sources must not stay beside the new
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()

    def units(self) -> Iterator[Unit]:
        """Its spans, in slice order; text in the pixels is looked for before anything is written."""
        self._looked_at = look_for_text(self.series, self.identity, self.limits)
        if self.reader is None:
            return
        looked = False
        for index, span in enumerate(self.reader.spans):
            self._span = span
            unit = self.reader.unit(index)
            if not looked and unit.touched:
                looked = True
                _check_fit(unit.volumes, self.reader.shared)
            yield unit

    def seed(self, unit: Unit) -> str:
        """The series' new UID, the first slice and the pixels, so that one code is never on two images."""
        pixels = hashlib.sha256()
        for volume in unit.volumes:
            pixels.update(np.ascontiguousarray(volume.stored).tobytes())
        return f"{self.identity.uid(self.series.uid)}/{unit.name}/{pixels.hexdigest()}"

    def put(self, unit: Unit, changed: Sequence[NDArray[Any]] | None) -> None:
        """Write the kept slices of a span."""
        assert self._span is not None
        [volume] = unit.volumes
        before = after = volume.stored[unit.kept]
        if changed is not None:
            [whole] = changed
            after = whole[unit.kept]
            new = replace(volume, stored=whole).channels[:, unit.kept]
            old = volume.channels[:, unit.kept]
            compared = compare(old, new, unit.regions, unit.limits[0], start=unit.kept.start, mask="mask")
            compared.check(f"slices {self._span.kept[0] + 1} to {self._span.kept[1]}")
        self.figures.add(unit, before, after)
        for place, (old, now) in enumerate(zip(before, after, strict=True)):
            self._put_slice(self._span.kept[0] + place, now, bool((old != now).any()))

    def _put_slice(self, index: int, values: NDArray[Any], changed: bool) -> None:
        """Write a file of one frame at once, one of several when its last frame is known."""
        assert self.reader is not None
        file, frame = self.series.slices[index]
        if file in self.reader.slices.broken:
            self._open.pop(file, None)
            return
        instance = self.series.instances[file]
        if instance.shape[0] == 1:
            self._write(instance, values[None], changed)
            return
        if file not in self._open:
            dataset = files.read(instance.path, self.limits, pixels=True)
            self._open[file] = np.array(pixel_data.decode(dataset, self.limits)), set(), False
        stack, frames, before = self._open[file]
        stack[frame] = values
        frames.add(frame)
        self._open[file] = stack, frames, before or changed
        if frames == self._frames[file]:
            self._write(instance, stack, before or changed)
            del self._open[file]

    def _write(self, instance: Instance, values: NDArray[np.generic] | None, changed: bool) -> None:
        try:
            written = write_instance(
                instance, values, self.identity, self.output,
                syntax=self.syntax, protected=changed, limits=self.limits,
            )  # fmt: skip
        except Refused as error:
            self.quarantine.append(Quarantined(instance.name, error.category, str(error)))
            return
        name = self.identity.target(instance).as_posix()
        self._digests[name] = written.digest
        self.actions.update(written.counts)
        if written.accepted:
            self._accepted[written.accepted] += 1
        if written.rectangles:
            self._rectangles[name] = [tuple(int(n) for n in box) for box in written.rectangles]

    def done(self) -> CaseDone:
        """Write what only goes through, and say what came of the series."""
        measures: dict[str, Any] = {}
        if self.reader is None:
            for instance in self.series.instances:
                self._write(instance, None, False)
        else:
            self._check_read(self.reader)
            measures["files"] = [{**self.figures.to_dict(), "can_change": self.figures.able.share}]
            weak = self.figures.able.weak()
            measures |= {"weak": "; ".join(weak)} if weak else {}
        if not self._digests:
            outcome = Outcome(self.series.id, "failed", "every file of it was quarantined")
            return CaseDone(outcome, tuple(self.quarantine), self.actions)
        kind = self.series.kind
        measures |= {"sha256": self._digests, "modality": self.series.modality, "kind": kind}
        measures |= {"looked_at": self._looked_at} if self._looked_at else {}
        measures |= {"accepted_burned_in": dict(sorted(self._accepted.items()))} if self._accepted else {}
        protect = self.reader is not None
        status = "protected" if protect else "unchanged" if kind == "image" else "carried"
        reason = "" if protect else "its pixels are unchanged" if kind == "image" else "its references follow"
        if self._rectangles:
            measures["rectangles"] = self._rectangles
            reason = "parts of its pixels are blanked out, as the profile says"
        elif status == "unchanged" and self.asked:
            reason = "the mask is empty, so there is nothing to protect; the pixels are unchanged"
        return CaseDone(Outcome(self.series.id, status, reason, measures), tuple(self.quarantine), self.actions)  # type: ignore[arg-type]

    def _check_read(self, reader: SeriesReader) -> None:
        """Put files aside that could not be read; a series of which nothing was read or changed fails."""
        broken = reader.slices.broken
        if len(broken) == len(self.series.instances):
            raise InputError(
                f"{self.series.id}: expected at least one readable file, got none: {next(iter(broken.values()))}"
            )
        if not self.figures.changed:
            shared = reader.shared
            name = "the range of each slice" if shared == "dtype" else f"the range {shared}"
            raise BudgetError(
                f"{self.series.id}: expected pixels in its ROI that may change, got none: all are padding or outside "
                f"{name}. Set range so that it holds the values of the ROI, or leave the series out."
            )
        for file, reason in sorted(broken.items()):
            self.quarantine.append(Quarantined(self.series.instances[file].name, "pixels", reason))

    def failed(self, error: BaseException) -> CaseDone:
        """Every file of the series is put aside; the outcome says why in general words."""
        category, reason = _category(error), error_line(error)
        known = {entry.name for entry in self.quarantine}
        others = [Quarantined(i.name, category, reason) for i in self.series.instances if i.name not in known]
        self.quarantine += others
        return CaseDone(Outcome(self.series.id, "failed", CATEGORIES[category]), tuple(self.quarantine))

    def record(self, done: CaseDone, run: str) -> Record:
        """Fingerprints of what was read; reasons stay out, since they may name what must not get out."""
        sources = {
            "files": fingerprints(self.series, self.identity),
            "quarantine": [[self.identity.token(entry.name), entry.category] for entry in done.quarantine],
            "actions": sorted([tag, action, count] for (tag, action), count in done.actions.items()),
        }
        return Record(asdict(done.outcome), run, sources, done.outcome.measures.get("sha256", {}))

    def _discard(self) -> None:
        there: dict[Path, bool] = {}
        for instance in self.series.instances:
            path = self.output / self.identity.target(instance)
            if path.parent not in there:
                there[path.parent] = path.parent.exists()
            if there[path.parent]:
                path.unlink(missing_ok=True)


def fingerprints(series: Series, identity: Names) -> list[str]:
    """Of the source files: name, size and time of change; the content for members of a zip.

    Args:
        series: their series.
        identity: hides the names.
    """
    return [identity.token(f"{i.name} {_state(i.path)}") for i in series.instances]


def _state(path: FileRef) -> str:
    if isinstance(path, ZipMember):
        return digest_of(path)
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _check_fit(volumes: Sequence[Volume], shared: Ranges) -> None:
    """A CT that was rescaled to 0..1 must not move by HU; one of a few levels holds no picture, and fits."""
    if int(np.ptp(volumes[0].stored.astype(np.int64))) < FEW_LEVELS:
        return
    try:
        check_fit(volumes, shared, ())
    except InputError as error:
        raise Refused("protection", str(error)) from error


def _category(error: BaseException) -> str:
    if isinstance(error, Refused):
        return error.category
    if isinstance(error, VerificationError):
        return "write"
    if isinstance(error, OSError):
        return "file"
    return "pixels" if isinstance(error, InputError) else "protection"
