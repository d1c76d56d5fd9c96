# SPDX-License-Identifier: Apache-2.0
"""Measure whether a protection holds: data sets x methods x victims x countermeasures x seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from umed.cli.output import show
from umed.cli.parsing import add_execution, add_shared
from umed.core.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    option = parser.add_argument
    option("grid", metavar="GRID", help="a YAML file, or a shipped grid: quick, cpu, unseg, standard, paper")
    out = "folder for cells and report; a stopped run goes on there (default: runs/benchmark-GRID)"
    option("--out", type=Path, metavar="DIR", help=out)
    data = "folder of a data set of the grid, once for each; NAME= may be left out where there is only one"
    option("--data", action="append", default=[], metavar="NAME=FOLDER", help=data)
    generators = "trained generators of a method of the grid, such as unseg=unseg.pt, once for each"
    option("--generators", action="append", default=[], metavar="NAME=DIR|FILE", help=generators)
    option("--seeds", type=int, nargs="+", metavar="N", help="seeds of the victims, instead of the grid's")
    anything = "anything in the grid, such as training.steps=200"
    option("--set", action="append", default=[], metavar="KEY=VALUE", help=anything)
    option("--dry-run", action="store_true", help="check everything, list the cells and the time; train nothing")
    shard = "do every N-th cell, K from 0 to N-1; runs with the same DIR add up"
    option("--shard", default="0/1", metavar="K/N", help=shard)
    option("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    add_execution(parser)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Run the grid, or say what would be run."""
    from umed.core.config import merge, parse_overrides

    changes: dict[str, Any] = parse_overrides(args.set)
    if args.seeds:
        changes = merge(changes, {"seeds": args.seeds})
    first, slash, second = args.shard.partition("/")
    if not (slash and first.isdigit() and second.isdigit()):
        raise ConfigError(f"--shard: expected K/N such as 0/2, got {args.shard!r}.")
    out = args.out or Path("runs") / f"benchmark-{Path(args.grid).stem}"
    from umed.benchmark.benchmark import benchmark, preview, print_line
    from umed.core.progress import progress_bar

    common = {name: getattr(args, name) for name in ("data", "generators", "device", "workers")}
    common |= {"changes": changes, "shard": (int(first), int(second))}
    if args.dry_run:
        return show(args, preview(args.grid, out, **common))
    common |= {"scheduler": args.scheduler, "threads": args.threads, "command": _command(args)}
    with progress_bar(args.quiet) as progress:
        ended = benchmark(args.grid, out, say=None if args.quiet else print_line, progress=progress, **common)
    return show(args, ended)


def _command(args: argparse.Namespace) -> str:
    """The command for the record; folders are cut to their names, where data lie is nobody's business."""
    words = ["umed benchmark", Path(args.grid).name]
    for entry in args.data:
        name, equals, folder = entry.partition("=")
        words.append(f"--data {name}={Path(folder).name}" if equals else f"--data {Path(entry).name}")
    words += [f"--generators {name}={Path(path).name}" for name, path in _pairs(args.generators)]
    words += [f"--set {key}={Path(value).name if key.endswith('path') else value}" for key, value in _pairs(args.set)]
    if args.seeds:
        words.append("--seeds " + " ".join(map(str, args.seeds)))
    return " ".join(words)


def _pairs(entries: list[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (entry.partition("=") for entry in entries)]
