# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are whole or not there, and what stops a training is said by the caller alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_bilevel import LEARN, keyed_umed, make_plan, weights_of
from tests.training.test_patches import make_sample
from umed.core.errors import InputError
from umed.training import handlers
from umed.training.handlers import CHECKPOINT

PLAN = make_plan(training=replace(LEARN, iterations=9))


def fit(folder: Path, stop_at: int = 0) -> torch.Tensor:
    """Nine iterations with a checkpoint after every third."""

    def stop(_stage: str, done: int, _total: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    method = keyed_umed(widths=(4, 8))
    method.fit([make_sample((40, 30), "a"), make_sample((36, 44), "b")], PLAN, folder, stop)
    return weights_of(method)


def test_an_interrupt_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(tmp_path / "whole")
    save, saved = torch.save, [0]

    def cut_short(content: Any, path: Path) -> None:
        saved[0] += 1
        save(content, path)
        if saved[0] == 2:
            path.write_bytes(path.read_bytes()[:1000])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(handlers.torch, "save", cut_short)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").glob("*.pt")] == [CHECKPOINT.format(1)]
    assert torch.equal(fit(tmp_path / "cut"), whole)
    assert [path.name for path in (tmp_path / "cut").glob("*.pt")] == [CHECKPOINT.format(2)]


def test_nothing_is_printed_of_an_interrupt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=4)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=4)
    path = tmp_path / CHECKPOINT.format(1)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="expected a whole checkpoint, got a damaged one .*Delete it"):
        fit(tmp_path)
