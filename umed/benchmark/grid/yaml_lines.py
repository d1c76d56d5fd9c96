# SPDX-License-Identifier: Apache-2.0
"""YAML that remembers its lines, so that an error in a grid names the line that it stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from umed.core.errors import ConfigError, did_you_mean, error_line
from umed.core.shipped import shipped_names, shipped_text

Place = tuple[str | int, ...]
"""Keys and indices from the top of a file to a value."""


class Lines:
    """Where everything in a file stands.

    Args:
        name: of the file, as errors should give it.
        numbers: line of each place, counted from 1.
    """

    def __init__(self, name: str, numbers: dict[Place, int]) -> None:
        self.name = name
        self.numbers = numbers

    def at(self, place: Place) -> str:
        """Say where a place is: ``grid.yaml:12``; of a place that is not in the file, its nearest parent's line."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.numbers:
                return f"{self.name}:{self.numbers[place[:length]]}"
        return self.name

    def error(self, place: Place, message: str) -> ConfigError:
        """An error that names the line and the dotted place of a value, and what is wrong with it."""
        dotted = ".".join(str(part) for part in place if not isinstance(part, int))
        lead = f"{dotted}: " if dotted and not message.startswith(f"{dotted}:") else ""
        return ConfigError(f"{self.at(place)}: {lead}{message}")


def preset_names() -> list[str]:
    """Names of the grids that come with the package."""
    return [name for name in shipped_names("benchmark") if name != "victims"]


def read_grid_file(name_or_path: str | Path) -> tuple[dict[str, Any], Lines, Path]:
    """Content of a shipped grid or a YAML file, its lines, and the folder that relative paths in it start from.

    ConfigError when there is no such file, or it is no YAML mapping, or a key occurs twice.
    """
    path = Path(name_or_path)
    if path.suffix.lower() in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"{path}: expected a grid, got no such file. Shipped ones: {', '.join(preset_names())}.")
        try:
            text, folder = path.read_text(encoding="utf-8"), path.parent
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: expected a text file, got: {error}.") from error
    else:
        names = preset_names()
        if str(name_or_path) not in names:
            hint = did_you_mean(str(name_or_path), names)
            raise ConfigError(f"grid: expected a YAML file or one of {', '.join(names)}, got {str(path)!r}.{hint}")
        text = shipped_text(f"benchmark/{path}.yaml")
        path, folder = Path(f"{path}.yaml"), Path.cwd()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = Lines(path.name, {})
        content = _plain(node, (), lines) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error_line(error)}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping with data, methods, victims ..., got {type(content).__name__}.")
    return content, lines, folder


def _plain(node: yaml.Node, place: Place, lines: Lines) -> Any:
    """Plain values of a node; notes the line of everything below it."""
    lines.numbers.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        content: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = yaml.SafeLoader("").construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int)):
                raise lines.error(place, f"expected text as a key, got {key!r}.")
            if key in content:
                raise ConfigError(f"{lines.name}:{line}: {key} is given twice. Remove one.")
            here = (*place, key)
            lines.numbers[here] = line
            content[key] = _plain(value_node, here, lines)
        return content
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            here = (*place, index)
            lines.numbers[here] = item.start_mark.line + 1
            items.append(_plain(item, here, lines))
        return items
    return yaml.SafeLoader("").construct_object(node, deep=True)
