# SPDX-License-Identifier: Apache-2.0
"""Entry point of the command ``umed``. The modules of the commands import what they need when they run."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from umed.cli.completion import add_completion
from umed.cli.output import print_json
from umed.cli.parsing import EXIT_CODES, Parser, WrongUsage, join_negative
from umed.core.errors import did_you_mean
from umed.core.failures import FULL, Failure, describe, ended_by_signals, wants_traceback
from umed.core.version import __version__

HERE = Path(__file__).resolve().parents[1]
COMMANDS = {
    name: importlib.import_module(f"umed.cli.{name.replace('-', '_')}_command")
    for name in (
        "demo protect anonymize keygen unlock verify check-release inspect plan info sample benchmark report "
        "train-generator import-generator propose-masks trace app doctor card"
    ).split()
}
"""What each command is: a module with ``add`` (its options) and ``run`` (what it does); its docstring is the help."""


def make_parser(asked: str | None = None) -> tuple[Parser, dict[str, Parser]]:
    """Build the parser.

    Args:
        asked: the command whose options are wanted, since those of all take long to make; all of them if ``None``.

    Returns:
        The parser, and the parser of each command.
    """
    parser = Parser(
        prog="umed",
        description="Make a medical image segmentation data set safe to publish.\nFor research, not for diagnosis.",
        epilog=f"start with: umed demo, or umed inspect FOLDER, then umed protect FOLDER OUT\n{EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"umed {__version__}")
    add_completion(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    made: dict[str, Parser] = {}
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        made[name] = commands.add_parser(name, help=summary, description=summary)
        if asked in (None, name):
            module.add(made[name])
    return parser, made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name, ``None`` for those of the process.

    Returns:
        Exit code: 0 ok, 1 failed, 2 usage, 3 some cases failed.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _one_line(warnings.showwarning)
        return _main(sys.argv[1:] if argv is None else argv)


def _main(argv: Sequence[str]) -> int:
    words = join_negative(argv)
    asked = "--json" in words[: words.index("--") if "--" in words else None]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends nothing
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except WrongUsage as usage:
        return _end(Failure(usage.line, 2, "UsageError"), asked, "")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        _silence()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if wants_traceback():
            raise
        ways = {"protect": " with --resume", "anonymize": " with --resume", "demo": " with --overwrite"}
        again = ways.get(words[0] if words else "", "")
        return _end(describe(error, again=again), asked)


def _run(words: list[str]) -> int:
    """Read the words, and do what they say."""
    whole = any(word.startswith("--print-completion") for word in words)
    parser, commands = make_parser(None if whole else next(iter(words), ""))
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        parser.error(f"unknown command {words[0]!r}.{did_you_mean(words[0], COMMANDS)}")
    if words and words[0].startswith("-") and words[0].split("=")[0] not in parser.options():
        parser.refuse(words)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        commands[args.command].refuse(unknown)
    try:
        with ended_by_signals():
            code: int = COMMANDS[args.command].run(args)
    except OSError as error:
        if error.errno in FULL and error.filename is None:  # the system does not say where it is full
            places = [getattr(args, name, None) for name in ("output", "out", "file", "folder")]
            error.filename = next((str(place) for place in places if place is not None), None)
        raise
    return code


def _silence() -> None:
    """Nobody reads stdout any more; Python would complain of it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(failure: Failure, as_json: bool, name: str = "umed: ") -> int:
    """Say why it ended: on stderr, and for machines on stdout, where nothing else stands."""
    with suppress(OSError, ValueError):  # nobody may be listening any more
        print(f"{name}{failure.message}", file=sys.stderr, flush=True)
        if as_json:
            print_json(failure.to_dict())
            sys.stdout.flush()
    return failure.exit_code


def _one_line(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Warnings of umed for people, without the line of code that they come from; those of others as they are."""

    def show(message: Warning | str, category: type[Warning], filename: str, *rest: object) -> None:
        if Path(filename).is_relative_to(HERE):
            print(f"umed: {message}", file=sys.stderr)
        else:
            otherwise(message, category, filename, *rest)

    return show
