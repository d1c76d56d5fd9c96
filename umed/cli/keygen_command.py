# SPDX-License-Identifier: Apache-2.0
"""Write a new secret key for umed anonymize.

The same key gives the same UIDs and pseudonyms next year; without it nothing can be linked back. Keep it apart from
every release, and keep a copy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.data.dicom_input import require_dicom


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="KEY", help="file to write; one that exists is never replaced")


def run(args: argparse.Namespace) -> int:
    """Write the key."""
    require_dicom()
    from umed.deid.keys import Key

    key = Key.create(args.file)
    print(
        f"{args.file}: new key, fingerprint {key.digest()}. Keep it secret, and keep a copy: it is the only link back."
    )
    return 0
