# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are whole or not there, and what stops a training is said by the caller alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from tests.training.test_bilevel import LEARN, keyed_umed, make_plan, weights_of
from tests.training.test_patches import make_sample
from umed.training.handlers import CHECKPOINT

PLAN = make_plan(training=replace(LEARN, iterations=9))


def fit(folder: Path, stop_at: int = -1) -> torch.Tensor:
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

    def cut_short(content: Any, file: BinaryIO) -> None:
        saved[0] += 1
        save(content, file)
        if saved[0] == 2:
            file.truncate(1000)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut_short)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").glob("*.pt")] == [CHECKPOINT.format(1)]
    assert torch.equal(fit(tmp_path / "cut"), whole)
    assert sorted(path.name for path in (tmp_path / "cut").glob("*.pt")) == [CHECKPOINT.format(1), CHECKPOINT.format(2)]


def test_nothing_is_printed_of_an_interrupt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=4)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """Weights of a training that nothing disturbed."""
    return fit(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("0 bytes", lambda path: path.write_bytes(b"")),
        ("cut", lambda path: path.write_bytes(path.read_bytes()[:5000])),
        ("not a checkpoint", lambda path: path.write_text("<html>proxy error</html>")),
        ("a list", lambda path: torch.save([1, 2], path)),
        ("a part of one", lambda path: torch.save({"iteration": 3}, path)),
        ("of another plan", lambda path: torch.save(torch.load(path) | {"identity": "other"}, path)),
        ("of another network", lambda path: torch.save(torch.load(path) | {"surrogate 0": {"w": torch.ones(1)}}, path)),
        ("a later iteration than there is", lambda path: torch.save(torch.load(path) | {"iteration": 99}, path)),
        ("a folder", lambda path: (path.unlink(), path.mkdir())),
    ],
)
def test_row_23_a_broken_checkpoint_is_set_aside_and_training_goes_on_from_the_last_whole_one(
    name: str, spoil: Callable[[Path], Any], tmp_path: Path, whole: torch.Tensor
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=7)
    first, second = (tmp_path / CHECKPOINT.format(number) for number in (1, 2))
    assert first.is_file() and second.is_file()
    spoil(second)
    with pytest.warns(UserWarning, match=r"=2.pt: expected a whole checkpoint .* set aside as .*iteration 3"):
        assert torch.equal(fit(tmp_path), whole)
    assert second.with_name(f"{second.name}.broken").exists()
    for path in tmp_path.glob("*.pt"):
        spoil(path)
    with pytest.warns(UserWarning, match="The training begins again"):
        assert torch.equal(fit(tmp_path), whole)


def test_a_checkpoint_that_cannot_be_read_just_now_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=4)

    def refused(*_args: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied", "x.pt")

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(torch, "load", refused)
        fit(tmp_path)
    assert (tmp_path / CHECKPOINT.format(1)).is_file()


def test_a_full_disk_is_named_and_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = [0]
    write = torch.save

    def full(content: Any, file: BinaryIO) -> None:
        saved[0] += 1
        if saved[0] == 2:
            with open("/dev/full", "wb") as nowhere:
                write(content, nowhere)
        write(content, file)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device.*trainer_epoch=2.pt"):
        patch.setattr(torch, "save", full)
        fit(tmp_path)
    assert [path.name for path in tmp_path.glob("*pt*")] == [CHECKPOINT.format(1)]
    assert not list(tmp_path.glob(".umed-tmp-*"))
