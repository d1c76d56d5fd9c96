# SPDX-License-Identifier: Apache-2.0
"""Reads a grid strictly from YAML: whatever is unknown or of a wrong kind is an error that names its line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from umed.benchmark.grid.grid import AXES, BY_DIMENSION, Block, DataSource, Grid, Protection, Step
from umed.benchmark.grid.yaml_lines import Lines, Place, read_grid_file
from umed.benchmark.results.cells import CLEAN, NONE, label
from umed.core.config import from_mapping, merge
from umed.core.errors import ConfigError, did_you_mean
from umed.core.registry import check_name, resolve

KEYS = ("name", "notes", *AXES, "recipe", "protection", "training", "tolerance", "price", "blocks")


def load_grid(
    name_or_path: str | Path,
    *,
    data: Sequence[str] = (),
    generators: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Grid:
    """Read and check a grid; nothing of the data or the networks is looked at yet.

    Args:
        name_or_path: name of a shipped grid, or a YAML file.
        data: ``NAME=FOLDER`` gives a data set of the grid its folder; ``FOLDER`` alone where it has only one.
        generators: ``NAME=DIR|FILE`` gives a method of the grid its trained generators.
        changes: laid over the file; ``seeds`` holds for all blocks.

    Returns:
        The grid.

    Raises:
        ConfigError: for anything that is unknown or of a wrong kind; it names the line.
    """
    content, lines, folder = read_grid_file(name_or_path)
    if isinstance(content.get("data"), dict):
        short = {name: {"path": entry} for name, entry in content["data"].items() if isinstance(entry, str)}
        content["data"] = {**content["data"], **short}  # so that changes are laid over the path
    content = merge(content, changes or {})
    if changes and "seeds" in changes and isinstance(content.get("blocks"), list):
        blocks = [block for block in content["blocks"] if isinstance(block, dict)]
        for block in blocks:
            block.pop("seeds", None)
    for key in content:
        if key not in KEYS:
            raise lines.error((str(key),), f"unknown key; known here: {', '.join(KEYS)}.{did_you_mean(str(key), KEYS)}")
    grid = Grid(name=str(content.get("name", Path(name_or_path).stem)), folder=folder, lines=lines)
    kinds: dict[str, type] = {"notes": str, "recipe": str, "protection": dict, "training": dict, "price": bool}
    for key, kind in kinds.items():
        value = content.get(key, getattr(grid, key))
        if not isinstance(value, kind):
            raise lines.error((key,), f"expected {kind.__name__}, got {value!r}.")
        setattr(grid, key, value)
    tolerance = content.get("tolerance", 1.0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 < tolerance < math.inf:
        raise lines.error(("tolerance",), f"expected a positive number of mm (px for pictures), got {tolerance!r}.")
    grid.tolerance = float(tolerance)
    _check_dimensions(grid.lines, grid.training, ("training",))
    _read_data(grid, content.get("data"), data)
    top = {axis: _axis(grid, axis, content[axis], (axis,)) for axis in AXES[1:] if axis in content}
    defaults: dict[str, tuple[Any, ...]] = {"data": tuple(grid.data), "countermeasures": (NONE,), "seeds": (0,), **top}
    if "blocks" in content:
        grid.blocks = tuple(_blocks(grid, content["blocks"], defaults))
    else:
        grid.blocks = (_block(grid, defaults, ()),)
    _give(grid, generators)
    return grid


def _give(grid: Grid, given: Sequence[str]) -> None:
    """Replace the generators of methods by those of the command line."""
    for entry in given:
        name, _, path = entry.partition("=")
        if not path or name not in grid.methods:
            known = ", ".join(grid.methods) or "none"
            hint = did_you_mean(name, list(grid.methods)) if path else ""
            raise ConfigError(
                f"--generators: expected NAME=DIR|FILE with a method of the grid ({known}), got {entry!r}.{hint}"
            )
        grid.methods[name] = replace(grid.methods[name], generators=str(Path(path).absolute()))


def _read_data(grid: Grid, content: Any, given: Sequence[str]) -> None:
    if not isinstance(content, Mapping) or not content:
        raise grid.lines.error(("data",), f"expected data sets by name, got {content!r}.")
    folders: dict[str, str] = {}
    for entry in given:
        name, equals, folder = entry.partition("=")
        if not equals and len(content) == 1:
            name, folder = str(next(iter(content))), entry
        elif not equals or name not in content:
            known = ", ".join(map(str, content))
            raise ConfigError(f"--data: expected NAME=FOLDER with a name of the grid ({known}), got {entry!r}.")
        folders[name] = str(Path(folder).absolute())
    for name, entry in content.items():
        place = ("data", name)
        grid.places["data", str(name)] = place
        if not isinstance(entry, (str, Mapping, type(None))):
            raise grid.lines.error(place, f"expected a folder, or path, cases ... of one, got {entry!r}.")
        values = {"path": entry} if isinstance(entry, str) else dict(entry or {})
        if str(name) in folders:
            values["path"] = folders[str(name)]
            values.pop("phantom", None)
        grid.data[str(name)] = source = _strict(grid, DataSource, values, place)
        _check_dimensions(grid.lines, source.training, (*place, "training"))


def _check_dimensions(lines: Lines, training: Mapping[str, Any], place: Place) -> None:
    for key in BY_DIMENSION:
        if not isinstance(training.get(key, {}), Mapping):
            raise lines.error((*place, key), f"expected fields of a recipe, got {training[key]!r}.")


def _strict(grid: Grid, cls: Any, entry: Any, place: Place) -> Any:
    """A dataclass from plain values; an error names the line of the key that is wrong."""
    try:
        return from_mapping(cls, entry)
    except ConfigError as error:
        key = str(error).partition(":")[0]
        raise grid.lines.error((*place, key), str(error)) from error


def _blocks(grid: Grid, content: Any, defaults: Mapping[str, tuple[Any, ...]]) -> Iterable[Block]:
    if not isinstance(content, list) or not content:
        raise grid.lines.error(("blocks",), f"expected a list of parts of the grid, got {content!r}.")
    for index, entry in enumerate(content):
        place: Place = ("blocks", index)
        if not isinstance(entry, Mapping):
            raise grid.lines.error(place, f"expected some of {', '.join(AXES)}, got {entry!r}.")
        axes = dict(defaults)
        for axis, value in entry.items():
            if axis not in AXES:
                hint = did_you_mean(str(axis), AXES)
                raise grid.lines.error((*place, axis), f"unknown key; known here: {', '.join(AXES)}.{hint}")
            axes[axis] = _axis(grid, axis, value, (*place, axis))
        yield _block(grid, axes, place)


def _block(grid: Grid, axes: Mapping[str, tuple[Any, ...]], place: Place) -> Block:
    for axis in AXES:
        if axis not in axes:
            raise grid.lines.error(place or (axis,), f"expected {axis}, got none.")
    return Block(**{axis: axes[axis] for axis in AXES})


def _axis(grid: Grid, axis: str, value: Any, place: Place) -> tuple[Any, ...]:
    """Labels of one axis; entries that are new to the grid are added to it."""
    if axis == "seeds":
        value = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(value, list) or not value or not all(type(seed) is int for seed in value):
            raise grid.lines.error(place, f"expected a list of integers, or how many, got {value!r}.")
        return tuple(dict.fromkeys(value))
    if not isinstance(value, list) or not value:
        raise grid.lines.error(place, f"expected a list of {axis}, got {value!r}.")
    labels: list[str] = []
    for index, entry in enumerate(value):
        labels += _READERS[axis](grid, entry, (*place, index))
    return tuple(dict.fromkeys(labels))


def _data_name(grid: Grid, entry: Any, place: Place) -> list[str]:
    if str(entry) not in grid.data:
        hint = did_you_mean(str(entry), grid.data)
        raise grid.lines.error(place, f"data: expected one of {', '.join(grid.data)}, got {entry!r}.{hint}")
    return [str(entry)]


def _split(grid: Grid, entry: Any, place: Place) -> tuple[str, dict[str, Any]]:
    """Name and options of ``name`` or ``name: {option: value}``."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and "_target_" in entry:
        return "custom", dict(entry)
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, options = next(iter(entry.items()))
        if isinstance(options, Mapping):
            return str(name), dict(options)
        if options is None:
            return str(name), {}
    raise grid.lines.error(place, f"expected a name, or a name with its options in a mapping, got {entry!r}.")


def _known(grid: Grid, kind: str, name: str, place: Place) -> None:
    try:
        check_name(kind, name)
    except ConfigError as error:
        raise grid.lines.error(place, str(error)) from error


def _method(grid: Grid, entry: Any, place: Place) -> list[str]:
    name, options = _split(grid, entry, place)
    if not options and (name in grid.methods or name == CLEAN):
        return [name] if name != CLEAN else []
    _known(grid, "method", name, place)
    settings = options.pop("settings", {})
    if not isinstance(settings, Mapping):
        raise grid.lines.error((*place, name, "settings"), f"expected settings of umed protect, got {settings!r}.")
    generators = options.pop("generators", None)
    if generators is not None and not isinstance(generators, str):
        raise grid.lines.error((*place, name, "generators"), f"expected a folder or file, got {generators!r}.")
    title = str(options.pop("name", "")) or label(name, {**options, **_flat(settings)})
    return [_take(grid, "methods", title, Protection(name, options, dict(settings), generators), place)]


def _victim(grid: Grid, entry: Any, place: Place) -> list[str]:
    name, changes = _split(grid, entry, place)
    if not changes and name in grid.victims:
        return [name]
    if name == "custom":
        changes["target"] = target = changes.pop("_target_", None)
        rest = {key: value for key, value in changes.items() if key not in ("target", "name")}
        title = str(changes.pop("name", "")) or label(str(target).rpartition(".")[2], _flat(rest))
    else:
        _known(grid, "victim", name, place)
        title = str(changes.pop("name", "")) or label(name, _flat(changes))
    return [_take(grid, "victims", title, (name, changes), place)]


def _take(grid: Grid, axis: str, title: str, content: Any, place: Place) -> str:
    """Add an entry under a label that no other entry has."""
    known: dict[str, Any] = getattr(grid, axis)
    reserved = CLEAN if axis == "methods" else NONE
    if title == reserved or known.get(title, content) != content:
        raise grid.lines.error(place, f"expected a label that is free, got {title!r} again. Give another name.")
    known[title] = content
    grid.places.setdefault((axis, title), place)
    return title


def _countermeasure(grid: Grid, entry: Any, place: Place) -> list[str]:
    """Labels of an entry: one step, a list of steps, or a sweep where an option is a list."""
    if entry == NONE or entry is None:
        grid.countermeasures.setdefault(NONE, ())
        return [NONE]
    chains: list[tuple[Step, ...]] = [()]
    parts = entry if isinstance(entry, list) else [entry]
    if not parts:
        raise grid.lines.error(place, "expected a countermeasure, or several one after the other, got an empty list.")
    for index, part in enumerate(parts):
        here = (*place, index) if isinstance(entry, list) else place
        name, options = _split(grid, part, here)
        if name == NONE:
            continue
        _known(grid, "countermeasure", name, here)
        empty = next((key for key, value in options.items() if value == []), None)
        if empty is not None or not all(isinstance(key, str) for key in options):
            raise grid.lines.error(here, f"{name}: expected options with values, got {options!r}.")
        chains = [(*chain, (name, one)) for chain in chains for one in _sweep(name, options)]
    titles = []
    for chain in chains:
        if not chain:
            titles.append(NONE)
            continue
        title = " + ".join(label(name, options) for name, options in chain)
        titles.append(_take(grid, "countermeasures", title, chain, place))
    return titles


def _sweep(name: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One set of options for each value of an option that is a list but takes a single value."""
    parameters = inspect.signature(resolve("countermeasure", name).__init__).parameters
    found: list[dict[str, Any]] = [{}]
    for key, value in options.items():
        several = isinstance(value, list) and key in parameters and not isinstance(parameters[key].default, tuple)
        found = [{**one, key: item} for one in found for item in (value if several else [value])]
    return found


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as one level, for labels."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = Path(str(value)).name if key == "checkpoint" else value
    return flat


_READERS = {
    "data": _data_name,
    "methods": _method,
    "victims": _victim,
    "countermeasures": _countermeasure,
}
