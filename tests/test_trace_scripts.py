# SPDX-License-Identifier: Apache-2.0
"""``benchmarks/trace_power.py`` and ``innocents.py`` go from made pictures to a figure that the judge gave."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.skipif("UMED_STUDIES" not in os.environ, reason="most of a minute: set UMED_STUDIES=1 to run it")
@pytest.mark.slow
def test_rows_of_power_and_innocents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    power, innocents = importlib.import_module("trace_power"), importlib.import_module("innocents")
    small = ["--cases", "4", "--size", "32", "--steps", "2", "--flips", "1"]
    for treatment in ("none", "half"):
        words = [*small, "--victim", "unet", "--treatment", treatment]
        monkeypatch.setattr(sys, "argv", ["trace_power.py", str(tmp_path / "power"), *words])
        power.main()
    rows = [json.loads(line) for line in (tmp_path / "power" / "power.jsonl").read_text().splitlines()]
    assert [row["treatment"] for row in rows] == ["none", "half"]
    assert all(row["cases"] == 4 and 1 / 16 <= row["p"] <= 1 and 0 <= row["dsc"] <= 1 for row in rows)
    assert len(list((tmp_path / "power").glob("release-*-queries1"))) == 1  # made once, asked twice
    monkeypatch.setattr(sys, "argv", ["innocents.py", str(tmp_path / "i"), *small, "--networks", "1", "0", "0", "1"])
    innocents.main()
    found = json.loads((tmp_path / "i" / "innocents.json").read_text())
    assert [one["kind"] for one in found] == ["other", "release"]
    assert "1 innocents: 0 at or below 0.001" in capsys.readouterr().out
