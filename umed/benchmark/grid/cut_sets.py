# SPDX-License-Identifier: Apache-2.0
"""The data sets of a grid: found, cut to the cases that are wanted, split, and hashed; sources are never changed."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from umed.benchmark.grid.case_split import Split, labelled_ids, resized_pictures, split_cases, subset_dataset
from umed.benchmark.grid.grid import DataSource, Grid
from umed.benchmark.results.cells import digest
from umed.core.errors import InputError, UmedError
from umed.core.mask_rules import AS_DRAWN, MaskRules, make_rules
from umed.core.types import Dataset
from umed.data import files
from umed.data.layouts import find_dataset, load_index
from umed.data.phantom import make_phantom
from umed.plan.facts import Facts, gather

FEWEST = 4
"""Labelled cases that a data set must have: two to train on, one to validate, one to judge."""
INDEX = ("modality", "channel_names", "labels", "regions_class_order")


@dataclass(frozen=True)
class CutSet:
    """A data set as the benchmark uses it.

    Args:
        name: in the grid.
        root: folder of the originals.
        split: which case is used for what.
        files: hash of the content of all its cases' files, and of what its index says of modality and classes.
        shrink: longest side in pixels that cases are read with, protected ones too, so that large ones fit the memory;
            they are judged on that grid. ``None`` reads them as they are, which countermeasures on images need.
        rules: how its masks are read.
    """

    name: str
    root: Path
    split: Split
    files: str
    shrink: int | None = None
    rules: MaskRules = AS_DRAWN

    @property
    def published(self) -> tuple[str, ...]:
        """Cases that are protected: those to train on, and those that a thief validates on."""
        return (*self.split.train, *self.split.validation)

    @property
    def ids(self) -> tuple[str, ...]:
        """All cases."""
        return (*self.published, *self.split.test)

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of what goes in: the files, and which of them is used for what."""
        split = [list(part) for part in (self.split.train, self.split.validation, self.split.test)]
        return {"files": self.files, "split": digest(split)}


def choose(ids: tuple[str, ...], source: DataSource) -> tuple[str, ...]:
    """Draw the cases of a source by its ``part``, ``cases`` and ``seed``, from all labelled ids; gives them sorted.

    A smaller number is always a part of a larger one.

    >>> choose(tuple("abcdef"), DataSource(cases=4)) < choose(tuple("abcdef"), DataSource())
    False
    """
    order = [ids[k] for k in np.random.default_rng([source.seed, 1]).permutation(len(ids))]
    if source.part is not None:
        order = order[source.part[0] :: source.part[1]]
    return tuple(sorted(order[: source.cases]))


def find_source(grid: Grid, name: str) -> Path:
    """Folder of a data set; a phantom has none before it is made.

    ConfigError, with the line, when it does not exist or holds no data set.
    """
    source = grid.data[name]
    assert source.path is not None
    root = grid.folder / source.path
    files.check_readable(root)
    try:
        cases = labelled_ids(root)
        have = len(choose(cases, source))
        if have < FEWEST:
            raise InputError(
                f"{root}: expected at least {FEWEST} labelled cases, to train, validate and judge on different ones, "
                f"got {have}. Label more; to see a benchmark run, leave --data out: it then makes a phantom."
            )
        if source.cases is not None and have < source.cases and not source.fewer:
            raise InputError(
                f"{root}: expected {source.cases} labelled cases, got {have}. Ask for fewer: "
                f"--set data.{name}.cases={have}."
            )
        split_cases(choose(cases, source), seed=source.seed, test=source.test, validation=source.validation)
    except UmedError as error:
        raise grid.error("data", name, f"{error} Give its folder with --data {name}=FOLDER.") from error
    return root


def look_at(grid: Grid, name: str, scratch: Path) -> Facts:
    """Facts about the first cases of a data set, before anything is written to the benchmark's folder.

    ``scratch`` takes a phantom of two cases, or a few resized pictures, which are enough to look at.
    """
    source = grid.data[name]
    if source.path is None:
        default = inspect.signature(make_phantom).parameters["cases"].default
        have = len(choose(tuple(map(str, range(source.phantom.get("cases", default)))), source))
        if have < (source.cases or 4):
            raise grid.error(
                "data", name, f"expected {source.cases or 4} cases, the phantom has {have}. Ask for fewer."
            )
        try:
            return gather(find_dataset(make_phantom(scratch / name, **{**source.phantom, "cases": 2})))
        except (TypeError, ValueError, UmedError) as error:
            raise grid.error("data", name, f"phantom: {error}") from error
    root = find_source(grid, name)
    ids = choose(labelled_ids(root), source)
    if source.cases is not None and len(ids) < source.cases:
        warnings.warn(
            f"{root}: the grid draws {source.cases} labelled cases, this folder has {len(ids)}: all of them are taken. "
            "The fewer there are, the wider the intervals.",
            stacklevel=2,
        )
    few = ids[:8]
    if source.resize is not None:
        _check_resize(grid, name)
        return gather(find_dataset(resized_pictures(root, source.resize, scratch / name, few)))
    dataset = find_dataset(subset_dataset(root, few, scratch / name))
    return gather(replace(dataset, rules=rules_of(dataset, grid, name)))


def _check_resize(grid: Grid, name: str) -> None:
    """Masks are written anew at another size, so what their values mean must be plain."""
    said = {**grid.protection, **grid.data[name].protection}
    if any(said.get(key) not in (None, (), []) for key in ("mask_values", "mask_background", "mask_ignore")):
        raise grid.error("data", name, "expected resize or mask_values, got both. Resize the data set beforehand.")


def cut_set(grid: Grid, name: str, out: Path) -> CutSet:
    """Make a data set ready below the benchmark's folder, with links or copies of the cases that are used.

    What is there already is kept.
    """
    source = grid.data[name]
    if source.path is None:
        mark = digest([source.phantom, source.seed])
        folder = out / "data" / f"{name}-phantom-{mark}"
        root = folder if (folder / "dataset.json").is_file() else make_phantom(folder, **source.phantom)
        ids = choose(labelled_ids(root), source)
    else:
        found = find_source(grid, name)
        ids = choose(labelled_ids(found), source)
        mark = digest([str(found.resolve()), _index(found), _stamps(found, ids), source.resize])
        root = out / "data" / f"{name}-{mark}"
        if source.resize is not None:
            resized_pictures(found, source.resize, root, ids)
        else:
            subset_dataset(found, ids, root)
    split = split_cases(ids, seed=source.seed, test=source.test, validation=source.validation)
    rules = rules_of(find_dataset(root), grid, name)
    said = [] if rules == find_dataset(root).rules else [asdict(rules)]
    return CutSet(name, root, split, digest([_index(root), _contents(root, ids), *said], 16), rules=rules)


def rules_of(dataset: Dataset, grid: Grid, name: str) -> MaskRules:
    """How the masks of a source of a grid are read: as its protection says (``mask_values`` ...)."""
    said = {**grid.protection, **grid.data[name].protection}
    return make_rules(
        tuple(said.get("mask_values", ())),
        tuple(said.get("mask_background", ())) or dataset.rules.background,
        dataset.rules.ignore if said.get("mask_ignore") is None else said["mask_ignore"],
    )


def common_cases(grid: Grid, one: CutSet, other: CutSet) -> list[str]:
    """Ids of a data set that another one trains on: the same file of the same source, or the same content."""
    sources = [grid.data[part.name].path for part in (one, other)]
    same = None not in sources and len({(grid.folder / str(path)).resolve() for path in sources}) == 1
    seen = {tuple(content) for content in _contents(other.root, other.split.train, labels=False).values()}
    mine = _contents(one.root, one.ids, labels=False)
    return [name for name in one.ids if (same and name in other.split.train) or tuple(mine[name]) in seen]


def _contents(root: Path, ids: tuple[str, ...], *, labels: bool = True) -> dict[str, list[str]]:
    """Hashes of each case's files, the labels last or left out; where they lie plays no part."""
    dataset = find_dataset(root)
    wanted = set(ids)
    return {
        case.id: [files.sha256(dataset.root / path) for path in (*case.images, *(case.labels if labels else ()))]
        for case in dataset.cases
        if case.id in wanted
    }


def _index(root: Path) -> dict[str, Any]:
    """What ``dataset.json`` says that a plan depends on: modality and classes."""
    content = load_index(root) or {}
    return {key: content[key] for key in INDEX if key in content}


def _stamps(root: Path, ids: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """Size and time of each case's files, which change when a source does."""
    dataset = find_dataset(root)
    wanted = set(ids)
    paths = [path for case in dataset.cases if case.id in wanted for path in (*case.images, *case.labels)]
    found = [(path.as_posix(), (dataset.root / path).stat()) for path in paths]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
