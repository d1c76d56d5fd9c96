# SPDX-License-Identifier: Apache-2.0
"""Measure the protection: the same fresh victim trained on clean and on protected data, tested on clean cases.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.errors import ConfigError
from umed.progress import progress_bar
from umed.registry import COUNTERMEASURES


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set, never changed")
    parser.add_argument("--quick", action="store_true", help="a short run with one small victim")
    parser.add_argument(
        "--methods", default="clean,random,checkerboard,umed", help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--countermeasures",
        default="none",
        help=f"what the thief tries, comma-separated, of {', '.join(COUNTERMEASURES)} (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of victim seeds (default: 1)")
    parser.add_argument("--steps", type=int, help="training steps of each victim")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep protected copies and results, which can be resumed"
    )
    parsing.add_settings(parser)
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark and print its table."""
    from umed.config import make_settings

    if not args.quick:
        raise ConfigError("benchmark: expected --quick, the only kind there is so far. Add it.")
    if args.seeds < 1:
        raise ConfigError(f"--seeds: expected at least 1, got {args.seeds}.")
    settings = make_settings(args.recipe, parsing.overrides(args))
    from umed.benchmark.quick import run_quick

    with progress_bar(args.quiet) as progress:
        result = run_quick(
            args.input,
            methods=[name.strip() for name in args.methods.split(",")],
            countermeasures=[name.strip() for name in args.countermeasures.split(",")],
            seeds=range(args.seeds),
            steps=args.steps,
            settings=settings,
            out=args.out,
            device=settings.device,
            progress=progress,
        )
    print(json.dumps(result.to_dict(), indent=2) if args.json else result.summary())
    return 0
