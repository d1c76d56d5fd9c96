# SPDX-License-Identifier: Apache-2.0
"""How results are laid out on stdout."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def print_json(content: Any) -> None:
    """One JSON object."""
    print(json.dumps(content, indent=2))


def carry_out(args: argparse.Namespace, function: Callable[..., Any], *paths: Any, **options: Any) -> int:
    """Call a function of umed with a progress bar, and :func:`show` what it returns."""
    from umed.core.progress import progress_bar

    with progress_bar(args.quiet) as progress:
        done = function(*paths, progress=progress, **options)
    return show(args, done)


def show(args: argparse.Namespace, done: Any) -> int:
    """Print what came of a command, as JSON or for people.

    Args:
        args: with ``json``.
        done: with ``to_dict()`` and ``summary()``.

    Returns:
        Its ``exit_code``, 0 where it has none.
    """
    if args.json:
        print_json(done.to_dict())
    else:
        print(done.summary())
    code: int = getattr(done, "exit_code", 0)
    return code


def say_next(args: argparse.Namespace, *words: object) -> None:
    """Say what to do next, on stdout; nothing where a program reads along, or nothing is wanted.

    Args:
        args: with ``json`` and ``quiet``.
        words: of the sentence; paths are quoted where a shell would need it.
    """
    if not (args.json or args.quiet):
        print("next:", *(shlex.quote(str(word)) if isinstance(word, Path) else word for word in words))


def reading(args: argparse.Namespace) -> list[object]:
    """Options that say how the input is read, for the next command: without them it would read it otherwise.

    Args:
        args: with ``masks`` and ``layout``.
    """
    given = (("--masks", args.masks), ("--layout", args.layout))
    return [word for name, value in given if value is not None for word in (name, Path(value))]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns with spaces.

    Args:
        header: column names.
        rows: cells, as many a row as there are columns.

    Returns:
        The lines.

    >>> print(table(["case", "dB"], [["a", "48.1"]]))
    case  dB
    a     48.1
    """
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
