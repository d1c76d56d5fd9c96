# SPDX-License-Identifier: Apache-2.0
"""Argument parsing that the commands share: strict, with a did-you-mean, and exit code 2 for every usage error."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from umed.core.config import RANGES, Settings, make_settings, merge, parse_number, parse_overrides, recipe_names
from umed.core.errors import ConfigError, did_you_mean
from umed.core.registry import METHODS

EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 wrong usage, 3 some failed and the rest is done, or OUTPUT is not fit yet"


class Parser(argparse.ArgumentParser):
    """``ArgumentParser`` without abbreviations, whose errors take one line and suggest the nearest known option."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("epilog", EXIT_CODES)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        print(f"{self.prog}: {message.rstrip('.')}. See {self.prog} --help.", file=sys.stderr)
        raise SystemExit(2)

    def options(self) -> list[str]:
        """All long and short options, for suggestions."""
        return [option for action in self._actions for option in action.option_strings]

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Report the first unknown argument.

        Args:
            unknown: arguments that nobody claimed.
        """
        first = unknown[0]
        name = first.split("=")[0]
        kind = "option" if first.startswith("-") else "argument"
        hint = did_you_mean(name, self.options()) if kind == "option" else ""
        self.error(f"unknown {kind} {name!r}.{hint}")


def join_negative(argv: Sequence[str]) -> list[str]:
    """Let ``--range -160,240`` pass: argparse takes a word that begins with a minus for an option.

    Args:
        argv: command line.

    Returns:
        The same with such values joined to their option by ``=``.

    >>> join_negative(["--range", "-160,240"])
    ['--range=-160,240']
    """
    joined: list[str] = []
    for word in argv:
        before = joined[-1] if joined else ""
        if re.match(r"-\.?\d", word) and re.fullmatch(r"--[a-z][\w-]*", before):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


def number(text: str) -> float:
    """Argument type: a number or a fraction."""
    try:
        return parse_number(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("number: ")) from error


def value_range(text: str) -> str | list[float]:
    """Argument type of ``--range``: a name, or ``LOW,HIGH``."""
    if text in RANGES:
        return text
    parts = text.split(",")
    if len(parts) == 2:
        return [number(part) for part in parts]
    raise argparse.ArgumentTypeError(
        f"expected one of {', '.join(RANGES)} or LOW,HIGH, got {text!r}.{did_you_mean(text, RANGES)}"
    )


def radius(text: str) -> tuple[float, str]:
    """Argument type of ``--radius``: a number with ``px`` or ``mm``; ``px`` when left out."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(px|mm|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a length such as 3px or 2.5mm, got {text!r}.")
    return float(match[1]), match[2] or "px"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that make up the settings."""
    group = parser.add_argument_group("settings (laid over the recipe)")
    group.add_argument(
        "--recipe", default="default", metavar="NAME|FILE", help=f"one of {', '.join(recipe_names())}, or a YAML file"
    )
    group.add_argument("--method", metavar="NAME", help=f"one of {', '.join(METHODS)}")
    group.add_argument("--epsilon", type=number, help="L-infinity bound as a share of the range, such as 4/255")
    group.add_argument(
        "--strength",
        choices=("invisible", "strong"),
        help="invisible: 4/255; strong: the smallest larger bound at which the code is loud against these images",
    )
    group.add_argument(
        "--range", type=value_range, metavar="NAME|LOW,HIGH", help=f"full scale: {', '.join(RANGES)} or two values"
    )
    group.add_argument("--radius", type=radius, metavar="3px|3mm", help="dilation of the contour band")
    group.add_argument("--seed", type=int, help="another seed gives other codes under the same key")
    group.add_argument(
        "--psnr-target",
        type=number,
        metavar="DB",
        help="each case reaches this PSNR; without --epsilon, the bound is what it allows, 4/255 to 16/255",
    )
    mark = "say in each protected PNG and TIFF that it is protected and not for diagnosis"
    group.add_argument("--mark", action="store_true", default=None, help=mark)
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1 ...")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, such as training.iterations=20"
    )


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Collect the settings that were given on the command line.

    Args:
        args: parsed arguments of a parser with :func:`add_settings`.

    Returns:
        Nested mapping to lay over the recipe.
    """
    names = ("method", "epsilon", "strength", "range", "seed", "psnr_target", "mark", "device")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.radius is not None:
        given["radius"], given["radius_unit"] = args.radius
    return merge(given, parse_overrides(args.set))


def settings_of(args: argparse.Namespace) -> Settings:
    """The recipe with :func:`overrides` laid over it."""
    return make_settings(args.recipe, overrides(args))


SHARED: dict[str, dict[str, Any]] = {
    "--masks": {"type": Path, "metavar": "DIR", "help": "for DICOM: more masks (SEG, RTSTRUCT, NIfTI, PNG)"},
    "--layout": {
        "type": Path,
        "metavar": "MAP",
        "help": "YAML file that says where images and masks lie; umed inspect INPUT --suggest drafts one",
    },
    "--generators": {
        "type": Path,
        "metavar": "DIR|FILE",
        "help": "use these trained generators, train nothing",
    },
    "--key-file": {
        "type": Path,
        "metavar": "KEY",
        "help": "secret from umed keygen (default: release.key of the private folder, made where there is none)",
    },
    "--private": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder for what must never be published: key, generators, plan, report (default: OUTPUT-private)",
    },
    "--json": {"action": "store_true", "help": "print one JSON object on stdout"},
    "--quiet": {"action": "store_true", "help": "no progress on stderr (off anyway without a terminal)"},
}
"""Options that several commands have."""
SHORT = {"--generators": ["--generator"]}


def add_shared(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add options of :data:`SHARED`."""
    for name in names:
        parser.add_argument(name, *SHORT.get(name, ()), **SHARED[name])


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add what to do with the output of an earlier run."""
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with a stopped run; same bytes in the end")
    again.add_argument("--overwrite", action="store_true", help="first delete what umed wrote to OUTPUT, and only that")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the work is done."""
    group = parser.add_argument_group("where the work is done (docs/cluster.md)")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="local processes (default: this one alone)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, such as tcp://127.0.0.1:8786")
    group.add_argument("--threads", type=int, metavar="N", help="threads of each local process")
