# SPDX-License-Identifier: Apache-2.0
"""nnU-Net as a victim: conversion, options and failures without it; the real thing where UMED_NNUNET_PYTHON is set."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from umed.benchmark.benchmark import benchmark
from umed.benchmark.results.cells import read_cells
from umed.benchmark.victims.external import NnUNetOptions, check_external
from umed.benchmark.victims.external.raw import DATASET, read_answer, write_raw
from umed.benchmark.victims.victim_recipe import Recipe
from umed.core.errors import ConfigError, InputError
from umed.data.phantom import make_phantom
from umed.execution.nnunet_environment import NNUNET_PYTHON, nnunet_missing

GRID = """
data:
  volumes: {path: phantom, validation: 0.3}
methods: [checkerboard]
victims:
  - nnunet: {python: PYTHON, epochs: 2, iterations: 3, validation_iterations: 1}
seeds: [0]
price: false
"""


def interpreter(folder: Path, body: str) -> Path:
    """A program that stands in for nnU-Net's interpreter; it has the module, and does what it is told."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nif [ "$1" = "-c" ]; then exit 0; fi\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    make_phantom(tmp_path / "phantom", cases=8, size=(24, 24, 16))
    return tmp_path / "grid.yaml"


def test_volumes_become_raw_data_with_their_split(phantom: Path, tmp_path: Path) -> None:
    ids = [f"phantom_{number:03d}" for number in range(5)]
    names = write_raw(tmp_path, phantom, phantom, ids[:2], ids[2:3], ids[3:], (1, 2, 3), ct=True)
    root = tmp_path / "raw" / DATASET
    assert names == {ids[3]: "case_0003", ids[4]: "case_0004"}
    assert sorted(path.name for path in (root / "imagesTr").iterdir()) == [f"case_000{k}_0000.nii.gz" for k in range(3)]
    assert sorted(path.name for path in (root / "labelsTr").iterdir()) == [f"case_000{k}.nii.gz" for k in range(3)]
    assert sorted(path.name for path in (root / "imagesTs").iterdir()) == [f"case_000{k}_0000.nii.gz" for k in (3, 4)]
    content = json.loads((root / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "class1": 1, "class2": 2, "class3": 3}
    assert content["channel_names"] == {"0": "CT"}
    assert content["file_ending"] == ".nii.gz" and content["numTraining"] == 3 and len(content["channel_names"]) == 1
    split = json.loads((tmp_path / "splits.json").read_text())
    assert split == [{"train": ["case_0000", "case_0001"], "val": ["case_0002"]}]
    before = nibabel.load(phantom / "imagesTr" / f"{ids[0]}.nii.gz")
    after = nibabel.load(root / "imagesTr" / "case_0000_0000.nii.gz")
    assert np.array_equal(after.get_fdata(), before.get_fdata()) and np.array_equal(after.affine, before.affine)


def test_pictures_stay_pictures(pictures, tmp_path: Path) -> None:
    root = pictures(4)
    write_raw(tmp_path, root, root, ["case_0", "case_1"], ["case_2"], ["case_3"], (1,))
    raw = tmp_path / "raw" / DATASET
    content = json.loads((raw / "dataset.json").read_text())
    assert content["overwrite_image_reader_writer"] == "NaturalImage2DIO" and len(content["channel_names"]) == 3
    before = np.asarray(Image.open(root / "images" / "case_0.png"))
    assert np.array_equal(np.asarray(Image.open(raw / "imagesTr" / "case_0000_0000.png")), before)
    assert set(np.unique(np.asarray(Image.open(raw / "labelsTr" / "case_0000.png")))) == {0, 1}
    with pytest.raises(InputError, match="expected case 'nobody'"):
        write_raw(tmp_path / "b", root, root, ["nobody"], ["case_2"], ["case_3"], (1,))


def test_answers_are_read_from_either_format(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 3, (6, 5, 4)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), tmp_path / "a.nii.gz")
    Image.fromarray(label[..., 0]).save(tmp_path / "b.png")
    assert np.array_equal(read_answer(tmp_path / "a"), label)
    assert np.array_equal(read_answer(tmp_path / "b"), label[..., 0])
    with pytest.raises(InputError, match="expected a prediction of nnU-Net"):
        read_answer(tmp_path / "c")


@pytest.mark.parametrize(
    ("options", "dims", "message"),
    [
        ({"epoch": 1}, 3, "Did you mean 'epochs'"),
        ({"epochs": 0}, 3, "epochs: expected at least 1"),
        ({"configuration": "3d_lowres"}, 3, "configuration: expected '2d' or '3d_fullres'"),
        ({"configuration": "3d_fullres"}, 2, "expected '2d' for pictures"),
        ({"python": "no-such-python"}, 3, "expected nnunetv2 in no-such-python.*Make an environment of its own"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], dims: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_external(Recipe(net="nnunet", options=options), dims)


def test_the_interpreter_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(NNUNET_PYTHON, "somewhere/python")
    assert NnUNetOptions().interpreter == "somewhere/python" and NnUNetOptions(python="x").interpreter == "x"
    nnunet_missing.cache_clear()
    check_external(Recipe(net="nnunet", options={"python": str(interpreter(tmp_path, ""))}), 3)


def test_a_step_that_fails_is_one_line_with_its_log(grid: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, 'echo "RuntimeError: no more memory"; echo "    ^^^^"; exit 3')
    grid.write_text(GRID.replace("PYTHON", str(python)))
    ended = benchmark(grid, tmp_path / "out")
    assert ended.exit_code == 1 and len(ended.failures) == 2
    reason = ended.failures[0][1]
    assert "got exit code 3: RuntimeError: no more memory. See external/" in reason and "log.txt" in reason
    assert str(tmp_path) not in reason


def test_countermeasures_do_not_reach_it_so_a_grid_that_asks_for_one_is_refused(grid: Path, tmp_path: Path) -> None:
    grid.write_text(GRID.replace("PYTHON", str(interpreter(tmp_path, "exit 3"))) + "countermeasures: [none, augment]\n")
    with pytest.raises(ConfigError, match="grid.yaml:6: .*nnunet.*expected no countermeasure, got augment. Give this"):
        benchmark(grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


RUNNER = """
SELF - "$2" <<'CODE'
import json, pathlib, sys
import nibabel, numpy
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
images = sorted(pathlib.Path(job["images"]).iterdir())
import os
assert os.environ["nnUNet_raw"] and os.environ["nnUNet_n_proc_DA"] == "0" and "PYTHONPATH" not in os.environ
for name in ("final", "best"):
    out = pathlib.Path(job["answers"]) / name
    out.mkdir(parents=True)
    for image in images:
        source = nibabel.load(image)
        answer = (numpy.asarray(source.dataobj) > 100).astype("uint8")
        nibabel.save(nibabel.Nifti1Image(answer, source.affine), out / image.name.replace("_0000.nii", ".nii"))
seconds = {"plan": 1.0, "train": 2.0, "predict": 3.0}
result = {"loss": [0.5, 0.1], "dice": [0.3, 0.2], "average": [0.3, 0.2], "patch": [16, 16, 16], "batch": 2}
pathlib.Path(sys.argv[1]).with_name("result.json").write_text(json.dumps({**result, "seconds": seconds}))
CODE
""".replace("SELF", sys.executable)


def test_its_answers_become_cells(grid: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, RUNNER)
    grid.write_text(GRID.replace("PYTHON", str(python)))
    ended = benchmark(grid, tmp_path / "out")
    assert ended.failures == () and ended.done == 2
    clean, protected = sorted(read_cells(tmp_path / "out" / "cells"), key=lambda cell: cell.spec.method != "clean")
    assert set(clean.choices) == {"last", "best_clean"} and set(protected.choices) == {"last", "best_protected"}
    assert (protected.choices["last"].step, protected.choices["best_protected"].step) == (6, 3)
    assert protected.validation == ((3, None, 0.3), (6, None, 0.2)) and clean.validation[0] == (3, 0.3, None)
    assert protected.seconds["train"] == 2 and any("2 epochs of 3 iterations" in note for note in protected.notes)
    assert not list((tmp_path / "out" / "external").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(
    NNUNET_PYTHON not in os.environ, reason=f"no nnU-Net at hand: set {NNUNET_PYTHON} to its interpreter"
)
def test_the_real_one(grid: Path, tmp_path: Path) -> None:
    grid.write_text(GRID.replace("PYTHON", os.environ[NNUNET_PYTHON]))
    ended = benchmark(grid, tmp_path / "out")
    assert ended.failures == () and ended.done == 2
