# SPDX-License-Identifier: Apache-2.0
"""Prove from the files alone that a released data set keeps what was promised.

The promise is the private plan, which the key authenticates, or what the options name; never what OUTPUT says about
itself. Options win over the private plan; what they leave out has umed's default.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from umed.cli.output import say_next
from umed.cli.parsing import add_masks, add_shared, mask_overrides, number, radius, value_range


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from umed.core.ranges import RANGES

    parser.add_argument("input", type=Path, metavar="INPUT", help="data set that was protected")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="what umed protect wrote")
    parser.add_argument(
        "--private", type=Path, metavar="DIR", help="private folder of the run (default: OUTPUT-private)"
    )
    parser.add_argument("--key-file", type=Path, metavar="KEY", help="its key (default: release.key of that folder)")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="for DICOM: the masks that the run was given")
    add_shared(parser, "--layout")
    added = "texts that you laid into OUTPUT, relative to it, such as LICENSE; nothing vouches for them"
    parser.add_argument("--added", action="extend", nargs="+", default=[], metavar="FILE", help=added)
    group = parser.add_argument_group("the promise (where the private folder is not at hand, or is not to be believed)")
    group.add_argument("--epsilon", type=number, help="L-infinity bound as a share of the range, such as 4/255")
    group.add_argument("--epsilon-background", type=number, metavar="SHARE", help="bound outside the labels")
    group.add_argument("--radius", type=radius, metavar="3px|3mm", help="dilation of the contour band")
    group.add_argument("--support", choices=("roi", "full"), help="ROI and contour band, or the whole frame")
    full_scale = f"full scale: {', '.join(RANGES)} or two values; or one a channel, such as ct:soft,0:20,percentile"
    group.add_argument("--range", type=value_range, metavar="NAME|LOW,HIGH|LIST", help=full_scale)
    group.add_argument("--percentiles", type=_pair, metavar="LOW,HIGH", help="of --range percentile")
    group.add_argument("--spatial-dims", type=int, choices=(2, 3), help="band slice by slice, or in 3D")
    group.add_argument("--mark", action="store_true", default=None, help="protected PNG and TIFF carry the mark")
    group.add_argument("--carry", action="store_true", default=None, help="documents of INPUT were to go along")
    group.add_argument("--slice-axis", type=int, choices=(0, 1, 2), help="axis that the slices follow")
    add_masks(group)
    group.add_argument(
        "--profile", default="basic", metavar="NAME|FILE", help="of an anonymized output without its record"
    )
    add_shared(parser, "--json", "--quiet")


def _pair(text: str) -> list[float]:
    """Argument type: two numbers."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"expected two percentiles such as 0.5,99.5, got {text!r}.")
    return [number(part) for part in parts]


def run(args: argparse.Namespace) -> int:
    """Verify; 1 when a promise is broken."""
    from umed.core.progress import progress_bar
    from umed.protect.verify import verify

    given = {name: getattr(args, name) for name in ("private", "key_file", "masks", "layout", "profile", "added")}
    with progress_bar(args.quiet) as progress:
        found = verify(args.input, args.output, promise=_promise(args), progress=progress, **given)
    print(found.to_json().rstrip() if args.json else found.summary())
    if found.exit_code == 0:
        key = [] if args.key_file is None else ["--key-file", Path(args.key_file)]
        say_next(args, "umed check-release", args.output, "--original", args.input, *key)
    else:
        again = "from a copy, or write it anew with --overwrite; texts that you laid there yourself: --added FILE"
        say_next(args, "do not publish. Restore", args.output, again)
    return found.exit_code


def _promise(args: argparse.Namespace) -> dict[str, Any] | None:
    """What the options name; ``None`` if nothing."""
    names = (
        "mark",
        "carry",
        "epsilon",
        "epsilon_background",
        "support",
        "range",
        "percentiles",
        "spatial_dims",
        "slice_axis",
    )
    named = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.radius is not None:
        named["radius"], named["radius_unit"] = args.radius
    return named | mask_overrides(args) or None
