# SPDX-License-Identifier: Apache-2.0
"""A network in TorchScript is a program: nothing of it runs before the user has said that it may."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trace.suspects.suspect_files import make_queries
from umed.cli.main import main
from umed.core.errors import InputError
from umed.trace.ask import ask


class Writes(torch.nn.Module):
    """A network that makes a file as soon as it is loaded, which is all that it needs to do harm."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.made = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.place, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.place = state[0]
        self.training = state[1]
        self.made = torch.from_file(state[0], True, 10)  # makes the file

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([-image[:, :1], image[:, :1]], 1)


def test_nothing_of_it_runs_without_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, trace = make_queries(tmp_path / "q"), tmp_path / "trace.bin"
    net = tmp_path / "net.ts"
    torch.jit.save(torch.jit.script(Writes(str(trace))), str(net))
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(net), "--quiet"]
    assert main(words) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert str(net) in lines[0] and "expected leave" in lines[0] and "got none" in lines[0]
    assert "--trust-code" in lines[0] and "ONNX" in lines[0]
    assert not trace.exists() and not (tmp_path / "a").exists()
    assert main([*words, "--trust-code"]) == 0
    assert trace.exists()  # so the refusal above is what kept it away
    assert {path.stem for path in (tmp_path / "a").iterdir()} == set(images)


def test_leave_is_asked_for_whatever_the_file_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_queries(tmp_path / "q")
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: pytest.fail("the file was opened"))
    for name in ("net.pt", "net", "net.onnx.zip"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
        with pytest.raises(InputError, match="--trust-code"):
            ask(tmp_path / "q", tmp_path / "a", model=tmp_path / name)
    assert not (tmp_path / "a").exists()


def test_a_program_called_onnx_is_not_run(tmp_path: Path) -> None:
    """The ending decides who opens a file, and onnxruntime runs no TorchScript."""
    pytest.importorskip("onnxruntime", reason="umed[onnx] is not installed")
    make_queries(tmp_path / "q")
    trace = tmp_path / "trace.bin"
    torch.jit.save(torch.jit.script(Writes(str(trace))), str(tmp_path / "net.ts"))
    (tmp_path / "net.ts").rename(tmp_path / "net.onnx")
    with pytest.raises(InputError, match="expected a network in ONNX"):
        ask(tmp_path / "q", tmp_path / "a", model=tmp_path / "net.onnx")
    assert not trace.exists()
    torch.jit.load(str(tmp_path / "net.onnx"))
    assert trace.exists()  # so it is a program that would have run
