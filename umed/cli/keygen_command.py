# SPDX-License-Identifier: Apache-2.0
"""Write a new secret key for umed protect and umed anonymize.

The same key gives the same codes, UIDs and pseudonyms next year; without it nothing can be drawn again, checked or
linked back. Keep it apart from every release, and keep a copy.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="KEY", help="file to write; one that exists is never replaced")


def run(args: argparse.Namespace) -> int:
    """Write the key."""
    from umed.core.keyfile import Key

    kept = "Keep it secret, and keep a copy: it is the only link back."
    print(f"{args.file}: new key, fingerprint {Key.create(args.file).digest()}. {kept}")
    return 0
