# SPDX-License-Identifier: Apache-2.0
"""Show the settings that protect would use on a data set, and why."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from umed.cli.output import table
from umed.cli.parsing import add_settings, add_shared, settings_of


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set, or a folder or zip of DICOM files")
    add_shared(parser, "--masks")
    add_settings(parser)
    add_shared(parser, "--generators", "--json")


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from umed.protect.preview import plan

    resolved = plan(args.input, settings=settings_of(args), masks=args.masks, generators=args.generators)
    if args.json:
        print(resolved.to_json(), end="")
        return 0
    content = dataclasses.asdict(resolved)
    for name in ("why", "placement", "expectation"):  # said in sentences below
        content.pop(name)
    training = content.pop("training")
    content["epsilon"] = f"{255 * resolved.epsilon:.4g}/255"
    rows = [[key, str(value)] for key, value in content.items()]
    rows += [[f"training.{key}", str(value)] for key, value in training.items()]
    print(table(["setting", "value"], rows), "", *resolved.why, sep="\n")
    return 0
