# SPDX-License-Identifier: Apache-2.0
"""The notebook runs from top to bottom, with its first cell replaced by smaller numbers."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "01_protect_a_dataset.ipynb"
SMALLER = {"CASES": 4, "ITERATIONS": 1, "PROBE_STEPS": 2}


def test_is_stored_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))  # also where the package is not installed
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"^(\w+) = ", first.source, re.MULTILINE) == list(SMALLER)
    first.source = "\n".join(f"{name} = {value}" for name, value in SMALLER.items())
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "4 protected" in said and "probe victim" in said
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 1
