# SPDX-License-Identifier: Apache-2.0
"""Find out whether a network was trained on a release: challenge it, and judge its answers.

Before a release umed tosses a coin for each case between two equally good copies, and publishes a commitment to it.
challenge writes both copies of each case as queries for the suspect network; judge says what its answers prove.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.parsing import add_shared, number


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True, parser_class=type(parser))
    ask = steps.add_parser("challenge", help="write the queries that the suspect network is to be run on")
    ask.add_argument("originals", type=Path, metavar="ORIGINALS", help="data set that was protected")
    ask.add_argument("queries", type=Path, metavar="QUERIES", help="new folder for the queries")
    _private(ask, "of the release")
    ask.add_argument("--output", type=Path, metavar="DIR", help="the release, whose commitment is then compared")
    add_shared(ask, "--layout")
    ask.add_argument("--cases", type=int, metavar="N", help="most cases to ask about, drawn at random (default: all)")
    flips = "times that each copy is asked about, turned round: 1, 2 or 4 (default); more tell more"
    ask.add_argument("--flips", type=int, default=4, metavar="N", help=flips)
    decoys = "queries that do not count, as a share of the cases (default: 0.1)"
    ask.add_argument("--decoys", type=number, default=0.1, metavar="SHARE", help=decoys)
    add_shared(ask, "--json", "--quiet")
    say = steps.add_parser("judge", help="say what the answers of the suspect network prove")
    say.add_argument("queries", type=Path, metavar="QUERIES", help="folder that umed trace challenge wrote")
    say.add_argument("answers", type=Path, metavar="ANSWERS", help="masks, or probabilities as NPZ, named as queries")
    _private(say, "that the queries were made with")
    say.add_argument("--output", type=Path, metavar="DIR", help="the release, whose commitment is then compared")
    more = "a further release that is asked about, such as a copy that somebody else got; p-values are then corrected"
    names = ("QUERIES", "ANSWERS", "PRIVATE")
    say.add_argument("--also", type=Path, nargs=3, action="append", default=[], metavar=names, help=more)
    say.add_argument("--verdict", type=Path, metavar="DIR", help="new folder for trace.html and trace.json")
    add_shared(say, "--json", "--quiet")


def _private(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--private", type=Path, required=True, metavar="DIR", help=f"private folder {what}")
    parser.add_argument("--key-file", type=Path, metavar="KEY", help="its key (default: release.key of that folder)")


def run(args: argparse.Namespace) -> int:
    """Challenge or judge."""
    from umed.cli.output import carry_out

    if args.step == "challenge":
        from umed.trace.challenge import challenge

        names = ("private", "key_file", "layout", "output", "cases", "flips", "decoys")
        given = {name: getattr(args, name) for name in names}
        return carry_out(args, challenge, args.originals, args.queries, **given)
    from umed.trace.judge import judge

    given = {"private": args.private, "key_file": args.key_file, "output": args.output}
    given |= {"also": args.also, "page": args.verdict}
    return carry_out(args, judge, args.queries, args.answers, **given)
