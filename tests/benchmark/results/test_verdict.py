# SPDX-License-Identifier: Apache-2.0
"""One careful sentence from figures: the upper end counts, the worst thief counts, and a blind control says nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from umed.benchmark.results.statistics import ratio_interval
from umed.benchmark.results.verdict import CAVEAT, Forecast, ThiefForecast, judge

CASES = tuple(f"case_{number:02d}" for number in range(20))
WOBBLE = np.linspace(-0.04, 0.04, len(CASES))


def table(mean: float, wobble: float = 1.0) -> dict[int, tuple[tuple[str, ...], tuple[tuple[float], ...]]]:
    return {0: (CASES, tuple((float(value),) for value in mean + wobble * WOBBLE))}


def thief(
    clean: float, protected: float, chance: float = 0.3, name: str = "unet", wobble: float = 1.0
) -> ThiefForecast:
    return judge(name, table(clean), table(protected, wobble), dict.fromkeys(CASES, chance))


def whole(*thieves: ThiefForecast) -> Forecast:
    return Forecast(thieves, 100, 1, 40, 20, 128, "umed", {"carriers": ["corner16"]}, 8 / 255)


@pytest.mark.parametrize(
    ("clean", "protected", "verdict"),
    [
        (0.8, 0.35, "holds"),
        (0.8, 0.2, "holds"),  # below chance: nothing is left, not less than nothing
        (0.8, 0.549, "weakens"),  # the mean is just below a half, the interval reaches above it
        (0.8, 0.65, "weakens"),
        (0.8, 0.75, "none"),
        (0.8, 0.82, "none"),
        (0.59, 0.32, "holds"),
        (0.57, 0.32, "unknown"),  # not even 0.4 of the way from chance to 1
    ],
)
def test_verdict(clean: float, protected: float, verdict: str) -> None:
    found = thief(clean, protected)
    assert found.verdict == verdict
    if verdict == "unknown":
        assert np.isnan(found.left.mean)
    else:
        assert found.left.mean == pytest.approx(max(0, (protected - 0.3) / (clean - 0.3)), abs=1e-9)
        assert 0 <= found.left.low <= found.left.mean <= found.left.high
    assert found.difference.mean == pytest.approx(protected - clean) and found.cases == len(CASES)


def test_how_much_must_be_learnt_depends_on_chance() -> None:
    assert thief(0.52, 0.05, chance=0.02).verdict == "holds"
    assert thief(0.52, 0.05, chance=0.25).verdict == "unknown"
    assert thief(0.45, 0.05, chance=0.02).verdict == "unknown"  # half of it all is the least
    assert thief(0.7, 0.3, chance=0.6).verdict == "unknown"


def test_an_interval_that_reaches_one_is_no_protection() -> None:
    assert thief(0.8, 0.6, wobble=25.0).left.high >= 1
    assert thief(0.8, 0.6, wobble=25.0).verdict == "none"


def test_the_worst_seed_decides_and_one_blind_control_is_enough() -> None:
    guess = dict.fromkeys(CASES, 0.3)
    clean = {0: table(0.8)[0], 1: table(0.8)[0]}
    assert judge("unet", clean, {0: table(0.35)[0], 1: table(0.35)[0]}, guess).verdict == "holds"
    assert judge("unet", clean, {0: table(0.35)[0], 1: table(0.6)[0]}, guess).verdict == "weakens"
    assert (
        judge("unet", {**clean, 1: table(0.4)[0]}, {0: table(0.35)[0], 1: table(0.35)[0]}, guess).verdict == "unknown"
    )


def test_cases_without_a_class_count_nowhere() -> None:
    rows = tuple((value if number % 2 else None,) for number, value in enumerate(0.8 + WOBBLE))
    guess = {case: 0.3 if number % 2 else float("nan") for number, case in enumerate(CASES)}
    low = tuple((None if row[0] is None else 0.35,) for row in rows)
    found = judge("unet", {0: (CASES, rows)}, {0: (CASES, low)}, guess)
    assert (found.verdict, found.cases) == ("holds", 10) and found.chance == pytest.approx(0.3)
    none = judge("unet", {0: (CASES[:1], ((0.8,),))}, {0: (CASES[:1], ((0.1,),))}, guess)
    assert none.verdict == "unknown"


def test_the_sentence_is_about_the_worst_thief() -> None:
    holds, weak, none, blind = thief(0.8, 0.32), thief(0.8, 0.6, name="b"), thief(0.8, 0.79, name="c"), thief(0.35, 0.3)
    assert whole(holds).verdict == "holds" and whole(holds, weak).verdict == "weakens"
    assert whole(holds, blind).verdict == "unknown" and whole(blind, none, holds).verdict == "none"
    said = whole(holds, none, weak).sentence
    assert said.startswith("No protection is to be expected: trained 100 steps on protected cases, c segments clean")
    assert "0.79 [0.78, 0.80], unprotected 0.80 [0.79, 0.81], chance 0.30, so 98 % [" in said and said.endswith(
        f"{CAVEAT}."
    )
    assert "expected to hold" in whole(holds).sentence and "weakens a thief" in whole(weak).sentence
    said = whole(blind, holds).sentence
    assert "Nothing can be said" in said and "Try --forecast-steps 300" in said and "unet alone says: holds" in said
    assert CAVEAT not in said


def test_it_is_plain_json_without_what_is_not_known() -> None:
    content = json.loads(json.dumps(whole(thief(0.35, 0.3), thief(0.8, 0.4)).to_dict(), allow_nan=False))
    assert content["verdict"] == "unknown" and content["options"] == {"carriers": ["corner16"]}
    assert content["thieves"][0]["left"] == {"mean": None, "low": None, "high": None}
    assert content["thieves"][1]["left"]["mean"] == pytest.approx(0.2)
    assert (
        "DSC 0.80 [0.79, 0.81] unprotected -> 0.40 [0.39, 0.41] protected, difference -0.40"
        in whole(thief(0.8, 0.4)).summary()
    )


def test_ratio_interval_is_paired_and_says_when_it_does_not_know() -> None:
    below = np.linspace(0.1, 1.0, 30)
    low, high = ratio_interval(below / 2, below)
    assert low == pytest.approx(0.5) and high == pytest.approx(0.5)  # not so if cases were drawn apart
    low, high = ratio_interval(np.ones(10), np.array([1.0, -1.0] * 5))
    assert high == np.inf
    assert all(np.isnan(ratio_interval(np.ones(1), np.ones(1))))
    drawn = np.random.default_rng(0).normal(0.5, 0.2, (2000, 2))
    low, high = ratio_interval(drawn[:, 0], drawn[:, 1])
    assert 0.96 < low < drawn[:, 0].mean() / drawn[:, 1].mean() < high < 1.04
