# SPDX-License-Identifier: Apache-2.0
"""Turn the weights that UnSeg's authors released into a generator for umed protect.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.core.errors import InputError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("method", choices=("unseg",), metavar="METHOD", help="unseg")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="the authors' file; umed downloads nothing")
    parser.add_argument(
        "--sam-checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="sam_vit_b_01ec64.pth, which their frozen part is",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for unseg.pt")
    parser.add_argument("--encoder", default="vit_b", metavar="NAME", help="size of both (default vit_b)")
    parser.add_argument("--overwrite", action="store_true", help="replace a generator that is there")
    parsing.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Import."""
    from umed.methods.unseg.generator_file import FILE, import_released, save_generator

    path = args.out / FILE
    if path.is_file() and not args.overwrite:
        raise InputError(f"{path}: expected no generator yet, got one. Choose another folder or give --overwrite.")
    generator, origin = import_released(args.weights, args.sam_checkpoint, encoder=args.encoder)
    save_generator(generator, args.encoder, origin, path)
    found = {"folder": str(args.out), "origin": str(origin)}
    text = f"{path}: {origin}\nnext: umed protect INPUT OUTPUT --method unseg --generators {args.out}"
    print(json.dumps(found, indent=2) if args.json else text)
    return 0
