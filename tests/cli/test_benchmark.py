# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from umed.cli.main import main
from umed.data.phantom import make_phantom

GRID = """
data: {volumes: {path: elsewhere}}
methods: [random]
victims: [unet]
training: {width: 4, batch: 1, steps: 1, patch: [32, 32, 16], checkpoints: 1}
price: false
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    make_phantom(tmp_path / "phantom", cases=5, size=(24, 24, 16))
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def test_dry_run_run_and_report(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = grid.parent / "out"
    words = ["benchmark", str(grid), "--data", str(grid.parent / "phantom"), "--out", str(out)]
    assert main([*words, "--dry-run", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert [row["cell"] for row in seen["cells"]] == [
        "volumes: clean, unet, none, seed 0",
        "volumes: random, unet, none, seed 0",
    ]
    assert seen["seconds"] > 0 and not out.exists()
    assert main(words) == 0
    said = capsys.readouterr()
    assert "2 of 2 cells are done" in said.out and "[2/2] volumes: random, unet, none, seed 0: DSC" in said.err
    content = json.loads((out / "grid.json").read_text())
    assert (
        content["command"] == "umed benchmark grid.yaml --data phantom" and content["data"]["volumes"]["cases"]["test"]
    )
    before = (out / "table.csv").read_bytes()
    (out / "table.csv").unlink()
    assert main(["report", str(out)]) == 0 and (out / "table.csv").read_bytes() == before
    capsys.readouterr()
    assert main([*words, "--seeds", "7", "--quiet", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["cells"], found["done"], found["failures"]) == (2, 2, []) and said.err == ""


def test_missing_data_and_bad_grids_exit_with_2_and_the_line(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(grid), "--out", str(grid.parent / "out")]) == 2
    said = capsys.readouterr().err
    assert "grid.yaml:2: data.volumes:" in said and "--data volumes=FOLDER" in said and said.count("\n") == 1
    assert not (grid.parent / "out").exists()


def test_a_job_that_fails_is_exit_code_3(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom, out = grid.parent / "phantom", grid.parent / "out"
    words = ["benchmark", str(grid), "--data", str(phantom), "--out", str(out), "--quiet"]
    assert (
        main(
            [
                *words,
                "--set",
                "methods=[random, umed: {settings: {training: {surrogates: [dynunet], "
                "surrogate_options: {depth: 3}, iterations: 1}}}]",
            ]
        )
        == 3
    )
    assert "failed: protect volumes: umed" in capsys.readouterr().out
