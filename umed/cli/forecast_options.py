# SPDX-License-Identifier: Apache-2.0
"""Options of a forecast before the release, which plan and protect share, and how it is made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umed.core.errors import ConfigError, InputError

if TYPE_CHECKING:
    from umed.benchmark.results.verdict import Forecast
    from umed.plan.planning import Plan


LARGEST = 10_000_000
"""Most bytes of a forecast and its plan; they have some kB."""


def add_forecast(parser: argparse.ArgumentParser, *, earlier: bool = False) -> None:
    """Add the options.

    Args:
        parser: of the command.
        earlier: one that was made before may be given, too.
    """
    group = parser.add_argument_group("forecast of what thieves can still learn (docs/forecast.md)")
    what = "first train small thieves on a quick protected copy and on the originals; takes minutes to hours"
    group.add_argument("--forecast", action="store_true", help=what)
    group.add_argument("--forecast-steps", type=int, metavar="N", help="steps of each training (default: 1000)")
    group.add_argument("--forecast-seeds", type=int, metavar="N", help="trainings of each thief (default: 1)")
    if earlier:
        what = "show the one that umed plan --forecast --json wrote, if it was made for the same files and settings"
        group.add_argument("--forecast-from", type=Path, metavar="FILE", help=what)


def forecast_of(args: argparse.Namespace, plan: Plan | None) -> Forecast | None:
    """Make the forecast that the options ask for, with a progress bar; ``None`` where they ask for none.

    Args:
        args: of a parser with :func:`add_forecast`, ``input``, ``generators`` and ``quiet``.
        plan: what is to be done with the input; only used where a forecast is asked for.

    Raises:
        ConfigError: when steps or seeds are given without ``--forecast``.
    """
    if not args.forecast or plan is None:
        for name in ("steps", "seeds"):
            if getattr(args, f"forecast_{name}") is not None:
                raise ConfigError(f"--forecast-{name}: expected --forecast beside it, got none. Add it.")
        return None
    from umed.benchmark.forecast import forecast
    from umed.core.progress import progress_bar

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr, flush=True)

    with progress_bar(args.quiet) as progress:
        return forecast(
            args.input,
            plan,
            steps=args.forecast_steps,
            seeds=1 if args.forecast_seeds is None else args.forecast_seeds,
            generators=args.generators,
            progress=progress,
            say=say,
        )


def earlier_forecast(args: argparse.Namespace) -> dict[str, Any] | None:
    """What ``--forecast-from`` names; ``None`` where it names nothing. Whether it fits the run is seen there.

    Raises:
        ConfigError: when another one is to be made.
        InputError: when it is none.
    """
    path: Path | None = args.forecast_from
    if path is None:
        return None
    if args.forecast:
        raise ConfigError("--forecast-from: expected no --forecast beside it, got both. Pick one.")
    from umed.cases.records import check_forecast
    from umed.core.conversion import parse_json

    try:
        if path.exists() and not path.is_file():
            raise ValueError("no file")
        with path.open("rb") as file:  # never all of an image that was named by mistake
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise ValueError(f"more than {LARGEST // 1000:,} kB, which no forecast has")
        content = parse_json(raw.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected what umed plan --forecast --json wrote, got: {error}. Make the forecast again."
        ) from error
    inner = content.get("forecast") if isinstance(content, dict) and "thieves" not in content else content
    return check_forecast(inner, str(path))
