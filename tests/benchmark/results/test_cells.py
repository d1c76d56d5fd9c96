# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from umed.benchmark.results.cells import Cell, Scores, Spec, label, read_cell, read_cells
from umed.benchmark.victims.schedule import is_flat
from umed.benchmark.victims.victim_training import VictimTraining
from umed.core.errors import InputError

SPEC = Spec("isic", "random distribution=gaussian", "unet", "blur sigma=1 + jpeg", 3, {"victim": {"width": 8}})
CELL = Cell(
    SPEC,
    ("lesion",),
    ("a", "b"),
    {"last": Scores(9, ((0.5,), (None,)), ((2.0,), (None,)), ((0.1,), (None,)))},
    loss=(1.0, 0.5),
    validation=((9, 0.5, None),),
    seconds={"total": 1.0},
    environment={"commit": "abc"},
    notes=("short",),
)


def test_a_cell_survives_its_file(tmp_path: Path) -> None:
    path = CELL.write(tmp_path)
    assert path.name == f"isic__random_distribution=gaussian__unet__blur_sigma=1_jpeg__seed3__{SPEC.key}.json"
    assert read_cell(path) == CELL and read_cells(tmp_path) == [CELL]
    (tmp_path / ".umed-tmp-x.json").write_text("{")
    assert read_cells(tmp_path) == [CELL]


def test_a_training_that_diverged_is_a_cell_too(tmp_path: Path) -> None:
    training = VictimTraining((8, 8), loss=[1.0, float("nan")])
    cell = replace(CELL, loss=training.curve())
    assert read_cell(cell.write(tmp_path)).loss == (1.0, None) and not is_flat([float("inf")] * 20)


def test_long_labels_fit_a_file_name(tmp_path: Path) -> None:
    spec = replace(SPEC, data="d" * 90, method="m" * 90, victim="v" * 90, countermeasure="c" * 90)
    assert len(spec.file) < 240 and replace(CELL, spec=spec).write(tmp_path).is_file()


def test_the_key_depends_on_settings_and_seed_alone() -> None:
    assert replace(SPEC, victim="other name").key == SPEC.key
    assert replace(SPEC, seed=4).key != SPEC.key
    assert replace(SPEC, settings={"victim": {"width": 9}}).key != SPEC.key
    assert SPEC.title == "isic: random distribution=gaussian, unet, blur sigma=1 + jpeg, seed 3"


@pytest.mark.parametrize("change", [{"format": 99}, {"key": "0"}, {"spec": 3}, {"cases": "ab"}, {"more": 1}])
def test_a_cell_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = CELL.write(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match="expected a cell of format 1"):
        read_cell(path)


def test_labels_are_short() -> None:
    assert label("blur", {"sigma": 0.5, "modes": (1, 2.0)}) == "blur sigma=0.5 modes=1-2"
