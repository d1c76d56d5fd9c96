# SPDX-License-Identifier: Apache-2.0
"""A MONAI bundle answers by its own preprocessing, on the queries' grid, and runs no code that is not trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trace.suspects.suspect_files import make_queries, same_place
from umed.cli.main import main
from umed.core.errors import InputError
from umed.trace.ask import ask
from umed.trace.suspects.bundle_network import open_bundle

NET: dict[str, Any] = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
STEPS: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0], "mode": "bilinear"},
    {"_target_": "NormalizeIntensityd", "keys": "@image_key"},
]


def make_bundle(folder: Path, *, flat: bool = False, **changes: Any) -> Path:
    """A bundle whose network calls bright voxels foreground."""
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    net = {**NET, "_target_": "torch.nn.Conv2d", "in_channels": 3} if flat else NET
    steps = [*STEPS[:2], STEPS[4]] if flat else STEPS
    config = {
        "imports": ["$import os"],
        "image_key": "image",
        "device": "$torch.device('cpu')",
        "network_def": net,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32] * (2 if flat else 3), "overlap": 0.5},
        **changes,
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    weight = torch.zeros(2, 3 if flat else 1, *[1] * (2 if flat else 3))
    weight[:, 0] = torch.tensor([-5.0, 5.0]).reshape(2, *[1] * (weight.ndim - 2))
    torch.save({"model": {"weight": weight, "bias": torch.zeros(2)}}, folder / "models" / "model.pt")
    return folder


@pytest.mark.parametrize("kind", ["picture", "nifti", "mha"])
def test_answers_lie_where_the_object_is(tmp_path: Path, kind: str) -> None:
    """Turned round and resampled on the way in, turned back on the way out."""
    images = make_queries(tmp_path / "q", kind)
    bundle = make_bundle(tmp_path / "bundle", flat=kind == "picture")
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(bundle), "--quiet"]
    assert main(words) == 0
    for name, image in images.items():
        shares = np.load(tmp_path / "a" / f"{name}.npz")["probabilities"]
        assert shares.shape == (2, *image.shape[1:])
        assert same_place(shares, image[0]) > (0.95 if kind == "picture" else 0.85)


@pytest.mark.parametrize(
    "changes",
    [
        {"network_def": {"_target_": "os.system", "command": "touch PWNED"}},
        {"network_def": {"_target_": "monai.networks.utils.torch.hub.load", "repo_or_dir": "x", "model": "y"}},
        {"network_def": {"_target_": "scripts.net.Net"}},
        {"network_def": {**NET, "out_channels": "$1 + 1"}},
        {"network_def": "@mine", "mine": {"_target_": "torch.nn.Sequential", "args": ["$print(1)"]}},
        {"inferer": {"_target_": "SimpleInferer", "_requires_": "$import os"}},
        {"inferer": {"_target_": "monai.utils.misc.set_determinism", "seed": 1}},
        {"preprocessing": {"_target_": "Compose", "transforms": [{"_target_": "SaveImaged", "keys": "image"}]}},
        {"preprocessing": {"_target_": "Compose", "transforms": [{"_target_": "Lambdad", "keys": "i", "func": "x"}]}},
        {"preprocessing": {**STEPS[0], "reader": "os.system", "command": "touch PWNED"}},
        {"preprocessing": {**STEPS[0], "reader": "open", "file": "PWNED", "mode": "w"}},
        {"preprocessing": {**STEPS[0], "reader": ["NibabelReader", "os.system"]}},
        {"preprocessing": {**STEPS[0], "reader": "@mine"}, "mine": "os.system"},
        {"preprocessing": {**STEPS[0], "reader": "NumpyReader", "allow_pickle": True}},
        {"preprocessing": {"_target_": "WriteFileMappingd", "keys": "image", "mapping_file_path": "PWNED"}},
        {"inferer": {"_target_": "PatchInferer", "merger_cls": "antigravity"}},
        {"network_def": {"_target_": "HoVerNet", "pretrained_url": "file:///PWNED"}},
        {"network_def": {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 1, "pretrained": True}},
        {"network_def": {**NET, "padding_mode": "@mine::_desc_"}, "mine": {"_desc_": "/etc/x"}},
        {"network_def": {**NET, "padding_mode": "@mine"}, "mine": "antigravity.x"},
        {"network_def": {**NET, "_desc_": "$print(1)"}},
        {"network_def": {"_target_": "PerceptualLoss", "spatial_dims": 3}},
        {"network_def": {**NET, "in_channels": "@a::b::c"}, "a": {"b::c": "$print(1)", "b": {"c": 1}}},
    ],
)
def test_nothing_that_could_run_code_is_built_without_leave(tmp_path: Path, changes: dict[str, Any]) -> None:
    bundle = make_bundle(tmp_path / "bundle", **changes)
    with pytest.raises(InputError, match="may run any code. Give --trust-code only if you trust"):
        open_bundle(bundle, torch.device("cpu"))
    assert not Path("PWNED").exists()


def test_a_reader_of_monai_and_what_it_takes_are_plain(tmp_path: Path) -> None:
    loader = {
        **STEPS[0],
        "reader": ["NibabelReader", "PILReader"],
        "image_only": True,
        "_desc_": "see a/b.py: it loads",
    }
    bundle = make_bundle(tmp_path / "bundle", preprocessing={"_target_": "Compose", "transforms": [loader]})
    assert open_bundle(bundle, torch.device("cpu")).loader is not None


def test_a_trusted_bundle_runs_its_own_code(tmp_path: Path) -> None:
    images = make_queries(tmp_path / "q", "nifti", 1)
    bundle = make_bundle(
        tmp_path / "bundle", network_def={"_target_": "scripts_of_bundle.own.Net", "classes": "$1 + 1"}
    )
    (bundle / "scripts_of_bundle").mkdir()
    (bundle / "scripts_of_bundle" / "own.py").write_text(
        "import torch\nclass Net(torch.nn.Conv3d):\n    def __init__(self, classes): super().__init__(1, classes, 1)\n"
    )
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(bundle), "--quiet"]
    assert main(words) == 1
    assert main([*words, "--trust-code"]) == 0
    for name, image in images.items():
        assert same_place(np.load(tmp_path / "a" / f"{name}.npz")["probabilities"], image[0]) > 0.85


class Evil:
    """Weights that run code when they are unpickled without care."""

    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda b: (b / "configs" / "inference.json").unlink(), "expected a MONAI bundle"),
        (lambda b: (b / "configs" / "inference.json").write_text("{"), "expected a configuration of MONAI"),
        (lambda b: (b / "configs" / "inference.json").write_text("{}"), "got no network_def"),
        (lambda b: (b / "models" / "model.pt").unlink(), "large_files.yml"),
        (lambda b: torch.save({"model": {"other": torch.zeros(1)}}, b / "models" / "model.pt"), "cannot be built"),
        (lambda b: torch.save(Evil(), b / "models" / "model.pt"), "cannot be built"),
        (lambda b: (b / "models" / "model.pt").write_bytes(b"x"), "cannot be built"),
    ],
)
def test_a_broken_bundle_is_one_line(
    tmp_path: Path, break_it: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_queries(tmp_path / "q", "nifti", 1)
    bundle = make_bundle(tmp_path / "bundle")
    break_it(bundle)
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(bundle), "--quiet"]
    assert main(words) == 1
    out = capsys.readouterr()
    lines = out.err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0] and "run" not in out.out
    assert not (tmp_path / "a").exists()


def test_an_answer_on_another_grid_is_refused(tmp_path: Path) -> None:
    make_queries(tmp_path / "q", "nifti", 1)
    bundle = make_bundle(tmp_path / "bundle", network_def={**NET, "stride": 2}, inferer={"_target_": "SimpleInferer"})
    with pytest.raises(InputError, match="an answer on another grid"):
        ask(tmp_path / "q", tmp_path / "a", model=bundle)
    assert not (tmp_path / "a").exists()
