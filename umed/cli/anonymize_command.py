# SPDX-License-Identifier: Apache-2.0
"""De-identify a folder of DICOM files, and protect its images too; or check an output for anything left.

Torch is imported only with --protect.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from umed.cli import parsing
from umed.core.errors import ConfigError
from umed.core.progress import progress_bar
from umed.data.dicom_input import require_dicom

SYNTAXES = ("explicit-le", "jpeg2000-lossless", "jpegls", "rle", "deflated")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "input", type=Path, nargs="?", metavar="INPUT", help="folder or zip of DICOM files; never changed"
    )
    parser.add_argument("output", type=Path, nargs="?", metavar="OUTPUT", help="new folder, outside INPUT")
    parser.add_argument("--key-file", type=Path, metavar="KEY", help="secret from umed keygen; needed to write")
    deid = parser.add_argument_group("de-identification (PS3.15 Annex E)")
    deid.add_argument(
        "--profile",
        default="basic",
        metavar="NAME|FILE",
        help="such as basic or longitudinal+device_identity, or a YAML file",
    )
    deid.add_argument(
        "--accept-burned-in",
        action="store_true",
        help="release pictures that may hold burned-in text; look at them first",
    )
    deid.add_argument("--transfer-syntax", default="explicit-le", metavar="NAME", help=f"one of {', '.join(SYNTAXES)}")
    protection = parser.add_argument_group("protection")
    protection.add_argument(
        "--protect", action="store_true", help="perturb every series with a mask, quarantine the others"
    )
    protection.add_argument("--masks", type=Path, metavar="DIR", help="more masks: SEG, RTSTRUCT, NIfTI or PNG")
    parsing.add_generators(protection)
    parsing.add_settings(parser)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with a stopped run; same bytes in the end")
    again.add_argument("--overwrite", action="store_true", help="first delete what umed wrote to OUTPUT, and only that")
    check = parser.add_argument_group("check (writes nothing)")
    check.add_argument("--check", type=Path, metavar="OUTPUT", help="search an output for anything that identifies")
    check.add_argument(
        "--original", type=Path, metavar="INPUT", help="with --check: search for every value of the originals"
    )
    parsing.add_json(parser)
    parsing.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Anonymize, or check."""
    require_dicom()
    given = parsing.overrides(args)
    if args.check is not None:
        refused = (args.input, args.output, args.key_file, args.masks, args.generators)
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
    from umed.core.config import make_settings
    from umed.release.anonymize import anonymize

    with progress_bar(args.quiet) as progress:
        result = anonymize(
            args.input,
            args.output,
            key_file=args.key_file,
            protect=args.protect,
            masks=args.masks,
            profile=args.profile,
            accept_burned_in=args.accept_burned_in,
            transfer_syntax=args.transfer_syntax,
            settings=make_settings(args.recipe, given),
            generators=args.generators,
            resume=args.resume,
            overwrite=args.overwrite,
            progress=progress,
        )
    print(json.dumps(result.to_dict(), indent=2) if args.json else result.summary())
    return result.exit_code


def _check(args: argparse.Namespace) -> int:
    from umed.deid.check import check
    from umed.deid.profile import load_profile

    profile = None if args.profile == "basic" else load_profile(args.profile)  # may list private attributes as safe
    with progress_bar(args.quiet) as progress:
        found = check(args.check, args.original, progress, profile=profile)
    if args.json:
        print(json.dumps({"ok": not found, "findings": [vars(one) for one in found]}, indent=2))
    else:
        lines = [f"{one.file}: {one.tag}: {one.kind}" for one in found]
        print("\n".join(lines) if lines else "nothing was found that identifies")
    return 1 if found else 0
