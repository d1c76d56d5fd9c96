# SPDX-License-Identifier: Apache-2.0
"""``benchmarks/same_bytes.py`` sees every difference between two outputs, and two checkouts that are one have none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "same_bytes.py"


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, Path]:
    for side in ("old", "new"):
        (tmp_path / side / "umed").mkdir(parents=True)
        (tmp_path / side / "image.png").write_bytes(b"pixels")
        (tmp_path / side / "umed" / "manifest.json").write_text('{"cases": [{"psnr": 40.0}]}')
        (tmp_path / side / "umed" / "report.html").write_text(side)
    return tmp_path / "old", tmp_path / "new"


def test_what_differs_is_named(outputs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("same_bytes", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "same_bytes", script)
    spec.loader.exec_module(script)
    old, new = outputs
    assert script.compare(old, new) == (1, [])
    (new / "image.png").write_bytes(b"pixelS")
    (new / "umed" / "manifest.json").write_text('{"cases": [{"psnr": 41.0}]}')
    (old / "gone.png").write_bytes(b"")
    (new / "more.png").write_bytes(b"")
    assert script.compare(old, new)[1] == [
        "gone.png: only in the old one",
        "more.png: only in the new one",
        "image.png: other bytes",
        "umed/manifest.json: cases[0].psnr: 40.0 became 41.0",
    ]


@pytest.mark.slow
def test_a_checkout_is_the_same_as_itself(tmp_path: Path, phantom: Path) -> None:
    words = [str(SCRIPT.parents[1])] * 2 + ["--hippocampus", str(phantom), "--cases", "1", "--methods", "random"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words, "--out", str(tmp_path / "work")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hippocampus, random: same" in done.stdout and "two channels, random: same" in done.stdout
