# SPDX-License-Identifier: Apache-2.0
"""De-identify a folder of DICOM files, and protect its images too; or check an output for anything left."""

from __future__ import annotations

import argparse
from pathlib import Path

from umed.cli.output import carry_out, print_json
from umed.cli.parsing import add_again, add_execution, add_settings, add_shared, overrides, settings_of
from umed.core.errors import ConfigError

SYNTAXES = ("explicit-le", "jpeg2000-lossless", "jpegls", "rle", "deflated")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    option = parser.add_argument
    option("input", type=Path, nargs="?", metavar="INPUT", help="folder or zip of DICOM files; never changed")
    option("output", type=Path, nargs="?", metavar="OUTPUT", help="new folder, outside INPUT")
    option("--key-file", type=Path, metavar="KEY", help="secret from umed keygen; needed to write")
    option = parser.add_argument_group("de-identification (PS3.15 Annex E)").add_argument
    profile = "such as basic or longitudinal+device_identity, or a YAML file"
    option("--profile", default="basic", metavar="NAME|FILE", help=profile)
    burned = "release pictures that may hold burned-in text; look at them first"
    option("--accept-burned-in", action="store_true", help=burned)
    look = "put series aside in whose pixels tesseract (apt-get install tesseract-ocr) reads words"
    option("--look-for-text", action="store_true", help=look)
    option("--transfer-syntax", default="explicit-le", metavar="NAME", help=f"one of {', '.join(SYNTAXES)}")
    protection = parser.add_argument_group("protection")
    every = "perturb every series with a mask, quarantine the others"
    protection.add_argument("--protect", action="store_true", help=every)
    protection.add_argument("--masks", type=Path, metavar="DIR", help="more masks: SEG, RTSTRUCT, NIfTI, NRRD or PNG")
    add_shared(protection, "--generators", "--recipients", "--unlock-dir", "--recipient")
    add_shared(parser, "--private")
    add_settings(parser)
    add_again(parser)
    option = parser.add_argument_group("check (writes nothing)").add_argument
    option("--check", type=Path, metavar="OUTPUT", help="search an output for anything that identifies")
    original = "with --check: search for every value of the originals"
    option("--original", type=Path, metavar="INPUT", help=original)
    add_execution(parser)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Anonymize, or check."""
    from umed.data.dicom_input import require_dicom

    require_dicom()
    given = overrides(args)
    if args.check is not None:
        paths = (args.input, args.output, args.key_file, args.masks, args.generators, args.private)
        refused = (*paths, args.recipients, args.recipient)
        if given or args.protect or args.resume or args.overwrite or any(value is not None for value in refused):
            raise ConfigError("--check: expected no more than --original INPUT and --profile, got other arguments.")
        return _check(args)
    if args.input is None or args.output is None:
        raise ConfigError(
            f"{'OUTPUT' if args.input else 'INPUT'}: expected INPUT and OUTPUT, or --check OUTPUT, got none."
        )
    if args.key_file is None:
        raise ConfigError("--key-file: expected the secret key, got none. Make one with: umed keygen KEY")
    if args.original is not None:
        raise ConfigError("--original: expected --check beside it, got none.")
    if not args.protect and (given or args.recipe != "default" or args.masks or args.generators):
        raise ConfigError("--masks, --generators and settings: expected --protect beside them, got none. Add it.")
    from umed.release.anonymize import anonymize

    names = ("key_file", "protect", "masks", "profile", "transfer_syntax", "generators", "private")
    burned = ("accept_burned_in", "look_for_text", "recipients", "unlock_dir", "recipient")
    options = {
        name: getattr(args, name)
        for name in (*names, *burned, "resume", "overwrite", "workers", "scheduler", "threads")
    }
    return carry_out(args, anonymize, args.input, args.output, settings=settings_of(args), **options)


def _check(args: argparse.Namespace) -> int:
    from umed.core.progress import progress_bar
    from umed.deid.check import examine
    from umed.deid.profile import load_profile

    profile = None if args.profile == "basic" else load_profile(args.profile)  # may list private attributes as safe
    with progress_bar(args.quiet) as progress:
        found = examine(args.check, args.original, progress, profile=profile)
    if args.json:
        plain = {
            "findings": [vars(one) for one in found.findings],
            "coincidences": [vars(one) for one in found.coincidences],
            "not_searched": [vars(one) for one in found.unsearched],
        }
        print_json({"ok": found.ok, **plain})
        return 0 if found.ok else 1
    for one in found.findings:
        origin = f", from {one.source}: {one.why}" if one.source else ""
        print(f"{one.file}: {one.tag}: {one.kind}{origin}")
    if found.ok:
        print("nothing was found that identifies")
    if found.coincidences:
        print(f"{len(found.coincidences)} coincidences: words that stand there for another reason; --json lists them")
    print(f"not searched: {'; '.join(map(str, found.unsearched))}")
    return 0 if found.ok else 1
