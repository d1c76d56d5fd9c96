# SPDX-License-Identifier: Apache-2.0
"""Every file of configs/ is what users copy: it must do what its first lines say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.cli.main import main
from umed.data.phantom import make_phantom

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def test_each_has_a_test_below() -> None:
    assert {path.name for path in CONFIGS.iterdir()} == {
        "grid_of_your_data.yaml",
        "recipe_for_one_gpu.yaml",
        "policy_of_a_site.yaml",
        "grid_for_a_cluster.yaml",
        "slurm_array.sh",
        "slurm_dask.sh",
    }


@pytest.mark.usefixtures("known_seconds")
def test_grid_of_your_data(phantom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", str(CONFIGS / "grid_of_your_data.yaml"), "--dry-run", "--data", str(phantom), "--json"]
    assert main(words) == 0
    cells = [row["cell"] for row in json.loads(capsys.readouterr().out)["cells"]]
    assert "mine: umed, plain_dynunet, none, seed 2" in cells and "mine: clean, unet, half, seed 0" in cells
    assert len(cells) == 60


def test_recipe_for_one_gpu(phantom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(phantom), "--recipe", str(CONFIGS / "recipe_for_one_gpu.yaml"), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    training = plan["training"]
    assert training["surrogates"] == ["unet", "dynunet"] and training["restart_every"] == 200


def test_recipe_for_one_gpu_trains_on_what_is_there(tmp_path: Path) -> None:
    data = make_phantom(tmp_path / "phantom", cases=2, size=(32, 32, 16))
    words = ["protect", str(data), str(tmp_path / "out"), "--recipe", str(CONFIGS / "recipe_for_one_gpu.yaml")]
    short = [
        "training.iterations=1",
        "training.batch_size=1",
        "training.surrogate_options={width: 4}",
        "report_cases=0",
    ]
    assert main([*words, "--quiet", *(word for pair in short for word in ("--set", pair))]) == 0


def test_policy_of_a_site(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    from umed.deid.keys import DeidKey
    from umed.deid.profile import load_profile

    policy = CONFIGS / "policy_of_a_site.yaml"
    profile = load_profile(policy)
    assert profile.safe_private["ACME HEADER", 0x0019, 0x0C] == "IS" and len(profile.burned_in) == 2
    source = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    source.ProtocolName, source.BodyPartExamined = "Dr Miller's abdomen", "ABDOMEN"
    source.PatientSex, source.PatientAge = "O", "050Y"
    (tmp_path / "in").mkdir()
    source.save_as(tmp_path / "in" / "ct.dcm")
    DeidKey.create(tmp_path / "key")
    words = ["anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--key-file", str(tmp_path / "key")]
    assert main([*words, "--profile", str(policy), "--quiet"]) == 0
    (written,) = (tmp_path / "out").rglob("*.dcm")
    made = pydicom.dcmread(written)
    assert "ProtocolName" not in made and "BodyPartExamined" not in made
    assert (made.PatientSex, made.PatientAge) == ("O", "050Y")
    assert made.StudyDate and made.StudyDate < source.StudyDate and made.StudyTime == source.StudyTime
    check = [
        "anonymize",
        "--check",
        str(tmp_path / "out"),
        "--original",
        str(tmp_path / "in"),
        "--profile",
        str(policy),
    ]
    assert main(check) == 0


@pytest.mark.usefixtures("known_seconds")
@pytest.mark.skipif(os.name == "nt", reason="Slurm's scripts are for a Unix shell")
@pytest.mark.parametrize(
    ("script", "job", "share"),
    [
        ("slurm_array.sh", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "8"}, 28),
        ("slurm_dask.sh", {}, 228),
    ],
)
def test_a_cluster_run(
    script: str,
    job: dict[str, str],
    share: int,
    tmp_path: Path,
    phantom: Path,
    pictures: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script runs where srun runs what it is given; the words that reach umed are then run here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"srun": 'exec "$@"', "dask": "exec sleep 30", "umed": 'printf "%s\\n" "$@"'}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "data").mkdir()
    for name, folder in (("volumes", phantom), ("pictures", pictures(8))):
        (tmp_path / "data" / name).symlink_to(folder)
    environment = {
        **os.environ,
        **job,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "GRID": str(CONFIGS / "grid_for_a_cluster.yaml"),
        "DATA": str(tmp_path / "data"),
        "OUT": str(tmp_path / "out"),
        "HOST": "127.0.0.1",
    }
    words = ["bash", str(CONFIGS / script), "--dry-run", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert main(done.stdout.splitlines()) == 0
    assert len(json.loads(capsys.readouterr().out)["cells"]) == share
