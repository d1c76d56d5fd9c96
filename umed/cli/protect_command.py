# SPDX-License-Identifier: Apache-2.0
"""Write a protected copy of a data set, with the proof beside it.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.cli.inspect_command import case_table
from umed.core.config import Settings, make_settings
from umed.core.progress import progress_bar
from umed.protect.preview import dry_run


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set; never changed")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="new folder, outside INPUT")
    parsing.add_settings(parser)
    parsing.add_generators(parser)
    parser.add_argument("--masks", type=Path, metavar="DIR", help="for DICOM: more masks (SEG, RTSTRUCT, NIfTI, PNG)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with a stopped run; same bytes in the end")
    again.add_argument("--overwrite", action="store_true", help="first delete what umed wrote to OUTPUT, and only that")
    parser.add_argument("--dry-run", action="store_true", help="print plan and actions, write nothing")
    parser.add_argument("--probe", action="store_true", help="then train two small victims and say how they fare")
    parsing.add_execution(parser)
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Protect the data set."""
    settings = make_settings(args.recipe, parsing.overrides(args))
    if args.dry_run:
        return _dry_run(args, settings)
    from umed.protect.run import protect

    with progress_bar(args.quiet) as progress:
        result = protect(
            args.input,
            args.output,
            settings=settings,
            generators=args.generators,
            masks=args.masks,
            resume=args.resume,
            overwrite=args.overwrite,
            workers=args.workers,
            scheduler=args.scheduler,
            threads=args.threads,
            progress=progress,
        )
        line = ""
        if args.probe and not result.exit_code % 3:
            from umed.monai.runs import add_probe

            line = add_probe(result, args.input, progress=progress)
    found = {**result.to_dict(), **({"probe": line} if args.probe else {})}
    print(json.dumps(found, indent=2) if args.json else "\n".join(filter(None, [line, result.summary()])))
    return result.exit_code


def _dry_run(args: argparse.Namespace, settings: Settings) -> int:
    facts, plan = dry_run(
        args.input,
        args.output,
        settings,
        masks=args.masks,
        generators=args.generators,
        resume=args.resume,
        overwrite=args.overwrite,
    )
    if args.json:
        print(json.dumps({"plan": json.loads(plan.to_json()), "facts": json.loads(facts.to_json())}, indent=2))
    else:
        print(case_table(facts), *plan.why, "Nothing was written (--dry-run).", sep="\n")
    return 0
