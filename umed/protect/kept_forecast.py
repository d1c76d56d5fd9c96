# SPDX-License-Identifier: Apache-2.0
"""The forecast that a run keeps beside its records and shows: only one that was made for its own files and settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from umed.cases.file_source import FileSource
from umed.cases.forecast_fit import misfit
from umed.cases.records import FORECAST, Store, write_json
from umed.cases.source import Source
from umed.plan.planning import Plan


def keep_forecast(
    store: Store, source: Source, plan: Plan | None, given: Mapping[str, Any] | None, *, trained: bool
) -> tuple[dict[str, Any] | None, str]:
    """Take over the forecast that was given, or that of the run that goes on; one of anything else is taken away.

    Args:
        store: of the run.
        source: what is read.
        plan: of the run.
        given: what ``Forecast.to_dict()`` gave; ``None`` where nothing was given.
        trained: whether trained generators were given to the run.

    Returns:
        The forecast, ``None`` where there is none that fits; and why one is not shown, empty where none was left out.
        That is also warned of at once, since a run may take hours.
    """
    found = dict(given) if given is not None else store.forecast()
    if found is None:
        return None, ""
    why = "forecasts are of data sets of files"
    if isinstance(source, FileSource) and plan is not None:
        why = misfit(found, plan, source.dataset, trained=trained)
    if not why:
        write_json(store.path(FORECAST), found)
        return found, ""
    store.path(FORECAST).unlink(missing_ok=True)
    again = f"umed plan {source.root} --forecast, with the other options of this run"
    unfit = f"the earlier forecast is not shown: {why}. Make it again: {again}"
    warnings.warn(unfit, stacklevel=2)
    return None, unfit
