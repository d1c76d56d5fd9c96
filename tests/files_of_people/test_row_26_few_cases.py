# SPDX-License-Identifier: Apache-2.0
"""Row 26: ``umed benchmark quick`` on few cases runs, or is refused with the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files_of_people.every_command import call
from umed.benchmark.grid.cut_sets import cut_set, find_source, look_at
from umed.benchmark.grid.grid_reading import load_grid
from umed.core.errors import ConfigError


@pytest.mark.parametrize("count", [4, 5, 8, 12])
def test_all_cases_are_taken_where_there_are_fewer_than_the_grid_draws(
    count: int, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    grid = load_grid("quick", data=[f"{pictures(count)}"])
    with pytest.warns(UserWarning, match=f"draws 24 labelled cases, this folder has {count}: all of them are taken"):
        look_at(grid, "data", tmp_path / "looked")
    split = cut_set(grid, "data", tmp_path / "out").split
    parts = (split.train, split.validation, split.test)
    assert all(parts) and sum(map(len, parts)) == count


def test_too_few_are_refused_with_the_cure(pictures: Callable[..., Path], tmp_path: Path) -> None:
    said = call(["benchmark", "quick", "--data", str(pictures(3)), "--out", str(tmp_path / "out")])
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert "expected at least 4 labelled cases, to train, validate and judge on different ones, got 3" in said.err
    assert "leave --data out" in said.err and not (tmp_path / "out").exists()


def test_a_grid_of_ones_own_is_held_to_its_word_and_the_cure_is_named(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures(6)
    file = tmp_path / "grid.yaml"
    file.write_text(f"data: {{mine: {{path: {root}, cases: 9}}}}\nmethods: [random]\nvictims: [unet]\nseeds: [0]\n")
    with pytest.raises(ConfigError, match=r"expected 9 labelled cases, got 6. Ask for fewer: --set data.mine.cases=6"):
        find_source(load_grid(file), "mine")
    assert find_source(load_grid(file, changes={"data": {"mine": {"cases": 6}}}), "mine") == root
