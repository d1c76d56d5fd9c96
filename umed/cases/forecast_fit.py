# SPDX-License-Identifier: Apache-2.0
"""What a forecast was made for, and whether a run is still that: a figure must never stand beside other images."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from umed.cases.records import is_figure
from umed.core.types import Dataset
from umed.core.version import __version__
from umed.data import formats
from umed.data.inventory import settle
from umed.plan.planning import Plan, differences

FIGURES = ("steps", "seeds", "train", "test", "side", "epsilon", "trained")
"""What a report says of how a forecast was made, beside its method."""


def made_for(plan: Plan, dataset: Dataset, *, trained: bool) -> dict[str, Any]:
    """What decides a forecast, as plain values for its JSON.

    Args:
        plan: that it tries.
        dataset: that it draws from.
        trained: whether trained generators were given.

    Returns:
        Version, every setting that decides a byte, and a hash of the names, sizes and times of all files of cases.
    """
    return {
        "umed": __version__,
        "settings": json.loads(json.dumps(plan.decisive())),
        "cases": len(settle(dataset).cases),
        "files": _files_state(dataset),
        "trained": trained,
    }


def misfit(content: Mapping[str, Any], plan: Plan, dataset: Dataset, *, trained: bool) -> str:
    """Why a forecast says nothing of a run, in words; empty where it was made for just this.

    Args:
        content: of the forecast, see :func:`umed.cases.records.check_forecast`.
        plan: of the run.
        dataset: of the run.
        trained: whether trained generators were given to the run.
    """
    before, now = content.get("made_for"), made_for(plan, dataset, trained=trained)
    whole = all(is_figure(content.get(name)) for name in FIGURES) and "method" in content
    if not whole or not isinstance(before, Mapping) or not isinstance(before.get("settings"), Mapping):
        return "it does not say which files and settings it was made for"
    found = differences(before["settings"], now["settings"])
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"it was made for other settings ({found[0]}{more})"
    if before.get("trained") != trained:
        return f"it was made with{'' if before.get('trained') else 'out'} trained generators"
    if before.get("cases") != now["cases"]:
        return f"it was made for {before.get('cases')} cases, and there are {now['cases']}"
    if before.get("files") != now["files"]:
        return "files of the input have changed since (their names, sizes or times)"
    return "" if before.get("umed") == __version__ else f"it was made by umed {before.get('umed')}"


def _files_state(dataset: Dataset) -> str:
    """Hash of what the system says of every file of a case; nothing is read, since a data set may be large."""
    digest = hashlib.sha256()
    for case in settle(dataset).cases:
        digest.update(json.dumps([case.id, case.id in dataset.split]).encode())
        for name in (*case.images, *case.labels):
            for path in formats.with_companions(dataset.root, name):
                try:
                    known = os.stat(dataset.root / path)
                    state = [path.as_posix(), known.st_size, known.st_mtime_ns]
                except OSError as error:
                    state = [path.as_posix(), error.errno]
                digest.update(json.dumps(state).encode())
    return digest.hexdigest()
