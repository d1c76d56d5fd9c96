# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from top to bottom, each with its first cell of code replaced by smaller numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUNS = [
    ("01_protect_a_dataset", {"CASES": 4, "ITERATIONS": 1, "PROBE_STEPS": 2}, ["4 protected", "probe victim"]),
    (
        "02_dicom_end_to_end",
        {"METHOD": "checkerboard", "ITERATIONS": 1},
        [
            "6 files written, 5 quarantined",
            "(2 carried, 2 protected): every promise holds",
            "0 findings",
            "is the same",
        ],
    ),
    (
        "03_benchmark",
        {"CASES": 6, "STEPS": 2, "ITERATIONS": 1},
        ["9 of 9 cells are left", "9 of 9 cells are done", "blur sigma=0.5"],
    ),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_every_notebook_runs_below() -> None:
    assert [path.stem for path in NOTEBOOKS] == [name for name, _, _ in RUNS]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "smaller", "expected"), RUNS, ids=[name for name, _, _ in RUNS])
def test_runs(
    name: str, smaller: Mapping[str, object], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # also where the package is not installed
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"^(\w+) = ", first.source, re.MULTILINE) == list(smaller)
    first.source = "\n".join(f"{key} = {value!r}" for key, value in smaller.items())
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    said = "".join(out.get("text", "") for out in outputs)
    assert [text for text in expected if text not in said] == []
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 1
