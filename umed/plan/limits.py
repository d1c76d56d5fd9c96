# SPDX-License-Identifier: Apache-2.0
"""The budgets that a plan gives the files of a case."""

from __future__ import annotations

from collections.abc import Sequence

from umed.core.types import Volume
from umed.plan.budget import Budget, make_budget
from umed.plan.file_range import file_ranges
from umed.plan.planning import Plan


def make_limits(volumes: Sequence[Volume], plan: Plan) -> list[Budget]:
    """Make the budget of each file of a case.

    Args:
        volumes: its image files.
        plan: the resolved plan.

    Returns:
        One budget a file, with one for each of its channels where the plan has a range for each.

    Raises:
        BudgetError: when a bound is below one stored step.
        ConfigError: when the plan has ranges for another number of channels.
    """
    return [
        make_budget(
            volume,
            epsilon=plan.epsilon,
            range=own,
            percentiles=plan.percentiles,
            background=plan.epsilon_background,
        )
        for volume, own in zip(volumes, file_ranges(volumes, plan.range), strict=True)
    ]
