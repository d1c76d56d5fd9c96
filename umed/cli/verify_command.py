# SPDX-License-Identifier: Apache-2.0
"""Prove from the files alone that a released data set keeps every promise."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.parsing import add_shared


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set that was protected")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="what umed protect wrote")
    parser.add_argument("--key-file", type=Path, metavar="KEY", help="for an anonymized DICOM output: its key")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="for DICOM: the masks that the run was given")
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Verify; 1 when a promise is broken."""
    from umed.core.progress import progress_bar
    from umed.protect.verify import verify

    with progress_bar(args.quiet) as progress:
        found = verify(args.input, args.output, key_file=args.key_file, masks=args.masks, progress=progress)
    print(found.to_json().rstrip() if args.json else found.summary())
    return found.exit_code
