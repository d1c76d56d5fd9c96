# SPDX-License-Identifier: Apache-2.0
"""Options of methods: fields of a dataclass, each with the check that its value must pass when the method is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, fields
from typing import Any

from umed.core.config import parse_number, require
from umed.core.errors import ConfigError, did_you_mean

Check = Callable[[str, Any], Any]
"""Takes the option's place in the settings and its value; gives what is kept of it, or raises ConfigError."""


def option(default: Any, check: Check) -> Any:
    """A field whose value is checked, and may be converted."""
    return field(default=default, metadata={"check": check})


def check_fields(method: Any) -> None:
    """Check every :func:`option` of a dataclass; raise ConfigError for the first that does not fit."""
    for item in fields(method):
        if "check" in item.metadata:
            kept = item.metadata["check"](f"method_options.{item.name}", getattr(method, item.name))
            setattr(method, item.name, kept)


def whole(default: int | None, least: int = 1) -> Any:
    """A whole number of at least ``least``; ``None`` where that is the default."""

    def check(where: str, value: Any) -> Any:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        require(fits or value is default is None, where, f"a whole number of at least {least}", value)
        return value

    return option(default, check)


def share(default: float, most: float = 1) -> Any:
    """A number in (0, ``most``], as a share of epsilon."""

    def check(where: str, value: Any) -> Any:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most
        require(fits, where, f"a share of epsilon in (0, {most:g}]", value)
        return value

    return option(default, check)


def switch(default: bool) -> Any:
    """True or false."""

    def check(where: str, value: Any) -> Any:
        require(isinstance(value, bool), where, "true or false", value)
        return value

    return option(default, check)


def choice(default: str, known: Sequence[str]) -> Any:
    """One of some names."""

    def check(where: str, value: Any) -> Any:
        if value not in known:
            hint = did_you_mean(str(value), known)
            raise ConfigError(f"{where}: expected one of {', '.join(known)}, got {value!r}.{hint}")
        return value

    return option(default, check)


def some(default: Sequence[str], known: Sequence[str]) -> Any:
    """Some of the known names, kept in their order."""

    def check(where: str, values: Any) -> Any:
        fits = isinstance(values, (list, tuple)) and values and all(value in known for value in values)
        require(bool(fits), where, f"a list of some of {', '.join(known)}", values)
        return tuple(value for value in known if value in values)

    return option(tuple(default), check)


def rate(default: float | None) -> Any:
    """A learning rate, which may be written as text; ``None`` where that is the default."""

    def check(where: str, value: Any) -> Any:
        if value is default is None:
            return None
        number = parse_number(value, where)
        require(number > 0, where, "a positive number", number)
        return number

    return option(default, check)


def listed(default: Sequence[Any]) -> Any:
    """Some values in their order."""
    return option(tuple(default), lambda _, values: tuple(values))
