# SPDX-License-Identifier: Apache-2.0
"""Check a folder before it is published: private files, keys, generators, originals, names in header fields."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import carry_out, say_next
from umed.cli.parsing import add_shared


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="what is to be published; nothing is changed in it")
    original = "what it was made from: looks for its images, and slices of them, in every file"
    parser.add_argument("--original", type=Path, metavar="INPUT", help=original)
    add_shared(parser, "--layout")
    private = "its private folder, whose files must not be in it (default: OUTPUT-private, if that is there)"
    parser.add_argument("--private", type=Path, metavar="DIR", help=private)
    key = "its key (default: release.key of the private folder)"
    parser.add_argument("--key-file", type=Path, metavar="KEY", help=key)
    accept = "free text in this header field was looked at and may be published, such as nifti.descrip; repeatable"
    parser.add_argument("--accept-text", action="append", default=[], metavar="FIELD", help=accept)
    added = "texts that you laid into OUTPUT, relative to it, such as LICENSE; they are searched like all else"
    parser.add_argument("--added", action="extend", nargs="+", default=[], metavar="FILE", help=added)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Check; 1 when there is a problem."""
    from umed.protect.check_release import check_release

    given = {name: getattr(args, name) for name in ("original", "layout", "private", "added")}
    code = carry_out(args, check_release, args.output, key=args.key_file, accept=args.accept_text, **given)
    if code == 0:
        say_next(args, "publish", args.output, "as it is; its private folder and its key stay with you")
    return code
