# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C: one line that says how to go on, the exit code of an interrupt, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from umed.data.phantom import make_phantom
from umed.training.handlers import CHECKPOINT

TRAINING = ["--set", "training.iterations=100000", "--set", "training.batch_size=1", "--quiet"]


def interrupted(words: list[str], there: Callable[[], bool]) -> tuple[int, str]:
    """Start umed, send it SIGINT once something is there; exit code and stderr."""
    command = [sys.executable, "-m", "umed", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 240
        while not there() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_training_says_one_line_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    data, out = make_phantom(tmp_path / "in", cases=2, size=(48, 48, 16)), tmp_path / "generator"
    words = ["train-generator", "unseg", "--data", str(data), "--out", str(out), "--encoder", "tiny"]

    def saved() -> list[Path]:
        return list(out.rglob(CHECKPOINT.format("*")))

    code, said = interrupted([*words, "--set", "method_options.epochs=50000", *TRAINING], lambda: bool(saved()))
    assert (code, said) == (130, "umed: stopped; run the same command again to go on. Nothing is half-written.\n")
    assert not list(out.rglob(".umed-tmp-*"))
    assert [torch.load(path, weights_only=True)["iteration"] > 0 for path in saved()] == [True]
