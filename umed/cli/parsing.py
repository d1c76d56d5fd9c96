# SPDX-License-Identifier: Apache-2.0
"""Argument parsing that the commands share: strict, with a did-you-mean, and exit code 2 for every usage error.

What the settings need is imported by the commands that have settings, so that ``umed --help`` waits for nothing.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from umed.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from umed.core.config import Settings

EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 wrong usage, 3 something is left out and named, or OUTPUT is not fit yet"


class WrongUsage(SystemExit):
    """The words of a command line make no sense; an exit with 2.

    Args:
        line: what is wrong, for people.
    """

    def __init__(self, line: str) -> None:
        super().__init__(2)
        self.line = " ".join(line.split())


class Parser(argparse.ArgumentParser):
    """``ArgumentParser`` without abbreviations, whose errors take one line and suggest the nearest known option."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("epilog", EXIT_CODES)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        """End with 2 and one line, which :func:`umed.cli.main.main` prints."""
        raise WrongUsage(f"{self.prog}: {message.rstrip('.')}. See {self.prog} --help.")

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
    from umed.core.conversion import parse_number

    try:
        return parse_number(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("number: ")) from error


def value_range(text: str) -> str | list[Any]:
    """Argument type of ``--range``, see :func:`umed.core.ranges.parse_range`."""
    from umed.core.ranges import parse_range

    try:
        return parse_range(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("range: ")) from error


def radius(text: str) -> tuple[float, str]:
    """Argument type of ``--radius``: a number with ``px`` or ``mm``; ``px`` when left out."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(px|mm|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a length such as 3px or 2.5mm, got {text!r}.")
    return float(match[1]), match[2] or "px"


def mask_values(text: str) -> list[int | str]:
    """Argument type of ``--mask-values`` and ``--background``: whole numbers or colours, with commas between."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"-?\d+|#[0-9a-fA-F]{6}", part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected values such as 1,2 or colours such as '#ff0000', got {text!r}.")
    return [part.lower() if part.startswith("#") else int(part) for part in parts]


def add_masks(parser: argparse._ActionsContainer) -> None:
    """Add the options that say what the values of masks mean."""
    parser.add_argument(
        "--mask-values",
        type=mask_values,
        metavar="V,V",
        help="values of masks, or colours '#ff0000', that are foreground; all else is background",
    )
    parser.add_argument(
        "--background", type=mask_values, metavar="V", help="value of masks, or colour, that is background (default: 0)"
    )
    parser.add_argument("--ignore", type=int, metavar="V", help="value of masks that is no class and never changed")


def mask_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Settings that :func:`add_masks` gave."""
    given = {"mask_values": args.mask_values, "mask_background": args.background, "mask_ignore": args.ignore}
    return {name: value for name, value in given.items() if value is not None}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that make up the settings."""
    from umed.core.config import recipe_names
    from umed.core.ranges import RANGES
    from umed.core.registry import METHODS

    group = parser.add_argument_group("settings (laid over the recipe)")
    group.add_argument(
        "--recipe", default="default", metavar="NAME|FILE", help=f"one of {', '.join(recipe_names())}, or a YAML file"
    )
    group.add_argument("--method", metavar="NAME", help=f"one of {', '.join(METHODS)}")
    group.add_argument("--epsilon", type=number, help="L-infinity bound as a share of the range, such as 4/255")
    group.add_argument(
        "--strength",
        choices=("invisible", "strong"),
        help="invisible: 4/255; strong: the smallest larger bound at which the code is loud against these images; "
        "in colour anybody sees it",
    )
    half = "a code for umed trace: one half of each ROI carries it; finds thieves best, and protects hardly at all"
    group.add_argument("--evidence", action="store_true", default=None, help=half)
    group.add_argument(
        "--range",
        type=value_range,
        metavar="NAME|LOW,HIGH|LIST",
        help=f"full scale: {', '.join(RANGES)} or two values; or one a channel, such as ct:soft,0:20,percentile",
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
    carry = (
        "take documents of INPUT along, byte for byte: small plain texts that name nobody (README.md, metadata.csv ...)"
    )
    group.add_argument("--carry", action="store_true", default=None, help=carry)
    add_masks(group)
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
    from umed.core.config import merge, parse_overrides

    names = ("method", "epsilon", "strength", "evidence", "range", "seed", "psnr_target", "mark", "carry", "device")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.radius is not None:
        given["radius"], given["radius_unit"] = args.radius
    return merge(given | mask_overrides(args), parse_overrides(args.set))


def settings_of(args: argparse.Namespace) -> Settings:
    """The recipe with :func:`overrides` laid over it."""
    from umed.core.config import make_settings

    return make_settings(args.recipe, overrides(args))


SHARED: dict[str, dict[str, Any]] = {
    "--masks": {"type": Path, "metavar": "DIR", "help": "for DICOM: more masks (SEG, RTSTRUCT, NIfTI, NRRD, PNG)"},
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
    "--recipients": {
        "type": Path,
        "metavar": "FILE",
        "help": "public keys age1..., one a line: encrypt for them what gives the originals back (docs/sharing.md)",
    },
    "--recipient": {
        "metavar": "NAME",
        "help": "whose copy this is: kept in the private folder; another name, another code (docs/trace.md)",
    },
    "--unlock-dir": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder for that, outside OUTPUT (default: OUTPUT/umed/unlock, to be published with it)",
    },
    "--json": {"action": "store_true", "help": "print one JSON object on stdout"},
    "--quiet": {"action": "store_true", "help": "no progress on stderr"},
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
