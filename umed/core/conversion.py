# SPDX-License-Identifier: Apache-2.0
"""From plain data, as YAML and JSON have it, to dataclasses: strict, and every error names the place."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from umed.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


def parse_number(value: object, where: str = "number") -> float:
    """Read a number that may be written as a fraction.

    Args:
        value: a number, or text such as ``"4/255"`` or ``"1e-3"``.
        where: name used in the error.

    Returns:
        The value as a float.

    Raises:
        ConfigError: when it is neither.

    >>> parse_number("4/255") == 4 / 255
    True
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ConfigError(f"{where}: expected a number or a fraction such as 4/255, got {value!r}.")
    try:
        if isinstance(value, str) and "/" in value:
            above, below = (float(Fraction(part.strip())) for part in value.split("/"))
            return above / below
        return float(value)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{where}: expected a number or a fraction such as 4/255, got {value!r}.") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Convert a YAML value to an annotated type, or raise ConfigError."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        failures = []
        for choice in (arg for arg in args if arg is not type(None)):
            try:
                return _convert(value, choice, where)
            except ConfigError as error:
                failures.append(str(error))
        raise ConfigError(failures[-1])
    if origin is Literal:
        if value not in args:
            options = [str(arg) for arg in args]
            raise ConfigError(f"{where}: expected one of {options}, got {value!r}.{did_you_mean(str(value), options)}")
        return value
    if origin is tuple:
        return _convert_tuple(value, args, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)
    if origin is dict or hint is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}.")
        return dict(value)
    if hint is float:
        number = parse_number(value, where)
        if number != number or number in (float("inf"), float("-inf")):
            raise ConfigError(f"{where}: expected a finite number, got {value!r}.")
        return number
    if hint is Any:
        return value
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}.")
    return value


def _convert_tuple(value: Any, args: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a list, got {value!r}.")
    items = list(value)
    hints = [args[0]] * len(items) if len(args) == 2 and args[1] is Ellipsis else list(args)
    if len(items) != len(hints):
        raise ConfigError(f"{where}: expected {len(hints)} values, got {value!r}.")
    return tuple(_convert(item, hint, f"{where}[{i}]") for i, (item, hint) in enumerate(zip(items, hints, strict=True)))


_hints = cache(get_type_hints)  # thousands of cells are read through them


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Make a dataclass from plain data, strictly and recursively.

    Args:
        cls: the dataclass.
        mapping: its fields, as read from YAML or JSON.
        where: dotted place used in errors.

    Returns:
        The instance.

    Raises:
        ConfigError: for an unknown key or a value of the wrong type.

    >>> from umed.core.config import Settings
    >>> from_mapping(Settings, {"epsilon": "8/255"}).epsilon == 8 / 255
    True
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where or cls.__name__}: expected a mapping, got {mapping!r}.")
    hints = _hints(cls)  # type: ignore[arg-type]
    known = {item.name for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise ConfigError(f"{place}: unknown key; known here: {', '.join(sorted(known))}.{hint}")
        values[key] = _convert(value, hints[key], place)
    missing = [item.name for item in dataclasses.fields(cls) if _required(item) and item.name not in values]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f"{where or cls.__name__}: expected {', '.join(missing)}, got none.")
    return cls(**values)


def _required(item: dataclasses.Field[Any]) -> bool:
    """Whether a field must be given."""
    return item.init and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def parse_json(text: str | bytes) -> Any:
    """Read JSON that may be damaged or hostile.

    Args:
        text: JSON; bytes are UTF-8, 16 or 32.

    Returns:
        Plain data.

    Raises:
        ValueError: when it is none, also where it is nested so deeply that the reader gives up.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error
