# SPDX-License-Identifier: Apache-2.0
"""Networks in TorchScript and ONNX answer on the grid of the queries, whatever windows and types they take."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trace.suspects.suspect_files import make_queries, same_place
from umed.cli.main import main
from umed.core.errors import ConfigError, InputError
from umed.trace.ask import ask
from umed.trace.suspects.suspect import shares_of

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="umed[onnx] is not installed")


def write_onnx(
    path: Path,
    *,
    channels: int = 3,
    sides: tuple[int | str, ...] = ("h", "w"),
    batch: int | str = "b",
    kind: int = onnx.TensorProto.FLOAT,
    softmax: bool = False,
    inputs: int = 1,
) -> Path:
    """A network that calls bright pixels foreground: logits ``[-x, x]`` of the first channel."""
    helper, dtype = onnx.helper, onnx.helper.tensor_dtype_to_np_dtype(kind)
    weight = np.zeros((2, channels, *[1] * len(sides)), dtype)
    weight[:, 0] = np.reshape([-3, 3], (2, *[1] * len(sides)))
    nodes = [helper.make_node("Conv", ["x", "w"], ["c" if softmax else "y"])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["c"], ["y"], axis=1))
    named = [helper.make_tensor_value_info("x", kind, [batch, channels, *sides])]
    named += [helper.make_tensor_value_info("z", kind, [1])] * (inputs - 1)
    out = helper.make_tensor_value_info("y", kind, [batch, 2, *sides])
    graph = helper.make_graph(nodes, "net", named, [out], [onnx.numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"softmax": True},
        {"sides": (32, 32), "batch": 1},
        {"sides": (32, 32), "batch": 3},
        {"sides": (40, 56), "batch": 1},
    ],
)
def test_onnx_answers_where_the_object_is(tmp_path: Path, made: dict[str, object]) -> None:
    images = make_queries(tmp_path / "q")
    ask(tmp_path / "q", tmp_path / "a", model=write_onnx(tmp_path / "net.onnx", **made))  # type: ignore[arg-type]
    for name, image in images.items():
        shares = np.load(tmp_path / "a" / f"{name}.npz")["probabilities"]
        assert shares.dtype == np.float32 and shares.shape == (2, 40, 56)
        assert np.allclose(shares.sum(0), 1, atol=1e-4)
        assert same_place(shares, image[0]) > 0.95


def test_onnx_and_torchscript_answer_alike(tmp_path: Path) -> None:
    images = make_queries(tmp_path / "q", "nifti")
    net = torch.nn.Conv3d(1, 2, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    with torch.no_grad():
        net.weight[:, 0] = torch.tensor([-3.0, 3.0]).reshape(2, 1, 1, 1)
    torch.jit.script(net).save(str(tmp_path / "net.ts"))
    write_onnx(tmp_path / "net.onnx", channels=1, sides=("d", "h", "w"))
    window = ["--window", "16", "16", "16"]
    for name in ("ts", "onnx"):
        words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / name), "--model", str(tmp_path / f"net.{name}")]
        trust = ["--trust-code"] if name == "ts" else []
        assert main([*words, *window, *trust, "--quiet"]) == 0
    for name, image in images.items():
        one, other = (np.load(tmp_path / kind / f"{name}.npz")["probabilities"] for kind in ("ts", "onnx"))
        assert np.allclose(one, other, atol=1e-5) and same_place(one, image[0]) > 0.95


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "expected a network in ONNX, got"),
        ({"channels": 5}, "must be those of the queries"),
        ({"inputs": 2}, "expected one input of floats"),
        ({"kind": onnx.TensorProto.INT32}, "expected a network in ONNX"),
        ({"sides": ("d", "h", "w")}, "expected a network for"),
    ],
)
def test_what_is_no_such_onnx_is_refused_in_one_line(
    tmp_path: Path, made: dict[str, object] | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_queries(tmp_path / "q")
    path = tmp_path / "net.onnx"
    if made is None:
        path.write_bytes(b"no network")
    else:
        write_onnx(path, **made)  # type: ignore[arg-type]
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(path), "--quiet"]
    assert main(words) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "a").exists()


def test_a_network_for_other_channels_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_queries(tmp_path / "q")
    torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(5, 2, 3, padding=1))).save(str(tmp_path / "net.ts"))
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(tmp_path / "net.ts")]
    assert main([*words, "--trust-code", "--quiet"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "to have 5 channels" in lines[0] and "Traceback" not in lines[0]


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_queries(tmp_path / "q")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'umed\[onnx\]'"):
        ask(tmp_path / "q", tmp_path / "a", model=write_onnx(tmp_path / "net.onnx"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "neither"),
        ({"model": "x", "nnunet": "y"}, "both"),
        ({"model": "x", "normalise": "z"}, "zscore, unit, none"),
        ({"model": "x", "window": [0, 4]}, "whole numbers from 1"),
        ({"nnunet": "y", "window": [4, 4]}, "nnU-Net brings its own"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, given: dict[str, object], said: str) -> None:
    make_queries(tmp_path / "q")
    with pytest.raises(ConfigError, match=said):
        ask(tmp_path / "q", tmp_path / "a", **given)  # type: ignore[arg-type]


def test_a_window_of_another_number_of_axes_is_refused(tmp_path: Path) -> None:
    make_queries(tmp_path / "q")
    with pytest.raises(ConfigError, match="expected 2 sizes"):
        ask(tmp_path / "q", tmp_path / "a", model=write_onnx(tmp_path / "net.onnx"), window=[8, 8, 8])
    with pytest.raises(InputError, match="nothing there"):
        ask(tmp_path / "q", tmp_path / "a", model=tmp_path / "none.onnx")


def test_shares_of_one_channel_of_logits_and_of_probabilities() -> None:
    assert shares_of(torch.tensor([[-2.0, 2.0]]))[1].tolist() == pytest.approx([0.1192, 0.8808], abs=1e-4)
    logits = torch.randn(3, 4, 5)
    soft = logits.softmax(0)
    assert torch.equal(shares_of(soft), soft)
    assert torch.allclose(shares_of(logits), soft)
