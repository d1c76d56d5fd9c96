# SPDX-License-Identifier: Apache-2.0
"""Show what protect would do on a data set, and why; what to expect of it comes first."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from umed.cli.forecast_options import add_forecast, forecast_of
from umed.cli.output import print_json, reading, say_next, table
from umed.cli.parsing import add_settings, add_shared, settings_of
from umed.core.errors import ConfigError
from umed.data.dicom_input import takes_dicom

if TYPE_CHECKING:
    from umed.plan.planning import Plan

MAIN = ("method", "strength", "epsilon", "range", "support", "spatial_dims", "channels", "classes")
"""Settings that are shown; ``--json`` has all of them."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="data set, or a folder or zip of DICOM files")
    add_shared(parser, "--masks", "--layout")
    add_settings(parser)
    add_shared(parser, "--generators")
    add_forecast(parser)
    add_shared(parser, "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from umed.core.progress import progress_bar
    from umed.protect.preview import look_ahead

    if args.layout is not None and args.forecast:
        raise ConfigError("--layout: expected no --forecast, which reads known layouts; leave one out.")
    given = {"masks": args.masks, "layout": args.layout, "generators": args.generators}
    with progress_bar(args.quiet) as progress:
        resolved, files = look_ahead(args.input, settings_of(args), progress=progress, **given)
    code = 3 if files.grave else 0  # a few cases were read, so there is no telling of all
    forecast = forecast_of(args, resolved)
    if args.json and forecast is not None:
        print_json({"plan": json.loads(resolved.to_json()), "forecast": forecast.to_dict()})
        return code
    if args.json:
        print(resolved.to_json(), end="")
        return code
    print(*_answer(resolved), "", *files.lines(future=True), sep="\n")
    if forecast is not None:
        print("", forecast.summary(), sep="\n")
    elif args.layout is None and not takes_dicom(args.input, args.masks):  # others have no forecast
        trains = "--forecast trains small thieves and says what is likely left (minutes)"
        say_next(args, "umed plan", args.input, trains)
    look = "--preview for a look at three cases, then without --preview"
    say_next(args, "umed protect", args.input, "OUTPUT", *reading(args), look)
    return code


def _answer(plan: Plan) -> list[str]:
    """Lines for people: what to expect, why each setting is what it is, the main settings."""
    reasons = [line for line in plan.why if line != plan.expectation]
    told = {name: getattr(plan, name) for name in MAIN} | {"epsilon": f"{255 * plan.epsilon:.4g}/255"}
    told["radius"] = f"{plan.radius:g} {plan.radius_unit}"
    told["iterations of the training"] = plan.training.iterations
    rows = [[name, str(value)] for name, value in told.items()]
    expected = [plan.expectation, ""] if plan.expectation else []
    return [*expected, *reasons, "", table(["setting", "value"], rows), "all settings: --json"]
