# SPDX-License-Identifier: Apache-2.0
"""Say whether umed can work here: what is missing, broken or slow, each with its cure in one line.

Looks at Python, packages, torch, extras, codecs of DICOM, cores, memory, disks, permissions and locale; changes
nothing. Ends with 1 where something that is needed does not work.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from umed.cli.output import show
from umed.cli.parsing import add_shared

if TYPE_CHECKING:
    from umed.execution.machine import Check


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    folder = "where releases are to be written (default: this one); is it writable, private, and large enough?"
    parser.add_argument("folder", type=Path, nargs="?", default=Path("."), metavar="FOLDER", help=folder)
    sam = "look at these weights of Segment Anything, too"
    parser.add_argument("--sam-checkpoint", type=Path, metavar="FILE", help=sam)
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Look at everything."""
    from umed.execution.doctor import diagnose

    more = () if args.sam_checkpoint is None else (check_weights(args.sam_checkpoint),)
    return show(args, diagnose(args.folder, more))


def check_weights(path: Path) -> Check:
    """Whether a file is one of Meta's, whole."""
    from umed.data.files import sha256
    from umed.execution.machine import Check

    try:
        from umed.networks.sam import SHAPES
        from umed.networks.sam_weights import WHERE
    except ImportError as error:
        return Check("SAM weights", "note", f"cannot be looked at ({error})", "Mend torch first.")
    known = {one.sha256: one.file for one in SHAPES.values() if one.sha256}
    try:
        digest = sha256(path)
    except OSError as error:
        return Check(
            "SAM weights", "broken", f"{path}: {error.strerror}", f"Get the file from {WHERE}; check the path."
        )
    if digest in known:
        return Check("SAM weights", "ok", f"{path}: Meta's {known[digest]}, whole")
    if path.name in known.values():
        return Check("SAM weights", "broken", f"{path}: not the bytes of Meta's file", f"Get it again from {WHERE}.")
    return Check(
        "SAM weights", "note", f"{path}: not one of Meta's files", "Fine if they are others of the same shape."
    )
