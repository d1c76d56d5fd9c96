# SPDX-License-Identifier: Apache-2.0
"""Write the built-in phantom data set: small CT-like volumes with several organs, Decathlon layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.parsing import add_shared
from umed.core.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to make")
    parser.add_argument("--cases", type=int, default=32, help="number of volumes (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    parser.add_argument("--size", type=int, nargs=3, default=(48, 48, 32), metavar="N", help="voxels, default 48 48 32")
    add_shared(parser, "--quiet")


def run(args: argparse.Namespace) -> int:
    """Write the phantom."""
    from umed.data.phantom import make_phantom

    if args.cases < 1:
        raise ConfigError(f"--cases: expected at least 1, got {args.cases}.")
    root = make_phantom(args.output, cases=args.cases, seed=args.seed, size=tuple(args.size))
    print(f"data: {args.cases} cases in {root}. Next: umed inspect {root}")
    return 0
