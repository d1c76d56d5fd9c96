# SPDX-License-Identifier: Apache-2.0
"""A demonstration in minutes: protect some cases, then train a thief on them, and the same thief on the originals.

Both are judged on clean cases that were held out from the start: nobody trained on them, and they were never protected.
The two trainings go side by side, a few threads each, so that a busy core slows one of them down and stalls none.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from umed.benchmark.countermeasures.interface import Chain
from umed.benchmark.environment import environment
from umed.benchmark.forecast import FEWEST, usable_facts
from umed.benchmark.grid.case_split import split_cases, subset_dataset
from umed.benchmark.grid.estimate import step_seconds
from umed.benchmark.report.demo_page import Demonstration, write_demo_page
from umed.benchmark.results.cells import Table
from umed.benchmark.results.verdict import judge
from umed.benchmark.run_job import shown_slices, shrinking
from umed.benchmark.victims.build import divisor
from umed.benchmark.victims.case_tensors import Samples, load_samples, window_of
from umed.benchmark.victims.ready import Ready, crop_size, make_ready
from umed.benchmark.victims.scoring import Answers, chance_table, dsc_table, mean_dsc, predict
from umed.benchmark.victims.victim_recipe import Recipe, default_recipe
from umed.benchmark.victims.victim_training import fresh_victim, train_victim
from umed.cases.records import make_private, private_of, write_text
from umed.core.config import Settings, make_settings
from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError, UmedError
from umed.core.progress import words
from umed.core.types import Progress
from umed.data.declared import ruled
from umed.data.layouts import find_dataset
from umed.data.skin_phantom import make_skin_phantom
from umed.protect.result import Result
from umed.protect.run import protect
from umed.protect.verification import Verification
from umed.protect.verify import verify

Say = Callable[[str], None]
VICTIM = "batchnorm_unet"
"""The thief's network: a plain U-Net with batch norm, trained from scratch. With instance norm seeds scatter widely."""
STEPS = {2: 240, 3: 400}
"""Optimiser steps of each training, by the dimensions of the cases."""
SIDE = 96
"""Longest side in pixels that the thief trains at; he shrinks larger images himself, after they were protected."""
MOST, MOST_VOXELS = 96, 60_000_000
"""Cases that are taken of a folder at most, and voxels of all of them together, if that leaves enough cases."""
HELD_OUT = 0.25
"""Share of the cases that judge."""
SHOWN = 6
"""Test cases on the page."""
ORIGINALS, INPUT, RELEASE = "originals", "input", "release"
"""Folders of a demonstration: the phantom, the cases to publish as they were, and the release."""
MARK, PAGE = "README.txt", "demo.html"
"""What tells a demonstration's folder from others, and the page in the private folder."""
MARKED = "Made by umed demo. It holds originals: only the folder release may be published.\n"
"""What stands in the former."""
UNPROTECTED, PROTECTED = "unprotected", "protected"


def demo(
    out: str | Path,
    data: str | Path | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    cases: int = MOST,
    overwrite: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Demonstration:
    """Protect cases, prove the bound, and show what a small network learns from the release and from the originals.

    Args:
        out: folder to make. ``release`` in it may be published where that makes sense; all else is private.
        data: data set of files with labels, never changed; ``None`` for computed pictures of skin.
        steps: optimiser steps of each training; :data:`STEPS` if ``None``.
        seed: of both trainings; not of the code, which a fresh key draws.
        cases: cases that are taken at most.
        overwrite: first delete an earlier demonstration in ``out``, and only that.
        settings: of the protection; umed's default if ``None``.
        progress: called with stage, done, total.
        say: called with a line on what is going to be done, and how long that takes.

    Returns:
        What was found, where the page lies, and what may be published.

    Raises:
        InputError: when the folder holds anything else, or there are too few cases.
        ConfigError: when steps or cases make no sense.
        UmedError: when nothing could be protected.
    """
    begin, tell = time.perf_counter(), say or (lambda _line: None)
    for name, number, least in (("steps", steps, 1), ("cases", cases, FEWEST)):
        if number is not None and number < least:
            raise ConfigError(f"--{name}: expected at least {least}, got {number}.")
    out, settings = Path(out), make_settings("default") if settings is None else settings
    _check_room(out, None if data is None else Path(data), overwrite=overwrite)
    with _few_threads(settings.device) as threads:
        deal = _deal(out, data, cases, settings, progress, tell)
        recipe = _recipe(deal.clean, steps)
        tell(_announce(deal, recipe, settings))
        result, proof, kept = _publish(deal, out / RELEASE, settings, progress)
        stolen = _load(result.output, kept, settings, deal.clean).clip(deal.window)
        test = make_ready(deal.clean.pick(deal.test), Chain())
        sources = {UNPROTECTED: deal.clean.pick(kept), PROTECTED: stolen}
        answers = _train_both(sources, test, recipe, seed, settings, progress)
        tables = {name: dsc_table(one, test.truths, test.classes) for name, one in answers.items()}
        found = Demonstration(
            result=result,
            proof=proof,
            thief=_judged(test, tables, seed),
            phantom=data is None,
            input=deal.source,
            page=private_of(result.output) / PAGE,
            train=len(kept),
            test=len(deal.test),
            steps=recipe.steps,
            seed=seed,
            side=max(max(label.shape) for label in deal.clean.labels),
            threads=threads,
            seconds=round(time.perf_counter() - begin, 1),
        )
        _write_page(found, deal, test, answers, tables)
    return found


@dataclass(frozen=True)
class _Deal:
    """Who gets which cases.

    Args:
        source: copies of those that are published, as they were.
        clean: all cases as the thief's network reads them, unprotected.
        published: ids of those that are published, and that a thief trains on.
        test: ids of those that judge.
        window: of the values of those that are published; the thief knows no others.
    """

    source: Path
    clean: Samples
    published: tuple[str, ...]
    test: tuple[str, ...]
    window: tuple[float, float] | None


def _deal(
    out: Path, data: str | Path | None, cases: int, settings: Settings, progress: Progress | None, tell: Say
) -> _Deal:
    """Draw or choose the cases, and deal them out."""
    root = out / ORIGINALS if data is None else Path(data)
    if data is None:
        _clear(out)
        tell(f"demo: drawing {cases} small pictures of skin, each with a lesion; nothing is downloaded")
        make_skin_phantom(root, cases=cases)
    ids = _drawn(root, settings, cases, _named(progress, "look"))
    if data is not None:
        _clear(out)  # only now: too few cases leave everything as it was
    if progress is not None:
        progress("read the cases, and measure this machine", 0, 0)
    split = split_cases(ids, test=HELD_OUT)
    published = (*split.train, *split.validation)  # no checkpoint is chosen, so nothing is held back for it
    source = subset_dataset(root, published, out / INPUT)
    clean = _load(root, ids, settings)
    window = window_of(clean.pick(published))
    return _Deal(source, clean.clip(window), published, tuple(split.test), window)


def _publish(
    deal: _Deal, release: Path, settings: Settings, progress: Progress | None
) -> tuple[Result, Verification, tuple[str, ...]]:
    """Protect what is published, and prove the bound; gives the ids that are protected, too."""
    result = protect(deal.source, release, settings=settings, progress=_named(progress, "protect"))
    proof = verify(deal.source, result.output, progress=_named(progress, "prove the bound"))
    kept = tuple(one.id for one in result.outcomes if one.status == "protected")
    if len(kept) < FEWEST // 2:
        raise UmedError(
            f"{deal.source}: expected {len(deal.published)} cases to be protected, got {len(kept)}. Try umed inspect."
        )
    return result, proof, kept


def _write_page(
    found: Demonstration, deal: _Deal, test: Ready, answers: Mapping[str, Answers], tables: Mapping[str, Table]
) -> None:
    """Show what both networks say of some test cases."""
    clean = deal.clean.pick(test.ids)
    shown = {name: shown_slices(clean, test.truths, one, SHOWN) for name, one in answers.items()}
    dsc = {
        name: {case: mean_dsc((row,)) for case, row in zip(test.ids, table, strict=True)}
        for name, table in tables.items()
    }
    write_demo_page(found, shown, dsc, environment())


def _check_room(out: Path, data: Path | None, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but an earlier demonstration, or lies in the data or around them."""
    here, there = out.resolve(), None if data is None else data.resolve()
    if there is not None and (here == there or here in there.parents or there in here.parents):
        raise InputError(f"{out}: expected a folder apart from the data, got {data} beside it. Name another: --out.")
    ours = (ORIGINALS, INPUT, RELEASE, private_of(Path(RELEASE)).name)
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    others = set(names) - {MARK, *ours}
    if names and not _is_mark(out / MARK) or others or (out.exists() and not out.is_dir()):
        got = min(others, default="another one")
        raise InputError(f"{out}: expected a new folder or an earlier demonstration, got {got!r}. Name another: --out.")
    if names and not overwrite:
        raise InputError(f"{out}: expected a new folder, got an earlier demonstration. Add --overwrite to replace it.")


def _clear(out: Path) -> None:
    """Make the folder; :func:`_check_room` has made sure that all in it is of an earlier demonstration."""
    for path in out.iterdir() if out.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
    make_private(out)  # it holds originals
    write_text(out / MARK, MARKED)


def _is_mark(path: Path) -> bool:
    """Whether umed demo wrote this; a README of somebody else beside folders called input and release is no leave."""
    try:
        return path.is_file() and not path.is_symlink() and path.read_text(encoding="utf-8") == MARKED
    except (OSError, ValueError):
        return False


@contextmanager
def _few_threads(device: str) -> Iterator[int]:
    """Give each of two trainings its threads, and leave a core: all threads wait for one that is not on a core."""
    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pick_device(device)  # what is not there is said before anything is made
    torch.set_num_threads(max(1, min(before, (cores - 1) // 2)))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _named(progress: Progress | None, name: str) -> Progress | None:
    """Stages of a part, under its name."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}" if stage != name else name, done, total)


def _drawn(root: Path, settings: Settings, most: int, progress: Progress | None) -> tuple[str, ...]:
    """The cases to take: as many as :data:`MOST_VOXELS` allows, but enough of them."""
    facts = usable_facts(root, settings, progress, most=most)
    size = float(np.mean([np.prod(one.shape) for one in facts]))
    room = max(FEWEST, int(MOST_VOXELS / size))
    rows = np.linspace(0, len(facts) - 1, min(room, len(facts))).astype(int)
    return tuple(facts[row].id for row in rows)


def _load(root: Path, ids: tuple[str, ...], settings: Settings, like: Samples | None = None) -> Samples:
    rules = ruled(find_dataset(root), settings).rules
    return load_samples(root, ids, shrinking(SIDE), rules, None if like is None else like.values)


def _recipe(clean: Samples, steps: int | None) -> Recipe:
    dims = clean.labels[0].ndim
    changes: dict[str, Any] = {"steps": steps or STEPS[dims]}
    if dims == 2:
        changes |= {"patch": (SIDE, SIDE), "batch": 8}
    return default_recipe(VICTIM, dims, changes)


def _announce(deal: _Deal, recipe: Recipe, settings: Settings) -> str:
    """What is going to be done, and about how long it takes, measured on this machine."""
    clean = deal.clean
    patch = crop_size([label.shape for label in clean.labels], recipe.patch, divisor(recipe))
    one = step_seconds(recipe, patch, len(clean.images[0]), clean.classes, str(pick_device(settings.device)))
    return (
        f"demo: {len(deal.published)} cases are protected, {len(deal.test)} others stay clean and judge; then two "
        f"trainings of {recipe.steps} steps side by side, about {words(recipe.steps * one)} at the pace of "
        "this machine now, beside the protecting"
    )


def _train_both(
    sources: Mapping[str, Samples],
    test: Ready,
    recipe: Recipe,
    seed: int,
    settings: Settings,
    progress: Progress | None,
) -> dict[str, Answers]:
    """Train the same network on each source, at the same time; what each answers on the test cases."""
    threads, where, stop = torch.get_num_threads(), pick_device(settings.device), threading.Event()
    lock, done = threading.Lock(), dict.fromkeys(sources, 0)
    total, stage = recipe.steps * len(sources), "train two thieves, on the originals and on the release"
    ready = {name: make_ready(one, Chain()) for name, one in sources.items()}
    victims = {name: fresh_victim(recipe, one, seed) for name, one in ready.items()}  # here: they share a generator

    def work(name: str) -> Answers:
        torch.set_num_threads(threads)  # OpenMP keeps it for each thread of Python by itself
        network, window, step = victims[name]

        def report(at: int, _steps: int, _loss: float) -> None:
            if stop.is_set():
                raise InterruptedError
            with lock:
                done[name] = at
                if progress is not None:
                    progress(stage, sum(done.values()), total)

        train_victim(network, ready[name], recipe=recipe, divisor=step, seed=seed, device=where, progress=report)
        return predict(network, test.images, where, window, [truth.shape for truth in test.truths])

    if progress is not None:
        progress(stage, 0, total)
    with ThreadPoolExecutor(len(sources)) as pool:
        waiting = {name: pool.submit(work, name) for name in sources}
        try:
            return {name: one.result() for name, one in waiting.items()}
        except BaseException:
            stop.set()  # the other one ends at its next step
            raise


def _judged(test: Ready, tables: Mapping[str, Table], seed: int) -> Any:
    rows = {name: {seed: (test.ids, table)} for name, table in tables.items()}
    means = [mean_dsc((row,)) for row in chance_table(test.truths, test.classes)]
    chance = {case: float("nan") if mean is None else mean for case, mean in zip(test.ids, means, strict=True)}
    return judge(VICTIM, rows[UNPROTECTED], rows[PROTECTED], chance)
