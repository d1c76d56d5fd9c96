# SPDX-License-Identifier: Apache-2.0
"""Write the originals of a release, with the key of a recipient; or grant: let more recipients do so.

umed unlock OUTPUT ORIGINALS --key NAME.key            all originals, checked, or nothing
umed unlock grant OUTPUT --recipients FILE             needs the private folder of the run
"""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import carry_out, show
from umed.cli.parsing import add_shared
from umed.core.errors import ConfigError

GRANT = "grant"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = (
        "umed unlock OUTPUT ORIGINALS --key NAME.key [--unlock-dir DIR] [--json] [--quiet]\n"
        "       umed unlock grant OUTPUT --recipients FILE [--private DIR] [--key-file KEY] [--unlock-dir DIR] [--json]"
    )
    parser.add_argument("output", metavar="OUTPUT", help="the release, whole; or the word grant, then the release")
    parser.add_argument("originals", metavar="ORIGINALS", help="new folder, written whole or not at all")
    parser.add_argument(
        "--key", type=Path, metavar="NAME.key", help="secret key from umed keygen --recipient, or of age"
    )
    where = "where the unlock files lie, if not in OUTPUT/umed/unlock"
    parser.add_argument("--unlock-dir", type=Path, metavar="DIR", help=where)
    group = parser.add_argument_group("grant")
    group.add_argument("--recipients", type=Path, metavar="FILE", help="public keys age1... to add, one a line")
    group.add_argument(
        "--private", type=Path, metavar="DIR", help="private folder of the run (default: OUTPUT-private)"
    )
    group.add_argument("--key-file", type=Path, metavar="KEY", help="its key (default: release.key of that folder)")
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Unlock, or grant."""
    if args.output == GRANT and args.key is None:
        return _grant(args)
    if args.recipients is not None or args.private is not None or args.key_file is not None:
        raise ConfigError(
            "--recipients, --private, --key-file: expected the word grant before OUTPUT, got none. Write: umed unlock "
            "grant OUTPUT --recipients FILE"
        )
    if args.key is None:
        raise ConfigError("--key: expected the secret key of a recipient, got none. Add --key NAME.key.")
    from umed.unlock.restore import unlock

    return carry_out(args, unlock, args.output, args.originals, key=args.key, unlock_dir=args.unlock_dir)


def _grant(args: argparse.Namespace) -> int:
    if args.recipients is None:
        raise ConfigError("--recipients: expected a file of public keys to add, got none. Add --recipients FILE.")
    from umed.protect.grant import grant

    names = ("recipients", "private", "key_file", "unlock_dir")
    return show(args, grant(args.originals, **{name: getattr(args, name) for name in names}))
