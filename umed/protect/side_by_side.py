# SPDX-License-Identifier: Apache-2.0
"""Shows a few cases as several strengths would leave them, before anything is decided, trained or protected."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.opening import open_source
from umed.cases.records import PREVIEW, Store, make_private, write_text
from umed.cases.series_figures import Figures
from umed.cases.source import Request, Source, Unit, given_path
from umed.core.config import Settings
from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.keyfile import Key, Secret
from umed.core.progress import LONG, words
from umed.core.reasons import many
from umed.core.types import Progress
from umed.plan.budget import to_unit
from umed.plan.metrics import measure
from umed.plan.planning import Plan
from umed.protect.start import check_run
from umed.report.case_figures import case_figures
from umed.report.case_view import Changed, Shown, ViewRoom, draw_shown
from umed.report.preview_page import (
    AMPLIFIED,
    WHERE,
    PreviewCase,
    Tried,
    difference_name,
    preview_means,
    render_preview,
)
from umed.report.protect_page import drawing_order

if TYPE_CHECKING:
    from umed.methods.base import Method

SHOWN_CASES = 3
Strengths = Sequence[tuple[str, Settings]]


@dataclass(frozen=True)
class Previewed:
    """What came of a preview.

    Args:
        page: the page, which holds originals.
        means: of each strength by name: its epsilon, and the mean of each figure over the cases shown.
        cases: ids of the cases shown.
        expectations: of each strength, what its plan says of the protection; empty where it says nothing.
        total: cases that a run would do.
        seconds: about how long it protects them in one process, timed on the cases shown; NaN of DICOM series.
        trains: whether it trains before.
    """

    page: Path
    means: Mapping[str, Mapping[str, float]]
    cases: tuple[str, ...]
    expectations: Mapping[str, str]
    total: int = 0
    seconds: float = math.nan
    trains: bool = False

    @property
    def lasts(self) -> str:
        """About how long a run protects, in words; empty where it is short or not known."""
        return words(self.seconds) if self.seconds > LONG else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        means = {
            name: {key: None if value != value else value for key, value in one.items()}
            for name, one in self.means.items()
        }
        return {
            "preview": str(self.page),
            "cases": list(self.cases),
            "strengths": means,
            "expectations": dict(self.expectations),
            "lasts": self.lasts or None,
        }

    def summary(self) -> str:
        """A few lines for people."""
        lines = []
        for name, one in self.means.items():
            decibel = f"PSNR {one['psnr']:.4g} dB, in ROI {one['psnr_roi']:.4g} dB"
            seen = f"Delta E in ROI {one['delta_e_roi']:.2f}, 99 % at most {one['delta_e_roi_99']:.2f}"
            lines.append(f"{name}: epsilon {255 * one['epsilon']:.4g}/255, {decibel}, {seen}")
            lines += [f"{name}: {self.expectations[name]}"] if self.expectations[name] else []
        if self.lasts:
            before = "; the training before says its own time" if self.trains else ""
            lines.append(f"protecting all {self.total} takes about {self.lasts}, timed on these{before}")
        return "\n".join(
            [
                *lines,
                f"{many(len(self.cases), 'case')} side by side, with originals: {self.page}",
                "never publish it. Nothing was protected (--preview).",
            ]
        )


def strengths_of(settings: Settings) -> Strengths:
    """The strengths that a preview compares: what was asked by its bound, or else ``invisible``, beside ``strong``."""
    strong = replace(settings, strength="strong")
    if settings.strength == "epsilon" or settings.psnr_target is not None:  # a target may ask for more than 4/255
        return (("as asked", settings), ("strong", strong))
    return (("invisible", replace(settings, strength="invisible")), ("strong", strong))


def write_preview(
    root: str | Path,
    output: str | Path,
    strengths: Strengths,
    *,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    generators: str | Path | None = None,
    private: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Previewed:
    """Draw a few cases in each strength, into a page of the private folder; nothing is trained.

    Generators that are not given are untrained ones, which are what training starts from. The code is drawn from a key
    that nobody keeps, so it is not that of a release.

    Args:
        root: data set, or a folder or zip of DICOM files.
        output: where the release would go; nothing is written there.
        strengths: name and settings of each.
        masks: for DICOM: folder with masks beside those in it.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        generators: folder or file of trained generators.
        private: folder for what must never be published; ``OUTPUT-private`` if ``None``.
        resume: as for a run.
        overwrite: as for a run.
        progress: called with ``"preview"``, the pictures done and the pictures in all.

    Returns:
        Where the page lies, and what it says.

    Raises:
        ConfigError: when a setting does not fit the data, or the method shows nothing before it is trained.
        InputError: when no case can be shown, or the folders may not be written by a run.
    """
    store = Store(Path(output), None if private is None else Path(private))
    request = Request(Path(root), strengths[0][1], masks=given_path(masks), layout=given_path(layout))
    with ExitStack() as stack:
        source = stack.enter_context(open_source(request, progress=progress))
        names = source.targets() if source.strict else None
        check_run(source.root, names, store, resume=resume, overwrite=overwrite, strict=source.strict)
        plans = [(name, source.make_plan(settings)) for name, settings in strengths]
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umed-")))
        methods = [_ready(plan, None if generators is None else Path(generators), work / str(i))
                   for i, (_, plan) in enumerate(plans)]  # fmt: skip
        times: list[float] = []
        shown, failures = _show(source, plans, methods, progress, times)
        total = len(source.trainable())
        trains = generators is None and methods[0].requires_training
    make_private(store.folder)
    page = store.path(PREVIEW)
    write_text(page, render_preview(plans, shown, failures))
    page.chmod(0o600)
    means = {name: {"epsilon": plan.epsilon, **preview_means(shown, name)} for name, plan in plans}
    says = {name: plan.expectation for name, plan in plans}
    seconds = total * median(times) if times else math.nan
    return Previewed(page, means, tuple(case.id for case in shown), says, total, seconds, trains)


def _ready(plan: Plan, given: Path | None, work: Path) -> Method:
    """A method that can be called: with the generators given, else untrained ones."""
    from umed.methods.base import make_method
    from umed.methods.generators import GeneratorMethod
    from umed.methods.prepare import check_given, given_files

    method = make_method(plan, Secret(Key.random(), PREVIEW))
    check_given(method, given)
    if not method.requires_training:
        return method
    work.mkdir(parents=True)
    if given is not None:
        for name, path in given_files(method, given).items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, work / name)
        method.load(work)
    elif isinstance(method, GeneratorMethod):
        method.fit((), replace(plan, training=replace(plan.training, iterations=0)), work)
    else:
        raise ConfigError(
            f"--preview: expected a method that shows something before it is trained, such as umed, got {plan.method}. "
            "Give its trained generators with --generators."
        )
    return method.to(plan.device)


def _show(
    source: Source,
    plans: Sequence[tuple[str, Plan]],
    methods: Sequence[Method],
    progress: Progress | None,
    times: list[float],
) -> tuple[list[PreviewCase], list[str]]:
    """The first cases, in the order of the report, that can be shown; and why others cannot.

    ``times`` gets the seconds that each case of files took to be read, changed and measured, as a run does.
    """
    shown: list[PreviewCase] = []
    failures: list[str] = []
    room = ViewRoom()
    total, done = SHOWN_CASES * len(plans), 0
    if progress is not None:
        progress("preview", 0, total)
    for case in drawing_order(source.trainable(), plans[0][1].seed):
        tried, seen = [], []
        for (name, plan), method in zip(plans, methods, strict=True):
            one, before, after = _try(source, case, name, plan, method, times)
            tried.append(one)
            seen += [] if before is None else [(before, Changed(name, after, difference_name(name)))]
            done += 1
            if progress is not None:
                progress("preview", min(done, total), total)
        if any(one.picture is not None for one in tried):
            made = PreviewCase(case, tuple(tried))
            shown.append(replace(made, payload=_payload(made, seen, room)))
        elif any(one.reason for one in tried):
            failures.append(f"{case} cannot be shown: {next(one.reason for one in tried if one.reason)}")
        if len(shown) == SHOWN_CASES or len(failures) == SHOWN_CASES:
            break
        done = len(shown) * len(plans)
    if not shown:
        first = failures[0] if failures else "no case has a label that is not empty"
        raise InputError(f"{source.root}: expected a case that can be protected, got none ({first}). Run umed inspect.")
    return sorted(shown, key=lambda case: case.id), failures


def _payload(case: PreviewCase, seen: Sequence[tuple[Shown, Changed]], room: ViewRoom) -> dict[str, Any]:
    """What the viewer gets of a case; strengths that look at different slices of a long series stay pictures."""
    before = seen[0][0]
    same = all(one.original.shape == before.original.shape and one.first == before.first for one, _ in seen)
    volume = room.volume(case.id, before, [one for _, one in seen], WHERE) if same and before.labels.ndim == 3 else {}
    return volume or room.picture(case.id, case.names)


def _try(
    source: Source, case: str, name: str, plan: Plan, method: Method, times: list[float]
) -> tuple[Tried, Shown | None, NDArray[np.float64]]:
    """A case in one strength, before and after; a case with an empty label is passed over without a reason."""
    nothing, begin = np.empty(0), time.perf_counter()
    try:
        unit = next(_touched(source, case, plan), None)
        if unit is None:
            return Tried(name), None, nothing
        changed = method(unit.volumes, unit.regions, plan=plan, case_id=unit.name, limits=unit.limits)
    except (UmedError, OSError) as error:
        return Tried(name, reason=error_line(error).replace(f"{source.root}/", "")), None, nothing
    whole = unit.kept == slice(None)
    if whole:
        records = [
            measure(volume, new, unit.regions, budget, slice_axis=plan.slice_axis)
            for volume, new, budget in zip(unit.volumes, changed, unit.limits, strict=True)
        ]
    else:
        figures = Figures()
        figures.add(unit, unit.volumes[0].stored[unit.kept], changed[0][unit.kept])
        records = [figures.to_dict()]
    row = case_figures({"id": case, "status": "protected", "files": records})
    if whole:  # a span of a series says little of files that may hold many slices each
        times.append(time.perf_counter() - begin)
    shown, after = _look(unit, changed[0], plan, whole)
    return Tried(name, draw_shown(shown, after), row), shown, after


def _touched(source: Source, case: str, plan: Plan) -> Iterator[Unit]:
    """Units of a case that may change, from its middle outwards."""
    reader = source.open(case, plan)
    masked = list(reader.masked_units())
    for index in sorted(masked, key=lambda one: abs(one - masked[len(masked) // 2])):
        unit = reader.unit(index)
        if unit.touched:
            yield unit


def _look(unit: Unit, changed: Any, plan: Plan, whole: bool) -> tuple[Shown, NDArray[np.float64]]:
    """The kept part of a unit, before and after; a part of a series, of which slices are the first axis."""
    volume, regions, budget = unit.volumes[0], unit.regions, unit.limits[0]
    labels, roi = np.zeros(regions.shape, np.int16), np.zeros(regions.shape, bool)
    labels[regions.box], roi[regions.box] = regions.labels, regions.roi
    code, (low, high) = volume.encoding, (0.0, 1.0) if budget.channels else budget.unit_range
    before, after = (
        np.asarray(one * code.slope + code.inter if not budget.channels else to_unit(one, code, budget), np.float64)
        for one in (volume.channels[:, unit.kept], replace(volume, stored=changed).channels[:, unit.kept])
    )
    amplitude = (high - low) / AMPLIFIED / (2 if len(before) == 3 else 1)
    shown = Shown(
        original=before,
        labels=labels[unit.kept],
        support=roi[unit.kept],
        spacing=volume.spacing,
        window=(low, high),
        amplitude=amplitude,
        axis=0 if not whole else 2 if plan.slice_axis is None else plan.slice_axis,
        rows_first=not whole,
    )
    return shown, after
