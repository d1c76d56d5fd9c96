# SPDX-License-Identifier: Apache-2.0
"""Let a release explain itself: README, terms, metadata for Hugging Face, Zenodo, Croissant and machines.

Title, authors, contact and licence come from options or from a YAML file (docs/card.md). The manifest lists and seals
what is written, so that verify and check-release know it. A README of yours is never overwritten.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from umed.cli.output import show
from umed.cli.parsing import add_shared


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from umed.report.card_terms import LICENCES

    option = parser.add_argument
    option("output", type=Path, metavar="OUTPUT", help="the release")
    option("--from", dest="file", type=Path, metavar="FILE", help="YAML file with the fields below; options win")
    option("--title", metavar="TEXT", help="name of the data set")
    author = "'Family, Given; affiliation; ORCID', or an organisation; repeatable"
    option("--author", dest="authors", action="append", metavar="TEXT", help=author)
    option("--contact", metavar="TEXT", help="address or page where permission to train can be asked for")
    option("--licence", metavar="NAME", help=f"what others may do: {', '.join(LICENCES)}")
    option("--licence-file", type=Path, metavar="FILE", help="text of your own licence, for --licence file")
    reserve = "with --licence file: training without permission is reserved; told to machines, too"
    option("--reserve", action="store_true", default=None, help=reserve)
    option("--description", metavar="TEXT", help="what was imaged, how, and who drew the masks")
    option("--doi", metavar="DOI", help="of the data set")
    option("--url", metavar="URL", help="page of the data set")
    option("--version", metavar="N.N.N", help="of the data set (default 1.0.0)")
    option("--date", metavar="DAY", help="of the publication, such as 2026-12-31 (default: today)")
    option("--keyword", dest="keywords", action="append", metavar="TEXT", help="repeatable")
    option("--without", action="append", default=[], metavar="FILE", help="do not write this one, such as README.md")
    option("--to", type=Path, metavar="DIR", help="write the files there, and change nothing in OUTPUT")
    private = "its private folder (default: OUTPUT-private); without it nothing is sealed"
    option("--private", type=Path, metavar="DIR", help=private)
    option("--key-file", type=Path, metavar="KEY", help="its key (default: release.key of the private folder)")
    add_shared(parser, "--json", "--quiet")


FIELDS = (
    "title",
    "authors",
    "contact",
    "licence",
    "reserve",
    "description",
    "doi",
    "url",
    "version",
    "date",
    "keywords",
)


def run(args: argparse.Namespace) -> int:
    """Write the card."""
    from umed.protect.card import card
    from umed.report.card_settings import read_card_file, read_licence

    content: dict[str, Any] = {} if args.file is None else read_card_file(args.file)
    content |= {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}
    if args.licence_file is not None:
        content["licence_text"] = read_licence(args.licence_file)
    given = {name: getattr(args, name) for name in ("private", "key_file", "to", "without")}
    return show(args, card(args.output, content, **given))
