# SPDX-License-Identifier: Apache-2.0
"""Options of a forecast before the release, which plan and protect share, and how it is made."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from umed.core.errors import ConfigError

if TYPE_CHECKING:
    from umed.benchmark.results.verdict import Forecast
    from umed.plan.planning import Plan


def add_forecast(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("forecast of what thieves can still learn (docs/forecast.md)")
    what = "first train small thieves on a quick protected copy and on the originals; takes minutes to hours"
    group.add_argument("--forecast", action="store_true", help=what)
    group.add_argument("--forecast-steps", type=int, metavar="N", help="steps of each training (default: 1000)")
    group.add_argument("--forecast-seeds", type=int, metavar="N", help="trainings of each thief (default: 1)")


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
