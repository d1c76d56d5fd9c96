# SPDX-License-Identifier: Apache-2.0
"""Rows 13 to 15: RGB PNGs of nnU-Net, names of nnU-Net v1, absolute paths in dataset.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.layout_files import lay, write_json
from tests.layout_runs import moved_only_inside, protect_and_prove


def test_row_13_one_rgb_picture_holds_three_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = lay(tmp_path / "in", "labelsTr/a.png=1", "labelsTr/b.png=2"), tmp_path / "out"
    (root / "imagesTr").mkdir()
    for name in "ab":
        pixels = np.random.default_rng(ord(name)).integers(40, 200, (24, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "imagesTr" / f"{name}_0000.png")
    index = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "a": 1, "b": 2}}
    write_json(root / "dataset.json", {**index, "numTraining": 2, "file_ending": ".png"})
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and moved_only_inside(root, out) == {"a": True, "b": True}
    assert run.files == {
        "dataset.json",
        *(f"{folder}/{n}{end}.png" for n in "ab" for folder, end in (("imagesTr", "_0000"), ("labelsTr", ""))),
    }
    assert (out / "dataset.json").read_bytes() == (root / "dataset.json").read_bytes()


def test_row_14_names_of_version_1_are_read_and_mirrored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"imagesTr/{n}_000{k}.nii.gz" for n in "ab" for k in (0, 1)]
    root, out = lay(tmp_path / "in", *files, "labelsTr/a.nii.gz=1", "labelsTr/b.nii.gz=1"), tmp_path / "out"
    entries = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ab"]
    index = {"modality": {"0": "MR", "1": "MR"}, "labels": {"0": "background", "1": "a"}, "numTraining": 2}
    write_json(root / "dataset.json", {**index, "training": entries, "test": []})
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and moved_only_inside(root, out) == {"a": True, "b": True}
    assert run.files == {*files, "labelsTr/a.nii.gz", "labelsTr/b.nii.gz", "dataset.json"}
    assert json.loads((out / "dataset.json").read_text())["training"] == entries


def test_row_15_absolute_paths_are_accepted_and_not_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = lay(tmp_path / "in", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz=1"), tmp_path / "out"
    entry = {"image": f"{root}/imagesTr/a.nii.gz", "label": f"{root}/labelsTr/a.nii.gz"}
    write_json(root / "dataset.json", {"modality": {"0": "MR"}, "training": [entry], "labels": {"0": "b", "1": "a"}})
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and moved_only_inside(root, out) == {"a": True}
    relative = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    assert json.loads((out / "dataset.json").read_text())["training"] == [relative]
    for path in (*out.rglob("*.json"), *out.rglob("*.html")):
        assert str(tmp_path).encode() not in path.read_bytes()
