# SPDX-License-Identifier: Apache-2.0
"""Tiny CT, PET and MR volumes in the layouts of nnU-Net and Decathlon, and the command line on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from umed.cli.main import main

SHAPE = (20, 18, 16)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[6:14, 5:13, 4:12] = 1
Array = NDArray[Any]


def ct(seed: int = 0, inside: float = 60.0) -> Array:
    """Hounsfield units: air around soft tissue, an organ."""
    rng = np.random.default_rng(seed)
    values = np.full(SHAPE, -1000.0)
    values[2:-2, 2:-2, 2:-2] = 0.0
    values[LABELS > 0] = inside
    return np.rint(values + rng.normal(0, 12, SHAPE)).astype(np.int16)


def pet(seed: int = 0, scale: float = 1.0) -> Array:
    """Standardised uptake values: 0 to 2, in the tumour 7 to 13."""
    rng = np.random.default_rng(100 + seed)
    values = rng.uniform(0, 2, SHAPE)
    values[LABELS > 0] = rng.uniform(7, 13, int((LABELS > 0).sum()))
    return (scale * values).astype(np.float32)


def save(path: Path, values: Array) -> None:
    """Write a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 1.0, 1.0])), path)


def stored(path: Path) -> Array:
    """Values of a NIfTI file, unscaled."""
    return np.asarray(nibabel.load(path).dataobj.get_unscaled())


def nnunet(root: Path, names: Mapping[str, str], cases: Mapping[str, Sequence[Array]]) -> Path:
    """nnU-Net v2 raw: a file a channel."""
    for name, channels in cases.items():
        for number, values in enumerate(channels):
            save(root / "imagesTr" / f"{name}_{number:04d}.nii.gz", values)
        save(root / "labelsTr" / f"{name}.nii.gz", LABELS)
    index = {"channel_names": dict(names), "labels": {"background": 0, "tumour": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps({**index, "numTraining": len(cases)}))
    return root


def decathlon(root: Path, names: Mapping[str, str], cases: Mapping[str, Array], labels: Array = LABELS) -> Path:
    """Decathlon: one file a case, channels last."""
    training = []
    for name, values in cases.items():
        entry = {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        save(root / entry["image"], values)
        save(root / entry["label"], labels)
        training.append(entry)
    index: dict[str, Any] = {"labels": {"0": "background", "1": "tumour"}, "training": training, "test": []}
    (root / "dataset.json").write_text(json.dumps(index | ({"modality": dict(names)} if names else {})))
    return root


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Exit code of a command, and all that it said but for its progress."""
    code = main([*(str(word) for word in words), *([] if "--quiet" in words else ["--quiet"])])
    found = capsys.readouterr()
    return code, found.out + found.err


def protect(capsys: pytest.CaptureFixture[str], root: Path, out: Path, *options: str) -> tuple[int, str]:
    """``umed protect`` with a method that needs no training."""
    return run(capsys, "protect", root, out, "--method", "checkerboard", "--quiet", *options)


def record(out: Path) -> dict[str, Any]:
    """Cases of the private record by id, and its plan."""
    content = json.loads((out.with_name(out.name + "-private") / "release.json").read_text())
    return {"plan": content["plan"], **{one["id"]: one for one in content["cases"]}}


def largest(before: Path, after: Path) -> float:
    """Largest change of a file."""
    return float(np.abs(stored(after).astype(float) - stored(before).astype(float)).max())
