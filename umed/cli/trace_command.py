# SPDX-License-Identifier: Apache-2.0
"""Find out whether a network was trained on a release: challenge it, ask it, and judge its answers.

Of each case the key gives many equally good copies; one is published, and a commitment to it. challenge writes it and
some of the others as queries for the suspect network; judge says what its answers prove.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from umed.cli.output import carry_out, say_next
from umed.cli.parsing import add_shared, number
from umed.core.errors import ConfigError

_CHALLENGE = {"layout": None, "masks": None, "cases": 1000, "flips": 4, "twins": None, "decoys": 0.1}
_ASK: dict[str, Any] = {
    "model": None,
    "nnunet": None,
    "normalise": None,
    "window": None,
    "trust_code": False,
    "device": "auto",
}
_JUDGE: dict[str, Any] = {"also": [], "verdict": None}
"""Options of one step only, and what they are where they are not given."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = (
        "umed trace challenge ORIGINALS QUERIES --private DIR [--key-file KEY] [--masks DIR] [--cases N] ...\n"
        "       umed trace ask QUERIES ANSWERS (--model FILE|FOLDER | --nnunet FOLDER) [--trust-code]\n"
        "       umed trace judge QUERIES ANSWERS --private DIR [--output DIR] [--verdict DIR] [--also ...]"
    )
    steps = "challenge writes the queries; ask runs a network on them; judge says what its answers prove"
    parser.add_argument("step", choices=("challenge", "ask", "judge"), help=steps)
    parser.add_argument("source", type=Path, metavar="ORIGINALS|QUERIES", help="what was protected; or what was asked")
    target = "new folder for queries or answers; to judge: masks, or probabilities as NPZ, named as the queries"
    parser.add_argument("target", type=Path, metavar="QUERIES|ANSWERS", help=target)
    parser.add_argument("--private", type=Path, metavar="DIR", help="private folder of the release; ask needs none")
    parser.add_argument("--key-file", type=Path, metavar="KEY", help="its key (default: release.key of that folder)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the release, whose commitment is then compared")
    ask = parser.add_argument_group("challenge")
    add_shared(ask, "--layout", "--masks")
    ask.add_argument(
        "--cases", type=int, default=1000, metavar="N", help="most cases to ask about, drawn at random (default: 1000)"
    )
    flips = "times that each copy is asked about, turned round: 1, 2 or 4 (default); more tell more"
    ask.add_argument("--flips", type=int, default=4, metavar="N", help=flips)
    twins = "other draws that each published copy is compared with (default: 8, fewer if that takes over 20 GB)"
    ask.add_argument("--twins", type=int, metavar="N", help=twins)
    decoys = "queries that do not count, as a share of the cases (default: 0.1)"
    ask.add_argument("--decoys", type=number, default=0.1, metavar="SHARE", help=decoys)
    run = parser.add_argument_group("ask")
    which = "network in ONNX (.onnx) or TorchScript (a program: needs --trust-code), or folder of a MONAI bundle"
    run.add_argument("--model", type=Path, metavar="FILE|FOLDER", help=which)
    other = "instead: folder that nnU-Net v2 trained into; run by the Python that UMED_NNUNET_PYTHON names"
    run.add_argument("--nnunet", type=Path, metavar="FOLDER", help=other)
    trust = (
        "let the suspect's maker run code: TorchScript, nnU-Net's checkpoint, code of a bundle; only if you trust him"
    )
    run.add_argument("--trust-code", action="store_true", help=trust)
    how = "TorchScript, ONNX: each channel to mean 0 and deviation 1 (default), [0, 1] of the type, or physical values"
    run.add_argument("--normalise", choices=("zscore", "unit", "none"), help=how)
    size = "likewise: sliding window, the size that it was trained on (default: the whole image)"
    run.add_argument("--window", type=int, nargs="+", metavar="N", help=size)
    run.add_argument("--device", default="auto", help="auto (default), cpu, cuda:0, ...")
    say = parser.add_argument_group("judge")
    more = "a further release that is asked about, such as a copy that somebody else got; p-values are then corrected"
    names = ("QUERIES", "ANSWERS", "PRIVATE")
    say.add_argument("--also", type=Path, nargs=3, action="append", default=[], metavar=names, help=more)
    say.add_argument("--verdict", type=Path, metavar="DIR", help="new folder for trace.html and trace.json")
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Challenge, ask or judge."""
    own = {"challenge": _CHALLENGE, "ask": _ASK, "judge": _JUDGE}
    others = {name: usual for step, options in own.items() if step != args.step for name, usual in options.items()}
    wrong = [f"--{name.replace('_', '-')}" for name, usual in others.items() if getattr(args, name) != usual]
    if wrong:
        raise ConfigError(f"{wrong[0]}: is not an option of umed trace {args.step}. Leave it out.")
    if args.step == "ask":
        if args.model is None and args.nnunet is None:
            raise ConfigError("--model: expected the suspect network, got none. Add --model FILE, or --nnunet FOLDER.")
        from umed.trace.ask import ask

        code = carry_out(args, ask, args.source, args.target, **{name: getattr(args, name) for name in _ASK})
        say_next(args, "umed trace judge", args.source, args.target, "--private DIR, the private folder of the release")
        return code
    if args.private is None:
        raise ConfigError("--private: expected the private folder of the release, got none. Add --private DIR.")
    given: dict[str, Any] = {name: getattr(args, name) for name in ("private", "key_file", "output")}
    if args.step == "challenge":
        from umed.trace.challenge import challenge

        given |= {name: getattr(args, name) for name in _CHALLENGE}
        return carry_out(args, challenge, args.source, args.target, **given)
    from umed.trace.judge import judge

    return carry_out(args, judge, args.source, args.target, also=args.also, page=args.verdict, **given)
