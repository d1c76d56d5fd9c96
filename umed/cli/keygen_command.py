# SPDX-License-Identifier: Apache-2.0
"""Write a new secret key for umed protect and umed anonymize; or, for a recipient, one for umed unlock.

The same key gives the same codes, UIDs and pseudonyms next year; without it nothing can be drawn again, checked or
linked back. Keep it apart from every release, and keep a copy. A recipient's key is one of age (X25519), which the
program age reads, too; its public half is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.core.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    kept = "file to write; one that exists is never replaced"
    parser.add_argument("file", type=Path, nargs="?", metavar="KEY", help=kept)
    recipient = "write a key that opens what others encrypt for you instead; send them the public key that is printed"
    parser.add_argument("--recipient", type=Path, metavar="NAME.key", help=recipient)


def run(args: argparse.Namespace) -> int:
    """Write the key."""
    if (args.file is None) == (args.recipient is None):
        got = "none" if args.file is None else "both"
        raise ConfigError(f"KEY: expected KEY or --recipient NAME.key, got {got}. Give one file to write.")
    if args.recipient is not None:
        from umed.unlock.age_keys import new_identity, write_identity

        public = write_identity(args.recipient, new_identity())
        print(
            f"{args.recipient}: new key. Keep it secret, and keep a copy. Its public key, for --recipients of others:"
        )
        print(public)
        return 0
    from umed.core.keyfile import Key

    kept = "Keep it secret, and keep a copy: it is the only link back."
    print(f"{args.file}: new key, fingerprint {Key.create(args.file).digest()}. {kept}")
    return 0
