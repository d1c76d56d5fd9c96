# SPDX-License-Identifier: Apache-2.0
"""Makes a method ready for DICOM series: loads trained generators, or trains them on the series at hand."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from umed.dicom.masks import Mask
from umed.dicom.types import Limits, Series
from umed.errors import InputError
from umed.io import files
from umed.methods.base import Method
from umed.planning import Plan
from umed.records import GENERATORS, WORK, Store
from umed.release.samples import SeriesSamples
from umed.types import Progress

UNUSABLE = "cannot be read, or has other channels than most series"


def given_files(method: Method, given: Path | None) -> list[str]:
    """Names of the files of trained generators, before anything is written.

    Args:
        method: that is to use them.
        given: folder of trained generators, ``None`` when they are to be trained.

    Raises:
        InputError: when there are none, or the method learns nothing.
    """
    if given is None:
        return []
    if not method.requires_training:
        raise InputError(f"--generators {given}: the method {method.name} learns nothing. Leave the option out.")
    names = sorted(path.name for path in given.iterdir() if path.is_file()) if given.is_dir() else []
    if not names:
        raise InputError(f"{given}: expected trained generators, got none. Give OUTPUT/umed/generators of a run.")
    return names


def prepare(
    method: Method,
    plan: Plan,
    series: Sequence[Series],
    masks: Mapping[str, Mask],
    store: Store,
    given: Path | None,
    limits: Limits,
    progress: Progress | None,
) -> tuple[tuple[str, str], ...]:
    """Make a method ready.

    Args:
        method: untrained.
        plan: the resolved plan.
        series: image series with a mask that is not empty.
        masks: by series id.
        store: records of the output.
        given: folder of trained generators; ``None`` trains them.
        limits: bounds against hostile files.
        progress: called with a stage, the steps done and the steps in all.

    Returns:
        Series that were left out of the training, with the reason.

    Raises:
        InputError: when the generators are missing or do not fit.
    """
    names = given_files(method, given)
    if not method.requires_training:
        return ()
    kept = store.path(GENERATORS)
    if given is not None:
        wanted = {name: files.sha256(given / name) for name in names}
        if kept.is_dir() and {p.name: files.sha256(p) for p in kept.iterdir() if p.is_file()} != wanted:
            raise InputError(f"{given}: expected the generators of the resumed run, got others. Give --overwrite.")
        for name in names:
            files.copy(given / name, kept / name)
    elif not kept.is_dir():
        samples = SeriesSamples(series, masks, plan, limits)
        method.fit(samples, plan, store.path(WORK), progress)
        store.write_left_out((name, UNUSABLE) for name, _ in samples.left_out)  # the reason may name a source
        fresh = store.path(WORK) / GENERATORS
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        method.save(fresh)
        fresh.replace(kept)  # whole or not there
    method.load(kept)
    method.to(plan.device)
    if store.path(WORK).is_dir():
        shutil.rmtree(store.path(WORK))
    return store.left_out()
