# SPDX-License-Identifier: Apache-2.0
"""Write a protected copy of a data set, with the proof beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from umed.cli.forecast_options import add_forecast, earlier_forecast, forecast_of
from umed.cli.inspect_command import case_table
from umed.cli.output import carry_out, print_json, reading, say_next
from umed.cli.parsing import add_again, add_execution, add_settings, add_shared, settings_of
from umed.core.errors import ConfigError

if TYPE_CHECKING:
    from umed.core.config import Settings
    from umed.plan.facts import Facts
    from umed.plan.planning import Plan


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set; never changed")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="new folder, outside INPUT")
    add_settings(parser)
    add_shared(parser, "--layout", "--generators", "--masks", "--key-file", "--private", "--recipients", "--unlock-dir")
    add_shared(parser, "--recipient")
    add_again(parser)
    first = parser.add_mutually_exclusive_group()
    first.add_argument("--dry-run", action="store_true", help="print plan and actions, write nothing")
    look = "draw 3 cases in two strengths, side by side with the originals, into the private folder; protect nothing"
    first.add_argument("--preview", action="store_true", help=look)
    parser.add_argument("--probe", action="store_true", help="then train two small victims and say how they fare")
    add_forecast(parser, earlier=True)
    add_execution(parser)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Protect the data set."""
    settings = settings_of(args)
    if args.layout is not None and (args.probe or args.forecast):
        raise ConfigError("--layout: expected neither --probe nor --forecast, which read known layouts; leave one out.")
    if args.recipients is not None and (args.dry_run or args.preview):
        from umed.unlock.age_keys import read_recipients

        read_recipients(args.recipients)  # what is wrong with them is said now
    if args.dry_run:
        return _dry_run(args, settings)
    if args.preview:
        return _preview(args, settings)
    if args.probe:
        from umed.benchmark.probe import protect_and_probe as protect
    else:
        from umed.protect.run import protect
    names = ("generators", "masks", "key_file", "private", "resume", "overwrite", "workers", "scheduler", "threads")
    given = {name: getattr(args, name) for name in ("layout", "recipients", "unlock_dir", "recipient", *names)}
    earlier = earlier_forecast(args)
    made = forecast_of(args, None if not args.forecast else _look(args, settings)[1])
    given["forecast"] = earlier if made is None else made.to_dict()
    return carry_out(args, protect, args.input, args.output, settings=settings, **given)


def _preview(args: argparse.Namespace, settings: Settings) -> int:
    from umed.protect.side_by_side import strengths_of, write_preview

    options = {
        name: getattr(args, name) for name in ("masks", "layout", "generators", "private", "resume", "overwrite")
    }
    code = carry_out(args, write_preview, args.input, args.output, strengths_of(settings), **options)
    choice = "with --strength invisible or strong, as you like it better on that page"
    say_next(args, "umed protect", args.input, args.output, *reading(args), choice)
    return code


def _look(args: argparse.Namespace, settings: Settings) -> tuple[Facts, Plan]:
    """All that a run does before it writes, so that what is wrong is said before hours of work."""
    from umed.core.progress import progress_bar
    from umed.protect.preview import dry_run

    names = ("masks", "layout", "generators", "key_file", "private", "resume", "overwrite")
    options = {name: getattr(args, name) for name in names}
    with progress_bar(args.quiet) as progress:
        return dry_run(args.input, args.output, settings, progress=progress, **options)


def _dry_run(args: argparse.Namespace, settings: Settings) -> int:
    facts, plan = _look(args, settings)
    code = 0 if facts.files is None else facts.exit_code(facts.files)
    if args.json:
        print_json({"plan": json.loads(plan.to_json()), "facts": json.loads(facts.to_json())})
    else:
        print(case_table(facts), *plan.why, "Nothing was written (--dry-run).", sep="\n")
    return code
