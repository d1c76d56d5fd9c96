# SPDX-License-Identifier: Apache-2.0
"""The budgets that a plan gives the files of a case."""

from __future__ import annotations

from collections.abc import Sequence

from umed.core.types import Volume
from umed.plan.budget import Budget, make_budget
from umed.plan.planning import Plan


def make_limits(volumes: Sequence[Volume], plan: Plan) -> list[Budget]:
    """Make the budget of each file of a case.

    Args:
        volumes: its image files.
        plan: the resolved plan.

    Returns:
        One budget a file.

    Raises:
        BudgetError: when a bound is below one stored step.
    """
    return [
        make_budget(
            volume,
            epsilon=plan.epsilon,
            range=plan.range,
            percentiles=plan.percentiles,
            background=plan.epsilon_background,
        )
        for volume in volumes
    ]
