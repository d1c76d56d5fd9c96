# SPDX-License-Identifier: Apache-2.0
"""Propose masks for images without annotation, by Segment Anything; look at them, then umed protect.

Torch is imported only when this command really runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.core.progress import progress_bar


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="folder of images, or folder or zip of DICOM files; masks that are there are never replaced",
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUTPUT",
        help="new folder, outside INPUT: images/ and masks/; for DICOM only masks, for --masks of umed protect",
    )
    parser.add_argument(
        "--prompts",
        required=True,
        metavar="FILE|grid",
        help="JSON of boxes and points by image or series id (docs/methods.md), or: grid",
    )
    parser.add_argument(
        "--sam-checkpoint",
        type=Path,
        metavar="FILE",
        help="weights of Segment Anything, such as sam_vit_b_01ec64.pth; nothing is downloaded",
    )
    parser.add_argument("--encoder", default="vit_b", metavar="NAME", help="their size: vit_b (default), vit_l, vit_h")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--label", type=int, default=1, metavar="N", help="class of prompts that name none (default 1)")
    parser.add_argument(
        "--slice-axis", type=int, default=2, metavar="N", help="of volumes in files: 0, 1 or 2 (default, the last)"
    )
    group = parser.add_argument_group("automatic masks (--prompts grid)")
    group.add_argument("--points-per-side", type=int, default=16, metavar="N", help="of the grid (default 16)")
    group.add_argument("--iou", type=parsing.number, default=0.88, help="least predicted IoU (default 0.88)")
    group.add_argument("--stability", type=parsing.number, default=0.95, help="least stability score (default 0.95)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace proposals of an earlier run; corrected masks stop it"
    )
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Propose the masks."""
    from umed.propose.propose_masks import propose_masks
    from umed.propose.segment_anything import GridSettings

    with progress_bar(args.quiet) as progress:
        done = propose_masks(
            args.input,
            args.output,
            prompts=args.prompts,
            sam=args.sam_checkpoint,
            encoder=args.encoder,
            device=args.device,
            label=args.label,
            slice_axis=args.slice_axis,
            grid=GridSettings(args.points_per_side, args.iou, args.stability),
            overwrite=args.overwrite,
            progress=progress,
        )
    print(json.dumps(done.to_dict(), indent=2) if args.json else done.summary())
    return done.exit_code
