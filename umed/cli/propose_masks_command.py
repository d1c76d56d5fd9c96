# SPDX-License-Identifier: Apache-2.0
"""Propose masks for images without annotation, by Segment Anything; look at them, then umed protect."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import carry_out
from umed.cli.parsing import add_shared, number


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    option = parser.add_argument
    source = "folder of images, or folder or zip of DICOM files; masks that are there are never replaced"
    option("input", type=Path, metavar="INPUT", help=source)
    target = "new folder, outside INPUT: images/ and masks/; for DICOM only masks, for --masks of umed protect"
    option("output", type=Path, metavar="OUTPUT", help=target)
    prompts = "JSON of boxes and points by image or series id (docs/propose-masks.md), or: grid"
    option("--prompts", required=True, metavar="FILE|grid", help=prompts)
    sam = "weights of Segment Anything, such as sam_vit_b_01ec64.pth; nothing is downloaded"
    option("--sam-checkpoint", type=Path, metavar="FILE", help=sam)
    option("--encoder", default="vit_b", metavar="NAME", help="their size: vit_b (default), vit_l, vit_h")
    option("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    option("--label", type=int, default=1, metavar="N", help="class of prompts that name none (default 1)")
    axis = "of volumes in files: 0, 1 or 2 (default, the last)"
    option("--slice-axis", type=int, default=2, metavar="N", help=axis)
    group = parser.add_argument_group("automatic masks (--prompts grid)")
    group.add_argument("--points-per-side", type=int, default=16, metavar="N", help="of the grid (default 16)")
    group.add_argument("--iou", type=number, default=0.88, help="least predicted IoU (default 0.88)")
    group.add_argument("--stability", type=number, default=0.95, help="least stability score (default 0.95)")
    option("--overwrite", action="store_true", help="replace proposals of an earlier run; corrected masks stop it")
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Propose the masks."""
    from umed.propose.propose_masks import propose_masks
    from umed.propose.segment_anything import GridSettings

    names = ("prompts", "encoder", "device", "label", "slice_axis", "overwrite")
    options = {name: getattr(args, name) for name in names} | {"sam": args.sam_checkpoint}
    grid = GridSettings(args.points_per_side, args.iou, args.stability)
    return carry_out(args, propose_masks, args.input, args.output, grid=grid, **options)
