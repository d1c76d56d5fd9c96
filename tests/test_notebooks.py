# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from top to bottom, each with its first cell of code replaced by smaller numbers.

They run in IPython in this process: a kernel of its own would import torch once more for each of them.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(logging.getLogger("pydicom"), "level", logging.NOTSET)  # undone: a notebook sets it
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"^(\w+) = ", first.source, re.MULTILINE) == list(smaller)
    first.source = "\n".join(f"{key} = {value!r}" for key, value in smaller.items())
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.display_formatter.active_types = shell.display_formatter.format_types  # pictures too, as a kernel has it
    said, pictures = "", 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            with capture_output() as outputs:
                ended = shell.run_cell(cell.source)
            ended.raise_error()
            said += outputs.stdout + outputs.stderr
            pictures += sum("image/png" in shown.data for shown in outputs.outputs)
    assert [text for text in expected if text not in said] == []
    assert pictures == 1
