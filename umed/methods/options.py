# SPDX-License-Identifier: Apache-2.0
"""Checks of the options that methods have in common."""

from __future__ import annotations

from umed.core.config import require


def check_whole(least: int, **numbers: object) -> None:
    """Raise ConfigError for options that are not whole numbers of at least ``least``."""
    for name, value in numbers.items():
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        require(fits, f"method_options.{name}", f"a whole number of at least {least}", value)


def check_share(most: float, **numbers: object) -> None:
    """Raise ConfigError for options that are not numbers in (0, ``most``]."""
    for name, value in numbers.items():
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most
        require(fits, f"method_options.{name}", f"a share of epsilon in (0, {most:g}]", value)


def check_switch(**switches: object) -> None:
    """Raise ConfigError for options that are neither true nor false."""
    for name, value in switches.items():
        require(isinstance(value, bool), f"method_options.{name}", "true or false", value)
