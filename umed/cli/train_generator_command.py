# SPDX-License-Identifier: Apache-2.0
"""Train a universal generator once, for umed protect --generators on any data.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.core.config import make_settings, merge, parse_overrides
from umed.core.progress import progress_bar
from umed.core.registry import UNIVERSAL


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("method", choices=UNIVERSAL, metavar="METHOD", help="unseg, the only universal one")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data set with masks, or a folder or zip of DICOM files"
    )
    parser.add_argument("--masks", type=Path, metavar="DIR", help="for DICOM: more masks (SEG, RTSTRUCT, NIfTI, PNG)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for unseg.pt; a stopped run goes on"
    )
    parser.add_argument(
        "--recipe", default="unseg", metavar="NAME|FILE", help="unseg (default), unseg_paper, or a YAML file"
    )
    parser.add_argument(
        "--encoder", metavar="NAME", help="Segment Anything: tiny, vit_s (default), vit_b, vit_l, vit_h"
    )
    parser.add_argument(
        "--sam-checkpoint",
        type=Path,
        metavar="FILE",
        help="its weights, such as sam_vit_b_01ec64.pth; stay frozen",
    )
    parser.add_argument(
        "--surrogate-checkpoint",
        type=Path,
        metavar="FILE",
        help="where the surrogate's encoder starts (MAE, SAM); needs --set method_options.surrogate=sam",
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="of both networks together (default 2700)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="pictures in a batch (default 4)")
    parser.add_argument("--seed", type=int, help="same data, settings and seed give the same generator")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, such as method_options.epochs=27"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a generator that is there")
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    training = {"iterations": args.iterations, "batch_size": args.batch_size}
    given: dict[str, object] = {
        "method": args.method,
        "method_options": {} if args.encoder is None else {"encoder": args.encoder},
        "training": {key: value for key, value in training.items() if value is not None},
        **{key: getattr(args, key) for key in ("seed", "device") if getattr(args, key) is not None},
    }
    settings = make_settings(args.recipe, merge(given, parse_overrides(args.set)))
    from umed.protect.train import train_generator

    with progress_bar(args.quiet) as progress:
        done = train_generator(
            args.data,
            args.out,
            settings=settings,
            masks=args.masks,
            sam=args.sam_checkpoint,
            surrogate=args.surrogate_checkpoint,
            overwrite=args.overwrite,
            progress=progress,
        )
    print(json.dumps(done.to_dict(), indent=2) if args.json else done.summary())
    return 0
