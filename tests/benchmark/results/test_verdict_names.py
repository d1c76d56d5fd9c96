# SPDX-License-Identifier: Apache-2.0
"""A forecast that a run is given is checked by the same names of verdicts that the benchmark gives."""

from __future__ import annotations

from typing import get_args

from umed.benchmark.results.verdict import Verdict
from umed.cases.records import VERDICTS


def test_records_take_the_verdicts_that_the_benchmark_gives() -> None:
    assert set(VERDICTS) == set(get_args(Verdict))
