# SPDX-License-Identifier: Apache-2.0
"""Where no control has learnt there is no verdict, in whatever form the result is shown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.benchmark.results.test_summary import BASE, Values, cells
from umed.benchmark.probe import ProbeResult
from umed.benchmark.results.floor import has_learnt, least_dsc
from umed.benchmark.results.overview import bottom_line, worst_cases
from umed.benchmark.results.summary import DID_NOT_LEARN, summarise
from umed.benchmark.results.text_tables import csv_table, markdown_report
from umed.benchmark.results.verdict import judge

NOTHING: Values = {
    ("clean", "unet", ""): 0.12,
    ("clean", "other", ""): 0.11,
    **{(method, victim, ""): 0.11 for method in ("umed", "random", "checkerboard") for victim in ("unet", "other")},
}


@pytest.mark.parametrize(
    ("dsc", "best", "chance", "learnt"),
    [
        (0.087, 0.087, math.nan, False),  # the best of those that learnt nothing is no measure
        (0.5, 0.5, math.nan, True),
        (0.499, 0.499, 0.0, False),
        (0.55, 0.8, 0.0, False),  # less than 0.7 of the best
        (0.57, 0.8, 0.0, True),
        (0.62, 0.62, 0.6, False),  # less than 0.05 above a picture of one class
        (0.66, 0.66, 0.6, True),
        (math.nan, 0.8, 0.0, False),
    ],
)
def test_row_26_what_counts_as_a_learnt_control(dsc: float, best: float, chance: float, learnt: bool) -> None:
    assert has_learnt(dsc, best, chance) is learnt
    assert learnt is (dsc >= least_dsc(best, chance))


def test_row_26_victims_that_learn_nothing_give_no_verdict_anywhere() -> None:
    summary = summarise(cells(NOTHING))
    assert not any(row.counts for row in summary.rows) and worst_cases(summary) == []
    assert all(DID_NOT_LEARN in row.flags for row in summary.rows)
    said = "set: no verdict: the control learnt nothing (DSC 12.0 %; floor 50.0 %)."
    assert bottom_line(summary) == [said]
    assert said in markdown_report(summary) and "holds" not in " ".join(bottom_line(summary))
    assert {line.split(",")[-2] for line in csv_table(summary).splitlines()[1:]} == {"False"}


def test_row_26_a_control_no_better_than_one_class_everywhere_gives_no_verdict() -> None:
    values = BASE | {("clean", "unet", "jpeg"): 0.75}
    known = [replace(cell, chance=0.78) for cell in cells(values)]
    assert bottom_line(summarise(known)) == ["set: no verdict: the control learnt nothing (DSC 80.0 %; floor 83.0 %)."]
    assert "the strongest thief" in bottom_line(summarise(cells(values)))[0]


@pytest.mark.parametrize(
    ("dsc", "best", "verdict"), [(0.45, math.nan, "unknown"), (0.56, 0.56, "holds"), (0.56, 0.9, "unknown")]
)
def test_row_26_a_forecast_has_the_same_floor(dsc: float, best: float, verdict: str) -> None:
    ids = tuple(map(str, range(8)))

    def table(mean: float) -> dict[int, tuple[tuple[str, ...], tuple[tuple[float], ...]]]:
        return {0: (ids, tuple((mean + 0.01 * (i % 2),) for i in range(8)))}

    one = judge("unet", table(dsc), table(0.06), dict.fromkeys(ids, 0.05), best)
    assert one.verdict == verdict
    assert one.floor == pytest.approx(max(0.5, 0.7 * best if best == best else 0))
    assert one.to_dict()["floor"] == pytest.approx(one.floor, abs=1e-4)


def test_row_26_a_probe_has_the_same_floor() -> None:
    probed = ProbeResult(before=0.087, after=0.09, test=3, train=9, steps=4, seconds=1.0, flat=False, chance=0.1)
    assert not probed.learnt
    assert "no verdict: the control learnt nothing (DSC 8.7 %; floor 50.0 %)" in probed.summary()
    assert "on protected images" not in probed.summary()
    assert replace(probed, before=0.8).learnt and "80.0 % after training" in replace(probed, before=0.8).summary()
