# SPDX-License-Identifier: Apache-2.0
"""What is in a data set and what would be done with it, without doing it; torch is imported for learnt methods only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from umed.cases.opening import open_source
from umed.cases.records import Store
from umed.cases.source import Request, Source, fates_ahead, given_path
from umed.core.config import Settings, make_settings
from umed.core.registry import METHODS
from umed.core.types import Progress
from umed.data.accounting import Accounting
from umed.data.side_findings import dataset_texts
from umed.plan.facts import Facts
from umed.plan.foresee import foresee
from umed.plan.planning import Plan
from umed.protect.start import check_key_place, check_run, find_key


def inspect(
    root: str | Path,
    masks: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    layout: str | Path | None = None,
    progress: Progress | None = None,
) -> Facts:
    """Look at every case of a data set and say what would happen to it, and why.

    Args:
        root: data set, or a folder or zip of DICOM files.
        masks: for DICOM: folder with masks beside those in it.
        overrides: settings that say how masks are read: ``mask_values``, ``mask_background``, ``mask_ignore``.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        progress: called with a stage, the files or cases done and those in all.

    Returns:
        The facts, one case a file case or series; ``problems`` names files and masks that cannot be used, ``files``
        says what is to be expected of every file, ``texts`` names header fields that may name somebody.

    Raises:
        ConfigError: when masks are given for another kind.
        InputError: when the folder is in no known layout, or nothing can be read.
    """
    settings = make_settings("default", overrides)
    with open_source(_request(root, masks, layout, settings), progress=progress) as source:
        return _facts(source, settings)


def plan(
    root: str | Path,
    *,
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Settings | None = None,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    generators: Path | None = None,
    overrides: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    progress: Progress | None = None,
) -> Plan:
    """Say what :func:`umed.protect` would do with a data set, without doing it.

    Args:
        root: data set, or a folder or zip of DICOM files.
        recipe: name, file or mapping.
        settings: used as they are instead of the recipe.
        masks: for DICOM: folder with masks beside those in it.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        generators: folder or file of trained generators.
        overrides: laid over the recipe.
        progress: called with a stage, the files or cases done and those in all.

    Returns:
        The plan.

    Raises:
        ConfigError: when a setting does not fit the data.
        InputError: when no case can be read, or there are no generators there.
    """
    chosen = make_settings(recipe, dict(overrides)) if settings is None else settings
    return look_ahead(root, chosen, masks=masks, layout=layout, generators=generators, progress=progress)[0]


def look_ahead(
    root: str | Path,
    settings: Settings,
    *,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    generators: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, Accounting]:
    """:func:`plan`, and what is to be expected of every file, as far as names and the first bytes tell."""
    with open_source(_request(root, masks, layout, settings), progress=progress) as source:
        return _plan(source, settings, generators), source.account({})


def dry_run(
    root: Path,
    output: Path,
    settings: Settings,
    *,
    masks: Path | None = None,
    layout: Path | None = None,
    generators: Path | None = None,
    key_file: Path | None = None,
    private: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Facts, Plan]:
    """Everything that a run does before it writes.

    Args:
        root: data set, or a folder or zip of DICOM files.
        output: output root.
        settings: what the user chose.
        masks: for DICOM: folder with masks beside those in it.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        generators: folder or file of trained generators.
        key_file: of the release.
        private: folder for what must never be published.
        resume: go on with an earlier run.
        overwrite: replace an earlier run.
        progress: called with a stage, the files or cases done and those in all.

    Returns:
        The facts about every case, and the plan.

    Raises:
        UmedError: as a run would.
    """
    with open_source(_request(root, masks, layout, settings), progress=progress) as source:
        names = source.targets() if source.strict else None
        store = Store(output, private)
        check_key_place(key_file, output)
        check_run(source.root, names, store, resume=resume, overwrite=overwrite)
        find_key(store, key_file)
        made = _plan(source, settings, generators)
        return _facts(source, made), made


def _facts(source: Source, settings: Settings) -> Facts:
    """The facts, what header fields of files say, and what is to be expected of every file."""
    facts, dataset = foresee(source.facts(), settings), getattr(source, "dataset", None)
    texts = () if dataset is None else dataset_texts(dataset)  # those of DICOM are for umed anonymize --check
    return replace(facts, texts=texts, files=source.account(fates_ahead(facts)))


def _request(root: str | Path, masks: str | Path | None, layout: str | Path | None, settings: Settings) -> Request:
    return Request(Path(root), settings, masks=given_path(masks), layout=given_path(layout))


def _plan(source: Source, settings: Settings, generators: Path | None) -> Plan:
    made = source.make_plan(settings)
    if generators is None and not METHODS[made.method].universal:
        return made  # without torch, which takes seconds to import
    from umed.methods.base import make_method
    from umed.methods.prepare import explain

    return explain(make_method(made), made, generators)
