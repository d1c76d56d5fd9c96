# SPDX-License-Identifier: Apache-2.0
"""From a grid to jobs: every name, option, data set and network is checked here, before anything is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from umed.benchmark.countermeasures.interface import Chain, make_countermeasure
from umed.benchmark.grid.cut_sets import CutSet, common_cases, cut_set, look_at
from umed.benchmark.grid.grid import BY_DIMENSION, Grid, Step
from umed.benchmark.grid.jobs import CellJob, PretrainJob, PriceJob, ProtectJob, victim_settings
from umed.benchmark.results.cells import CLEAN, NONE, Spec, digest, label
from umed.benchmark.victims.build import check_victim, divisor
from umed.benchmark.victims.ready import crop_size, own_size
from umed.benchmark.victims.victim_recipe import EXTERNAL, Recipe, default_recipe
from umed.core.config import Settings, make_settings, merge
from umed.core.errors import ConfigError, UmedError
from umed.data import files
from umed.methods.base import make_method
from umed.methods.prepare import check_given
from umed.plan.facts import Facts
from umed.plan.planning import make_plan

APART = "Give this victim a block of its own with countermeasures: [none]."


@dataclass(frozen=True)
class Checked:
    """A grid in which everything fits together.

    Args:
        grid: the grid.
        facts: about each data set that is used.
        settings: how to protect, for each (data set, label of a protection).
        recipes: of each (data set, victim).
        chains: each countermeasure with all its options, so that a changed default changes what a cell is.
        generators: trained generators that a protection is given, and the hash of their content.
    """

    grid: Grid
    facts: dict[str, Facts]
    settings: dict[tuple[str, str], Settings]
    recipes: dict[tuple[str, str], Recipe]
    chains: dict[str, tuple[Step, ...]]
    generators: dict[str, tuple[Path, str]]

    def combinations(self) -> list[tuple[str, str, str, str, int]]:
        """Data set, protection, victim, countermeasure and seed of every cell, controls included, in running order."""
        found: dict[tuple[str, str, str, str, int], None] = {}  # each protection has its clean control
        for block in self.grid.blocks:
            axes = (block.data, (CLEAN, *block.methods), block.countermeasures, block.victims, block.seeds)
            for one, method, countermeasure, victim, seed in product(*axes):
                found[one, method, victim, countermeasure, seed] = None
        order = {name: number for number, name in enumerate([CLEAN, *self.grid.methods])}
        tried = {name: number for number, name in enumerate([NONE, *self.chains])}
        data = list(self.facts)
        return sorted(found, key=lambda one: (data.index(one[0]), order[one[1]], tried[one[3]]))


@dataclass(frozen=True)
class Jobs:
    """Everything that is to be done, each list in running order."""

    protect: tuple[ProtectJob, ...]
    pretrain: tuple[PretrainJob, ...]
    cells: tuple[CellJob, ...]
    price: tuple[PriceJob, ...]


def check_grid(grid: Grid, device: str = "auto") -> Checked:
    """Make sure that everything in a grid exists and fits, without training or writing anything.

    ``device`` is that of the machine that trains. What does not fit is a ConfigError that names the line.
    """
    chains = _check_countermeasures(grid)
    _add_mixing_controls(grid, chains)
    settings: dict[tuple[str, str], Settings] = {}
    facts: dict[str, Facts] = {}
    recipes: dict[tuple[str, str], Recipe] = {}
    generators: dict[str, tuple[Path, str]] = {}
    with tempfile.TemporaryDirectory(prefix="umed-benchmark-") as scratch:
        for name in dict.fromkeys([*(name for block in grid.blocks for name in block.data), *_pretraining(grid)]):
            facts[name] = look_at(grid, name, Path(scratch))
    for block in grid.blocks:
        for name in block.data:
            for method in block.methods:
                if (name, method) not in settings:
                    settings[name, method] = _settings(grid, name, method, device)
                    hashes = _check_method(grid, method, settings[name, method], facts[name])
                    if (given := _given(grid, method)) is not None:
                        generators[method] = given, digest(hashes, 16)
            for victim in block.victims:
                if (name, victim) not in recipes:
                    recipes[name, victim] = _check_victim(grid, name, victim, facts)
                tried = next((title for title in block.countermeasures if chains[title]), None)
                if recipes[name, victim].net in EXTERNAL and tried is not None:  # its pipeline is its own
                    raise grid.error("victims", victim, f"{victim}: expected no countermeasure, got {tried}. {APART}")
    return Checked(grid, facts, settings, recipes, chains, generators)


def _pretraining(grid: Grid) -> list[str]:
    """Data sets that victims are trained on first; names that are none are found out later."""
    given = [changes.get("pretrained") for _, changes in grid.victims.values()]
    names = [one.get("data") for one in given if isinstance(one, Mapping)]
    return [name for name in names if isinstance(name, str) and name in grid.data]


def _check_countermeasures(grid: Grid) -> dict[str, tuple[Step, ...]]:
    chains: dict[str, tuple[Step, ...]] = {}
    for title, steps in grid.countermeasures.items():
        try:
            made = [make_countermeasure(name, options) for name, options in steps]
        except ConfigError as error:
            raise grid.error("countermeasures", title, str(error)) from error
        chains[title] = tuple((part.name, part.settings()) for part in made)
    return chains


def _add_mixing_controls(grid: Grid, chains: dict[str, tuple[Step, ...]]) -> None:
    """A mixture with clean cases is worth nothing without the control that has those clean cases alone."""
    blocks = []
    for block in grid.blocks:
        controls = []
        for title in block.countermeasures:
            shares = [options["share"] for name, options in chains[title] if name == "mix"]
            if shares:
                rest = [step for step in chains[title] if step[0] != "mix"]
                if shares[0] == 0:
                    continue  # nothing is mixed in
                steps = (("clean_subset", {"share": shares[0]}), *rest)
                given = [step for step in grid.countermeasures[title] if step[0] != "mix"]
                name = " + ".join(label(part, options) for part, options in (steps[0], *given))
                chains[name] = grid.countermeasures[name] = steps
                controls.append(name)
        blocks.append(block)
        if controls:
            blocks.append(replace(block, methods=(), countermeasures=tuple(dict.fromkeys(controls))))
    grid.blocks = tuple(blocks)


def _settings(grid: Grid, data: str, title: str, device: str) -> Settings:
    chosen = grid.methods[title]
    common = merge(grid.protection, grid.data[data].protection)
    changes = merge(common, {**chosen.settings, "method": chosen.method, "device": device})
    if chosen.options:
        changes["method_options"] = chosen.options
    own = grid.folder / grid.recipe
    try:
        return make_settings(own if own.is_file() else grid.recipe, changes)
    except ConfigError as error:
        raise grid.error("methods", title, str(error)) from error


def _given(grid: Grid, title: str) -> Path | None:
    given = grid.methods[title].generators
    return None if given is None else grid.folder / given


def _check_method(grid: Grid, title: str, settings: Settings, facts: Facts) -> dict[str, str]:
    try:
        return check_given(make_method(make_plan(facts, settings)), _given(grid, title))
    except UmedError as error:
        raise grid.error("methods", title, f"{title} on {facts.name}: {error}") from error


def _check_victim(grid: Grid, data: str, title: str, known: Mapping[str, Facts]) -> Recipe:
    net, changes = grid.victims[title]
    facts = known[data]
    dims = len(facts.shape)
    try:
        if net in EXTERNAL:  # it has a training of its own, so the grid's does not apply
            recipe = Recipe(net=net, options=changes)
        else:
            recipe = default_recipe(net, dims, _changes(grid, data, dims, changes))
        if recipe.patch is not None and len(recipe.patch) != dims:
            raise ConfigError(
                f"patch: expected {dims} sizes, got {list(recipe.patch)}. Put it under training.{dims}d, or under the "
                "data set's own training."
            )
        first = None if recipe.pretrained is None else recipe.pretrained.data
        if first is not None and first not in grid.data:
            raise ConfigError(f"pretrained.data: expected a data set of the grid, got {first!r}.")
        if first is not None and len(known[first].shape) != dims:
            raise ConfigError(f"pretrained.data: expected a data set in {dims}D, got {first!r}, which is not.")
        if recipe.pretrained is not None and recipe.pretrained.checkpoint is not None:
            path = grid.folder / recipe.pretrained.checkpoint
            if not path.is_file():
                raise ConfigError(f"pretrained.checkpoint: expected a file, got {path}, which does not exist.")
            recipe = replace(recipe, pretrained=replace(recipe.pretrained, checkpoint=str(path.resolve())))
        patch = crop_size([own_size(facts.shape, recipe.resize)], recipe.patch, divisor(recipe))
        check_victim(recipe, spatial_dims=dims, in_channels=facts.channels, classes=facts.classes, patch=patch)
    except UmedError as error:
        raise grid.error("victims", title, f"{title} on {data}: {error}") from error
    return recipe


def _changes(grid: Grid, data: str, dims: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Changes to a recipe: those of the grid, of the dimension, of the data set, and of the victim itself."""
    merged: dict[str, Any] = {}
    for layer in (grid.training, grid.data[data].training):
        merged = merge(merged, {key: value for key, value in layer.items() if key not in BY_DIMENSION})
        merged = merge(merged, layer.get(f"{dims}d", {}))
    return merge(merged, changes)


def assemble(checked: Checked, out: Path, device: str, scratch: Path | None = None) -> Jobs:
    """Make the data sets ready below the benchmark's folder, and all jobs, for the machine that trains.

    With a ``scratch`` folder the data sets lie there, and nothing is written to ``out``: to see what is done in it.
    """
    grid = checked.grid
    names = {name for name in checked.facts} | {
        recipe.pretrained.data for recipe in checked.recipes.values() if recipe.pretrained and recipe.pretrained.data
    }
    with files.alone((scratch or out) / "data" / "lock"):  # shards of one benchmark may meet here
        sets = {name: cut_set(grid, name, scratch or out) for name in grid.data if name in names}
    _check_pretraining(checked, sets)
    protect: dict[tuple[str, str], ProtectJob] = {}
    pretrain: dict[str, PretrainJob] = {}
    cells: dict[str, CellJob] = {}
    judges: dict[str, CellJob] = {}
    for data, method, victim, countermeasure, seed in checked.combinations():
        if method != CLEAN:
            given, mark = checked.generators.get(method, (None, ""))
            settings = checked.settings[data, method]
            protect.setdefault((data, method), ProtectJob(out, sets[data], method, settings, given, mark))
        first = _first_training(checked, sets, out, device, data, victim, seed)
        if first is not None:
            pretrain[first.name] = first
        job = _cell(
            checked, sets[data], out, device, method, victim, countermeasure, seed, protect.get((data, method)), first
        )
        judge = grid.price and data not in judges and (method, countermeasure) == (CLEAN, NONE)
        if judge and job.recipe.net not in EXTERNAL and job.recipe.pretrained is None:
            job = judges[data] = replace(job, keep_weights=True)
        other = cells.setdefault(job.spec.key, job).spec
        if other.title != job.spec.title:
            raise ConfigError(
                f"grid: expected settings that differ, but '{job.spec.title}' and '{other.title}' are the same. Write "
                "both in the same way, or leave one out."
            )
    price = [PriceJob(out, job, judges.get(job.data.name)) for job in protect.values()] if grid.price else []
    return Jobs(tuple(protect.values()), tuple(pretrain.values()), tuple(cells.values()), tuple(price))


def _check_pretraining(checked: Checked, sets: Mapping[str, CutSet]) -> None:
    """A victim that has seen a clean case of the data set before says nothing about its protection."""
    for (data, title), recipe in checked.recipes.items():
        first = None if recipe.pretrained is None else recipe.pretrained.data
        common = [] if first is None else common_cases(checked.grid, sets[data], sets[first])
        if common:
            raise checked.grid.error(
                "victims",
                title,
                f"{title} on {data}: expected to be pretrained on other cases, but {first} trains on {len(common)} of "
                f"its cases, such as {common[0]}. Cut them apart with part: [0, 2] and part: [1, 2] and the same seed.",
            )


def _first_training(
    checked: Checked, sets: dict[str, CutSet], out: Path, device: str, data: str, victim: str, seed: int
) -> PretrainJob | None:
    recipe = checked.recipes[data, victim]
    if recipe.pretrained is None or recipe.pretrained.data is None:
        return None
    steps = recipe.pretrained.steps or recipe.steps
    return PretrainJob(
        out, sets[recipe.pretrained.data], replace(recipe, pretrained=None, freeze="none", steps=steps), seed, device
    )


def _cell(
    checked: Checked,
    data: CutSet,
    out: Path,
    device: str,
    method: str,
    victim: str,
    countermeasure: str,
    seed: int,
    protected: ProtectJob | None,
    pretrained: PretrainJob | None,
) -> CellJob:
    recipe, steps = checked.recipes[data.name, victim], checked.chains[countermeasure]
    given = None if recipe.pretrained is None else recipe.pretrained.checkpoint
    settings = {
        "inputs": data.inputs,
        "protection": None if protected is None else protected.mark,
        "victim": victim_settings(recipe, pretrained, None if given is None else files.sha256(Path(given))),
        "countermeasures": [{"name": name, "options": options} for name, options in steps],
        "tolerance": checked.grid.tolerance,
    }
    spec = Spec(data.name, method, victim, countermeasure, seed, settings)
    return CellJob(out, spec, data, recipe, steps, protected, pretrained, checked.grid.tolerance, device)


def cost(job: CellJob) -> float:
    """About how many times as long a step of a cell takes because of its countermeasures."""
    return Chain([make_countermeasure(name, options) for name, options in job.steps]).cost
