# SPDX-License-Identifier: Apache-2.0
"""Queries reach nnU-Net as it reads images, and its answers come back on their axes; the real thing where it is."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trace.suspects.suspect_files import make_queries, same_place
from umed.cli.main import main
from umed.core.errors import ConfigError, InputError
from umed.execution.nnunet_environment import NNUNET_PYTHON, nnunet_missing
from umed.trace.ask import ask

STAND_IN = '''#!{python}
"""Stands in for nnU-Net's environment: reads what it would read, and writes what it would write."""
import json, pickle, sys
from pathlib import Path
import nibabel as nib
import numpy as np
from PIL import Image

if sys.argv[1] == "-c":
    sys.exit({missing})
job = json.loads(Path(sys.argv[2]).read_text())
print("nnU-Net says something")
for number, (name, files) in enumerate(job["cases"].items()):
    if {fails} and number:
        sys.exit("RuntimeError: out of memory")
    if files[0].endswith(".png"):
        image = np.asarray(Image.open(files[0]))[..., 0][None].astype(float)
    else:
        image = np.asarray(nib.load(files[0]).dataobj).T
    share = 1 / (1 + np.exp(-(image - 120) / 10))
    shares = np.stack([1 - share, share])
    mask = shares.argmax(0).astype(np.uint8)
    out = Path(job["answers"]) / name
    if {wrong}:
        shares = shares[:, :, ::-1]
    np.savez_compressed(str(out) + ".npz", probabilities=shares)
    Path(str(out) + ".pkl").write_bytes(b"")
    if files[0].endswith(".png"):
        Image.fromarray(mask[0]).save(str(out) + ".png")
    else:
        nib.save(nib.Nifti1Image(mask.T, np.eye(4)), str(out) + ".nii.gz")
    print(job["said"] + name, flush=True)
'''


def stand_in(folder: Path, *, missing: bool = False, fails: bool = False, wrong: bool = False) -> Path:
    path = folder / "python"
    path.write_text(STAND_IN.format(python=sys.executable, missing=int(missing), fails=fails, wrong=wrong))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    nnunet_missing.cache_clear()
    return path


def trained(folder: Path, ending: str, labels: dict[str, object] | None = None, channels: int = 1) -> Path:
    """A folder as nnU-Net leaves it."""
    place = folder / "Dataset001_X" / "nnUNetTrainer__nnUNetPlans__2d"
    (place / "fold_0").mkdir(parents=True)
    (place / "fold_0" / "checkpoint_final.pth").write_bytes(b"")
    (place / "plans.json").write_text("{}")
    said = {
        "file_ending": ending,
        "labels": labels or {"background": 0, "box": 1},
        "channel_names": {str(k): "MR" for k in range(channels)},
    }
    (place / "dataset.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(("kind", "ending"), [("picture", ".png"), ("nifti", ".nii.gz"), ("mha", ".nii.gz")])
def test_answers_come_back_on_the_axes_of_the_queries(
    tmp_path: Path, kind: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_queries(tmp_path / "q", kind)
    monkeypatch.setenv(NNUNET_PYTHON, str(stand_in(tmp_path)))
    trained(tmp_path / "results", ending, channels=3 if kind == "picture" else 1)
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--nnunet", str(tmp_path / "results")]
    assert main([*words, "--trust-code", "--quiet"]) == 0
    for name, image in images.items():
        shares = np.load(tmp_path / "a" / f"{name}.npz")["probabilities"]
        assert same_place(shares, image[0]) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [({"fails": True}, "out of memory"), ({"wrong": True}, "agree with nnU-Net's own mask")],
)
def test_what_goes_wrong_there_is_one_line(
    tmp_path: Path,
    given: dict[str, bool],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_queries(tmp_path / "q", "nifti")
    monkeypatch.setenv(NNUNET_PYTHON, str(stand_in(tmp_path, **given)))
    trained(tmp_path / "results", ".nii.gz")
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--nnunet", str(tmp_path / "results")]
    assert main([*words, "--trust-code", "--quiet"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_asked_is_said_before_nnunet_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_queries(tmp_path / "q", "nifti")
    monkeypatch.setenv(NNUNET_PYTHON, str(stand_in(tmp_path, missing=True)))
    good = trained(tmp_path / "good", ".nii.gz")

    def refused(folder: Path, said: str, *, trust: bool = True, kind: type[Exception] = InputError) -> None:
        with pytest.raises(kind, match=said):
            ask(tmp_path / "q", tmp_path / "a", nnunet=folder, trust_code=trust)

    refused(good, "pickle that may run any code", trust=False)
    refused(good, "no module named nnunetv2.*UMED_NNUNET_PYTHON", kind=ConfigError)
    refused(tmp_path / "none", "expected a folder that nnU-Net trained into")
    refused(tmp_path / "q", "got none. Give its folder")
    refused(trained(tmp_path / "regions", ".nii.gz", {"background": 0, "whole": [1, 2]}), "got regions")
    stand_in(tmp_path)
    refused(trained(tmp_path / "four", ".nii.gz", channels=4), "expected queries of 4 channels")
    refused(trained(tmp_path / "tif", ".tif"), "can be written as .tif")
    (good / "Dataset001_X" / "nnUNetTrainer__nnUNetPlans__2d" / "fold_0" / "checkpoint_final.pth").unlink()
    refused(good, "expected fold_0/checkpoint_final.pth")


REAL = "UMED_NNUNET_TRAINED"
"""Folder of two trainings, `pictures` and `volumes`, of nets that find a bright box as in the queries."""


@pytest.mark.slow
@pytest.mark.skipif(
    NNUNET_PYTHON not in os.environ or REAL not in os.environ,
    reason=f"no nnU-Net at hand: set {NNUNET_PYTHON} to its interpreter and {REAL} to what it trained",
)
@pytest.mark.parametrize("kind", ["picture", "nifti"])
def test_the_real_one(tmp_path: Path, kind: str) -> None:
    images = make_queries(tmp_path / "q", kind)
    model = Path(os.environ[REAL]) / ("pictures" if kind == "picture" else "volumes")
    ask(tmp_path / "q", tmp_path / "a", nnunet=model, trust_code=True)
    for name, image in images.items():
        shares = np.load(tmp_path / "a" / f"{name}.npz")["probabilities"]
        assert same_place(shares, image[0]) > 0.6


def test_a_cube_of_nnunet_is_read_on_its_axes(tmp_path: Path) -> None:
    """Where all sides are equal, the file of properties beside an NPZ says whose axes they are."""
    from umed.trace.answers import read_answer

    share = np.random.default_rng(0).random((2, 6, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "a.npz", probabilities=share)
    assert (read_answer(tmp_path / "a.npz", (6, 6, 6), (1,)).shares == share).all()
    (tmp_path / "a.pkl").write_bytes(b"")
    assert (read_answer(tmp_path / "a.npz", (6, 6, 6), (1,)).shares == share.transpose(0, 3, 2, 1)).all()
