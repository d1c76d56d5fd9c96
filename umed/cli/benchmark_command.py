# SPDX-License-Identifier: Apache-2.0
"""Measure whether a protection holds: data sets x methods x victims x countermeasures x seeds.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from umed.cli import parsing
from umed.core.config import merge, parse_overrides
from umed.core.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "grid", metavar="GRID", help="a YAML file, or a shipped grid: quick, cpu, unseg, standard, paper"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for cells and report; a stopped run goes on there (default: runs/benchmark-GRID)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="folder of a data set of the grid, once for each; NAME= may be left out where there is only one",
    )
    parser.add_argument(
        "--generators",
        action="append",
        default=[],
        metavar="NAME=DIR|FILE",
        help="trained generators of a method of the grid, such as unseg=unseg.pt, once for each",
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="seeds of the victims, instead of the grid's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="anything in the grid, such as training.steps=200",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, list the cells and the time; train nothing"
    )
    parser.add_argument(
        "--shard",
        default="0/1",
        metavar="K/N",
        help="do every N-th cell, K from 0 to N-1; runs with the same DIR add up",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parsing.add_execution(parser)
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Run the grid, or say what would be run."""
    changes: dict[str, Any] = parse_overrides(args.set)
    if args.seeds:
        changes = merge(changes, {"seeds": args.seeds})
    first, slash, second = args.shard.partition("/")
    if not (slash and first.isdigit() and second.isdigit()):
        raise ConfigError(f"--shard: expected K/N such as 0/2, got {args.shard!r}.")
    out = args.out or Path("runs") / f"benchmark-{Path(args.grid).stem}"
    from umed.benchmark.benchmark import benchmark, preview, print_line

    common: dict[str, Any] = {
        "data": args.data,
        "generators": args.generators,
        "changes": changes,
        "device": args.device,
        "workers": args.workers,
    }
    if args.dry_run:
        seen = preview(args.grid, out, **common, shard=(int(first), int(second)))
        print(json.dumps(seen.to_dict(), indent=2) if args.json else seen.summary())
        return 0
    ended = benchmark(
        args.grid,
        out,
        **common,
        scheduler=args.scheduler,
        threads=args.threads,
        shard=(int(first), int(second)),
        command=_command(args),
        say=None if args.quiet else print_line,
    )
    print(json.dumps(ended.to_dict(), indent=2) if args.json else ended.summary())
    return ended.exit_code


def _command(args: argparse.Namespace) -> str:
    """The command for the record; folders are cut to their names, where data lie is nobody's business."""
    words = ["umed benchmark", Path(args.grid).name]
    words += [f"--data {name}{equals}{Path(folder).name}" for name, equals, folder in map(_parts, args.data)]
    words += [f"--generators {name}={Path(path).name}" for name, path in _pairs(args.generators)]
    words += [f"--set {key}={Path(value).name if key.endswith('path') else value}" for key, value in _pairs(args.set)]
    if args.seeds:
        words.append("--seeds " + " ".join(map(str, args.seeds)))
    return " ".join(words)


def _pairs(entries: list[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (entry.partition("=") for entry in entries)]


def _parts(entry: str) -> tuple[str, str, str]:
    name, equals, folder = entry.partition("=")
    return (name, equals, folder) if equals else ("", "", name)
