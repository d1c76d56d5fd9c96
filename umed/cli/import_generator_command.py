# SPDX-License-Identifier: Apache-2.0
"""Turn the weights that UnSeg's authors released into a generator for umed protect."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import print_json
from umed.cli.parsing import add_shared
from umed.core.errors import InputError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    option = parser.add_argument
    option("method", choices=("unseg",), metavar="METHOD", help="unseg")
    option("weights", type=Path, metavar="WEIGHTS", help="the authors' file; umed downloads nothing")
    sam = "sam_vit_b_01ec64.pth, which their frozen part is"
    option("--sam-checkpoint", type=Path, required=True, metavar="FILE", help=sam)
    option("--out", type=Path, required=True, metavar="DIR", help="folder for unseg.pt")
    option("--encoder", default="vit_b", metavar="NAME", help="size of both (default vit_b)")
    option("--overwrite", action="store_true", help="replace a generator that is there")
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Import."""
    from umed.methods.unseg.generator_file import FILE, import_released, save_generator

    path = args.out / FILE
    if path.is_file() and not args.overwrite:
        raise InputError(f"{path}: expected no generator yet, got one. Choose another folder or give --overwrite.")
    generator, origin = import_released(args.weights, args.sam_checkpoint, encoder=args.encoder)
    save_generator(generator, args.encoder, origin, path)
    if args.json:
        print_json({"folder": str(args.out), "origin": str(origin)})
    else:
        print(f"{path}: {origin}\nnext: umed protect INPUT OUTPUT --method unseg --generators {args.out}")
    return 0
