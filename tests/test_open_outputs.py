# SPDX-License-Identifier: Apache-2.0
"""``benchmarks/open_outputs.py`` finds what is no longer as the original, and nothing in a sound output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.files_of_people.outcomes import LAYOUTS
from umed.cli.main import main
from umed.execution.nnunet_environment import NNUNET_PYTHON as VARIABLE

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "open_outputs.py"


def test_a_sound_output_has_no_problem_and_a_damaged_one_has_each(
    pictures: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "in" / "pairs.png", tmp_path / "out" / "pairs.png"
    root.parent.mkdir()
    pictures(5).rename(root)
    assert main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet"]) == 0
    words = [sys.executable, str(SCRIPT), "open", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "5 images as the originals but for values" in done.stdout, done.stderr
    assert "pillow" in done.stdout and "SimpleITK" in done.stdout and "0 problems" in done.stdout
    names = [path.name for path in sorted((out / "images").iterdir())]
    (out / "images" / names[0]).write_bytes((root / "images" / names[0]).read_bytes())
    (out / "images" / names[1]).write_bytes(b"no picture")
    image = Image.open(out / "images" / names[2])
    image.save(out / "images" / names[2], dpi=(96, 96))
    image.crop((0, 0, 9, 9)).save(out / "images" / names[3])
    mask = np.array(Image.open(out / "masks" / names[4]))
    Image.fromarray(255 - mask).save(out / "masks" / names[4])
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for name, said in zip(
        names, ("did not change", "Unidentified", "differ", "differ", "a label that is not"), strict=True
    ):
        assert [line for line in done.stderr.splitlines() if name in line and said in line], (name, done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"no nnU-Net at hand: set {VARIABLE} to its interpreter")
@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd", ".png", ".tif"])
def test_nnunet_finds_its_own_raw_data_set_sound(ending: str, tmp_path: Path) -> None:
    layout = next(one for one in LAYOUTS if one.what == "nnU-Net v2 raw")
    root, out = tmp_path / "in" / "Dataset001_small", tmp_path / "out" / "Dataset001_small"
    layout.plant(root, ending)
    assert main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet"]) == 0
    words = [os.environ[VARIABLE], str(SCRIPT), "open", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "verify_dataset_integrity: most likely OK" in done.stdout, done.stderr
    assert "Warning" not in done.stdout and "Error" not in done.stdout
    label = next(iter((out / "labelsTr").iterdir()))
    label.write_bytes((out / "imagesTr" / label.name.replace(ending, f"_0000{ending}")).read_bytes())
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "verify_dataset_integrity failed" in done.stdout  # it does look
