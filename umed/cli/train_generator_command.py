# SPDX-License-Identifier: Apache-2.0
"""Train a universal generator once, for umed protect --generators on any data."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import carry_out
from umed.cli.parsing import add_shared


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from umed.core.registry import UNIVERSAL

    option = parser.add_argument
    option("method", choices=UNIVERSAL, metavar="METHOD", help="unseg, the only universal one")
    data = "data set with masks, or a folder or zip of DICOM files"
    option("--data", type=Path, required=True, metavar="DIR", help=data)
    add_shared(parser, "--masks", "--layout")
    option("--out", type=Path, required=True, metavar="DIR", help="folder for unseg.pt; a stopped run goes on")
    recipe = "unseg (default), unseg_paper, or a YAML file"
    option("--recipe", default="unseg", metavar="NAME|FILE", help=recipe)
    option("--encoder", metavar="NAME", help="Segment Anything: tiny, vit_s (default), vit_b, vit_l, vit_h")
    sam = "its weights, such as sam_vit_b_01ec64.pth; stay frozen"
    option("--sam-checkpoint", type=Path, metavar="FILE", help=sam)
    start = "where the surrogate's encoder starts (MAE, SAM); needs --set method_options.surrogate=sam"
    option("--surrogate-checkpoint", type=Path, metavar="FILE", help=start)
    option("--iterations", type=int, metavar="N", help="of both networks together (default 2700)")
    option("--batch-size", type=int, metavar="N", help="pictures in a batch (default 4)")
    option("--seed", type=int, help="same data, settings and seed give the same generator")
    option("--device", help="auto, cpu, cuda, cuda:1 ...")
    anything = "any setting, such as method_options.epochs=27"
    option("--set", action="append", default=[], metavar="KEY=VALUE", help=anything)
    option("--overwrite", action="store_true", help="replace a generator that is there")
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Train."""
    from umed.core.config import make_settings, merge, parse_overrides
    from umed.protect.train import train_generator

    training = {"iterations": args.iterations, "batch_size": args.batch_size}
    given: dict[str, object] = {
        "method": args.method,
        "method_options": {} if args.encoder is None else {"encoder": args.encoder},
        "training": {key: value for key, value in training.items() if value is not None},
        **{key: getattr(args, key) for key in ("seed", "device") if getattr(args, key) is not None},
    }
    settings = make_settings(args.recipe, merge(given, parse_overrides(args.set)))
    options = {
        "masks": args.masks,
        "layout": args.layout,
        "sam": args.sam_checkpoint,
        "surrogate": args.surrogate_checkpoint,
    }
    return carry_out(args, train_generator, args.data, args.out, settings=settings, overwrite=args.overwrite, **options)
