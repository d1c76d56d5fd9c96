# SPDX-License-Identifier: Apache-2.0
"""Every error that umed raises on purpose.

A message says what is wrong, where, what was expected, what was found, and what to do next, in one line, so that it can
be printed as it is. Anything that is not a :class:`UmedError` is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UmedError(Exception):
    """Base of all errors that umed raises on purpose."""


class InputError(UmedError):
    """A file or a folder cannot be read, is of an unsupported kind, or lacks something that is needed."""


class GeometryError(InputError):
    """An image and its label, or the channels of one case, do not lie on the same grid."""


class BudgetError(UmedError):
    """The perturbation budget cannot be expressed in the stored values of a file (for example below one step)."""


class VerificationError(UmedError):
    """A written file breaks a promise: bound, support, header, label, or a value outside the range."""


class ConfigError(UmedError):
    """A setting is unknown, misspelt or out of its range."""


def error_line(error: BaseException) -> str:
    """Message of an error, whoever raised it, in one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Suggest the known name that a misspelt one most likely stands for.

    Args:
        word: what was written.
        options: the known names.

    Returns:
        ``" Did you mean 'x'?"``, or ``""`` when nothing is close.

    >>> did_you_mean("epsilonn", ["epsilon", "radius"])
    " Did you mean 'epsilon'?"
    """
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def require(condition: bool, where: str, expected: str, got: object) -> None:
    """Raise ConfigError unless a condition holds; it names the place, what was expected and what was got."""
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, got {got!r}.")
