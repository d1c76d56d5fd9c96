# SPDX-License-Identifier: Apache-2.0
"""Show in minutes what protection does: a small network trained on originals and on protected images, side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from umed.cli.output import show
from umed.cli.parsing import add_shared

EVERY = 4.0
"""Seconds between two lines of progress: who tries umed for the first time looks at the screen."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    data = "your own images and masks, at least 12 cases; never changed (default: small computed pictures of skin)"
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=data)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("runs/demo"), help="folder (default: runs/demo)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="of each training (default: 240; volumes: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of both trainings (default: 0)")
    parser.add_argument("--cases", type=int, default=96, metavar="N", help="cases that are taken at most (default: 96)")
    again = "first delete an earlier demonstration in the folder, and only that"
    parser.add_argument("--overwrite", action="store_true", help=again)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Demonstrate."""
    from umed.benchmark.demo import demo
    from umed.core.progress import progress_bar

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr, flush=True)

    given = {name: getattr(args, name) for name in ("steps", "seed", "cases", "overwrite")}
    with progress_bar(args.quiet, every=EVERY) as progress:
        found = demo(args.out, args.data, progress=progress, say=say, **given)
    return show(args, found)
