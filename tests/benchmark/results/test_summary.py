# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.benchmark.benchmark_folder import make_cell
from umed.benchmark.results.cells import Cell
from umed.benchmark.results.overview import bottom_line, exclusions, overview, worst_cases
from umed.benchmark.results.summary import (
    DID_NOT_LEARN,
    DIVERGED,
    FEW_SEEDS,
    MIXED,
    NO_CONTROL,
    SOME_DIVERGED,
    Summary,
    SummaryRow,
    figure,
    figures,
    natural,
    summarise,
)
from umed.benchmark.results.text_tables import csv_table, markdown_report
from umed.core.errors import InputError

JPEG = [("jpeg", {"quality": 30})]
Values = dict[tuple[str, str, str], float]


def cells(values: Values, seeds: int = 3) -> list[Cell]:
    """Cells whose two cases lie 0.1 below and above these DSC, by method, victim and countermeasure."""
    made = []
    for (method, victim, jpeg), dsc in values.items():
        two, steps = (dsc - 0.1, dsc + 0.1), JPEG if jpeg else []
        made += [make_cell("set", method, victim, steps, i, two, protected=method != "clean") for i in range(seeds)]
    return made


BASE: Values = {
    ("clean", "unet", ""): 0.8,
    ("clean", "unet", "jpeg"): 0.7,
    ("umed", "unet", ""): 0.3,
    ("umed", "unet", "jpeg"): 0.5,
}


def one(summary: Summary, choice: str = "last", **labels: str) -> SummaryRow:
    rows = summary.pick(choice, **labels)
    assert len(rows) == 1
    return rows[0]


def test_figures_of_a_row_by_hand() -> None:
    row = one(summarise(cells(BASE)), method="umed", countermeasure="jpeg quality=30")
    assert row.dsc.mean == pytest.approx(0.5) and row.control == pytest.approx(0.7)
    assert row.difference.mean == pytest.approx(-0.2) and row.pairs == 2
    assert row.brought_back == pytest.approx((0.5 - 0.3) / (0.8 - 0.3))
    assert row.cost == pytest.approx(0.1) and row.net == pytest.approx(0.5 / 0.8)
    assert row.flags == () and row.counts and row.seeds == (0, 1, 2) and row.cases == 2


def test_clean_control_of_best_protected_is_its_best_on_clean() -> None:
    summary = summarise(cells(BASE))
    row = one(summary, "best_protected", method="umed", countermeasure="none")
    assert row.control == pytest.approx(0.8)
    assert summary.pick("best_protected", method="clean") == []


def test_setting_whose_control_did_not_learn_counts_nowhere() -> None:
    values = BASE | {("clean", "weak", ""): 0.55, ("umed", "weak", ""): 0.1}  # 0.55 < 0.7 * 0.8
    summary = summarise(cells(values))
    assert DID_NOT_LEARN in one(summary, victim="weak", method="umed").flags
    assert one(summary, victim="unet", method="umed", countermeasure="none").counts
    seen = overview(summary, "set", "umed", "none")
    assert seen.counted == ("unet",) and seen.victims == 2 and seen.mean == pytest.approx(0.3)
    assert [worst.excluded for worst in worst_cases(summary)] == [1]
    assert exclusions(summary) == {DID_NOT_LEARN: ["set: weak, none"]}


def test_share_is_of_the_best_control_without_countermeasure() -> None:
    just = BASE | {("clean", "near", ""): 0.57}  # 0.7 of 0.8 are 0.56
    assert one(summarise(cells(just)), victim="near").counts
    strong = BASE | {("clean", "unet", "jpeg"): 0.5}
    row = one(summarise(cells(strong)), method="umed", countermeasure="jpeg quality=30")
    assert row.flags == (DID_NOT_LEARN,) and math.isnan(row.brought_back) and row.cost == pytest.approx(0.3)


def test_missing_control_is_flagged_and_a_higher_uncounted_setting_is_told() -> None:
    values = BASE | {("umed", "alone", ""): 0.75}
    summary = summarise(cells(values))
    row = one(summary, victim="alone")
    assert row.flags == (NO_CONTROL,) and not row.counts and math.isnan(row.difference.mean)
    (worst,) = worst_cases(summary)
    assert worst.row.victim == "unet" and worst.beyond is not None and worst.beyond.victim == "alone"


def diverged(
    made: list[Cell], victim: str, method: str, seeds: int, choices: tuple[str, ...] = ("last",)
) -> list[Cell]:
    """The same, the first seeds of a setting with weights that are not finite, which answer background everywhere."""

    def broken(cell: Cell) -> Cell:
        nothing = {name: replace(one, dsc=((0.0,), (0.0,))) for name, one in cell.choices.items() if name in choices}
        return replace(cell, broken=choices, choices={**cell.choices, **nothing})

    wanted = [one.spec.victim == victim and one.spec.method == method and one.spec.seed < seeds for one in made]
    return [broken(cell) if bad else cell for cell, bad in zip(made, wanted, strict=True)]


def test_seeds_that_diverged_are_in_no_mean() -> None:
    made = cells(BASE, seeds=4)
    summary, whole = summarise(diverged(made, "unet", "umed", 1)), summarise(made)
    row = one(summary, method="umed", countermeasure="none")
    assert row.seeds == (1, 2, 3) and row.flags == (SOME_DIVERGED,) and row.counts
    assert row.dsc.mean == pytest.approx(0.3) and row.difference.mean == pytest.approx(-0.5)
    best = one(summary, "best_clean", method="umed", countermeasure="none")
    other = one(whole, "best_clean", method="umed", countermeasure="none")
    assert (best.dsc, best.seeds, best.difference, best.flags) == (other.dsc, other.seeds, other.difference, ())
    assert "2 training(s) that diverged count nowhere" in summary.notes[0] and "seed 0" in summary.notes[0]
    assert not whole.notes


def test_a_setting_of_which_every_seed_diverged_counts_nowhere() -> None:
    summary = summarise(diverged(cells(BASE), "unet", "umed", 3))
    row = one(summary, method="umed", countermeasure="none")
    assert DIVERGED in row.flags and not row.counts and row.seeds == () and math.isnan(row.dsc.mean)
    assert math.isnan(overview(summary, "set", "umed", "none").mean)
    assert all(one.row.choice != "last" for one in worst_cases(summary))
    assert "diverged" in csv_table(summary) and "diverged count nowhere" in markdown_report(summary)
    both = {**BASE, ("clean", "weak", ""): 0.8, ("umed", "weak", ""): 0.4}
    summary = summarise(diverged(cells(both), "unet", "umed", 3))
    assert overview(summary, "set", "umed", "none").mean == pytest.approx(0.4)


def test_a_control_that_diverged_is_none() -> None:
    summary = summarise(diverged(cells(BASE), "unet", "clean", 3))
    assert NO_CONTROL in one(summary, method="umed", countermeasure="none").flags
    assert DIVERGED in one(summary, method="clean", countermeasure="none").flags


def test_few_seeds_are_flagged_but_count() -> None:
    row = one(summarise(cells(BASE, seeds=2)), method="umed", countermeasure="none")
    assert row.flags == (FEW_SEEDS,) and row.counts


def test_worst_case_is_the_highest_of_all_choices_and_stands_in_the_bottom_line() -> None:
    made = cells(BASE)
    better = [
        replace(cell, choices=cell.choices | {"best_protected": replace(cell.choices["last"], dsc=((0.6,), (0.66,)))})
        if cell.spec.method == "umed" and cell.spec.countermeasure != "none"
        else cell
        for cell in made
    ]
    summary = summarise(better)
    (worst,) = worst_cases(summary)
    assert worst.row.choice == "best_protected" and worst.row.dsc.mean == pytest.approx(0.63)
    (sentence,) = bottom_line(summary)
    assert "63.0 %" in sentence and "70.0 %" in sentence and "30.0 % instead of 80.0 %" in sentence
    assert "jpeg quality=30" in sentence and "best on protected validation" in sentence


def test_methods_are_ranked_by_what_all_of_them_faced() -> None:
    values = BASE | {("easy", "unet", ""): 0.4}  # never attacked, so its worst case is lower than umed's
    (sentence,) = bottom_line(summarise(cells(values)))
    assert sentence.startswith("set: of 2 protections, umed holds best against the settings that all of them faced")
    assert "(at most 30.0 %)" in sentence and "50.0 %" in sentence


def test_where_a_thief_undoes_every_method_none_is_said_to_hold() -> None:
    values = BASE | {("umed", "unet", "jpeg"): 0.69, ("other", "unet", ""): 0.78}
    (sentence,) = bottom_line(summarise(cells(values)))
    assert sentence.startswith("set: none of 2 protections holds: against each, at least one thief reaches what clean")
    assert "tries nothing, umed leaves least on average over its victims: 30.0 % instead of 80.0 %" in sentence


def test_every_comparison_is_of_the_same_seeds() -> None:
    made = [
        make_cell("set", method, "unet", steps, seed, (dsc, dsc), protected=method != "clean")
        for method, steps, scores in (
            ("clean", [], {0: 0.9, 1: 0.5}),
            ("umed", [], {0: 0.9, 1: 0.1}),
            ("clean", JPEG, {0: 0.8}),
            ("umed", JPEG, {0: 0.7}),
            ("other", [], {7: 0.1}),
        )
        for seed, dsc in scores.items()
    ]
    summary = summarise(made)
    plain = one(summary, method="umed", countermeasure="none")
    assert plain.control == pytest.approx(0.7) and plain.difference.mean == pytest.approx(-0.2)
    row = one(summary, method="umed", countermeasure="jpeg quality=30")
    assert row.control == pytest.approx(0.8) and row.difference.mean == pytest.approx(-0.1)
    assert row.plain == pytest.approx(0.9) and row.lost == pytest.approx(0) and row.won == pytest.approx(-0.2)
    assert row.cost == pytest.approx(0.1) and row.net == pytest.approx(0.7 / 0.9) and math.isnan(row.brought_back)
    assert NO_CONTROL in one(summary, method="other").flags


def test_bottom_line_without_a_control_claims_nothing() -> None:
    (sentence,) = bottom_line(summarise(cells({("umed", "unet", ""): 0.1})))
    assert "nothing can be said" in sentence and "10.0" not in sentence


def test_brought_back_needs_a_loss() -> None:
    values = BASE | {("umed", "unet", ""): 0.77}
    summary = summarise(cells(values))
    assert math.isnan(one(summary, method="umed", countermeasure="jpeg quality=30").brought_back)
    assert math.isnan(overview(summary, "set", "umed", "jpeg quality=30").brought_back)


def test_overview_is_the_ratio_of_means_over_victims() -> None:
    values = BASE | {
        ("clean", "two", ""): 0.7,
        ("clean", "two", "jpeg"): 0.7,
        ("umed", "two", ""): 0.6,
        ("umed", "two", "jpeg"): 0.6,
    }
    seen = overview(summarise(cells(values)), "set", "umed", "jpeg quality=30")
    assert seen.brought_back == pytest.approx((0.1) / (0.3))  # won 0.2 and 0.0, lost 0.5 and 0.1
    assert seen.cost == pytest.approx(0.05) and seen.net == pytest.approx(0.55 / 0.75)
    assert (seen.lowest, seen.highest) == (pytest.approx(0.5), pytest.approx(0.6))


def test_younger_of_two_cells_with_the_same_labels_is_kept_and_said() -> None:
    made = cells(BASE)
    chosen = next(cell for cell in made if cell.spec.method == "umed" and cell.spec.seed == 0)
    settings = chosen.spec.settings | {"tolerance": 2.0}
    older = replace(
        chosen,
        spec=replace(chosen.spec, settings=settings),
        environment={"date": "2020-01-01"},
        choices={"last": replace(chosen.choices["last"], dsc=((1.0,), (1.0,)))},
    )
    summary = summarise([*made, older])
    assert csv_table(summary) == csv_table(summarise(made))
    assert summary.notes == ("1 older cell of other settings under the same labels left out.",)
    younger = replace(older, environment={"date": "2030-01-01"})
    assert MIXED in one(summarise([*made, younger]), method="umed", countermeasure="none").flags


def test_order_of_cells_does_not_matter() -> None:
    made = cells(BASE)
    assert csv_table(summarise(made)) == csv_table(summarise(made[::-1]))


def test_table_that_does_not_fit_its_cases_is_an_error() -> None:
    cell = cells(BASE)[0]
    broken = replace(cell, cases=("a",))
    with pytest.raises(InputError, match=r"last\.dsc: expected 1 rows, one a case, got 2\. Delete the cell"):
        summarise([broken])


def test_labels_are_sorted_as_people_count() -> None:
    names = ["jpeg quality=90", "jpeg quality=9", "jpeg quality=10", "blur sigma=0.5"]
    assert sorted(names, key=natural) == ["blur sigma=0.5", "jpeg quality=9", "jpeg quality=10", "jpeg quality=90"]
    made = summarise(cells(BASE | {("random", "unet", ""): 0.8}), order=["clean", "umed", "random"])
    assert made.methods == ("clean", "umed", "random") and made.countermeasures[0] == "none"


def test_numbers_of_a_price_are_found_however_they_are_nested() -> None:
    price: dict[str, Any] = {
        "data": "set",
        "method": "umed",
        "measures": {"fidelity": {"psnr": {"mean": 41.0, "sd": 1}, "ok": True}, "spectrum": {"frequency": [1, 2]}},
        "environment": {"threads": 4},
    }
    assert figures(price) == {"fidelity.psnr.mean": 41.0, "fidelity.psnr.sd": 1.0}
    assert figure(price, "psnr") == 41.0 and math.isnan(figure(price, "psnr_roi"))
    row = one(summarise(cells(BASE), [price]), method="umed", countermeasure="none")
    assert row.psnr == 41.0 and math.isnan(row.psnr_roi)
