# SPDX-License-Identifier: Apache-2.0
"""Weights of UnSeg's authors, stood in for by weights with their names and the shapes of a tiny SAM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from umed.cli.main import main
from umed.methods.unseg.generator_file import load_generator
from umed.networks.noise_head import RELEASED, UnSegGenerator
from umed.networks.sam import make_sam


def released(head: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A head's weights under the names that the authors' code has."""
    found = {}
    for name, value in head.items():
        if name.startswith("mlp."):
            _, number, layer, part = name.split(".")
            name = f"noise_mlp.{number}.layers.{int(layer) // 2}.{part}"
        for old, new in RELEASED.items():
            name = old + name.removeprefix(new) if name.startswith(new) else name
        found[f"module.mask_decoder.{name}"] = value
    return found


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, Path, UnSegGenerator]:
    """Their file, that of Segment Anything, and what both make."""
    torch.manual_seed(5)
    generator = UnSegGenerator(make_sam("tiny"), frozen=True, released=True)
    torch.save(released(generator.head.state_dict()), tmp_path / "theirs.pth")
    torch.save(generator.sam.sam.state_dict(), tmp_path / "sam.pth")
    return tmp_path / "theirs.pth", tmp_path / "sam.pth", generator


def test_released_weights_become_a_generator_that_protects(
    weights: tuple[Path, Path, UnSegGenerator], phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, sam, generator = weights
    words = ["import-generator", "unseg", str(theirs), "--sam-checkpoint", str(sam), "--out", str(tmp_path / "made")]
    assert main([*words, "--encoder", "tiny", "--json"]) == 0
    assert "the authors' released weights" in json.loads(capsys.readouterr().out)["origin"]
    back, encoder, origin = load_generator(tmp_path / "made" / "unseg.pt")
    assert encoder == "tiny" and back.released and back.frozen and "unknown weights" in origin.sam
    for name, value in generator.state_dict().items():
        assert torch.equal(value, back.state_dict()[name]), name
    assert main([*words, "--encoder", "tiny"]) == 1
    assert "expected no generator yet" in capsys.readouterr().err
    plan = ["plan", str(phantom), "--method", "unseg", "--generators", str(tmp_path / "made")]
    assert main(plan) == 0
    assert "unseg: generator the authors' released weights" in capsys.readouterr().out


def test_other_files_are_refused(
    weights: tuple[Path, Path, UnSegGenerator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, sam, _ = weights
    out = tmp_path / "made"

    def run(file: Path, start: Path) -> str:
        words = ["import-generator", "unseg", str(file), "--sam-checkpoint", str(start), "--out", str(out)]
        assert main([*words, "--encoder", "tiny"]) == 1 and not out.exists()
        return capsys.readouterr().err

    assert "got no such file" in run(tmp_path / "none.pth", sam)
    assert "expected the released weights of UnSeg, got others" in run(sam, sam)
    assert "got no such file" in run(theirs, tmp_path / "none.pth")
