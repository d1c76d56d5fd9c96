# SPDX-License-Identifier: Apache-2.0
"""Each configuration runs, shrunk by overrides."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, run, verify_net_in_out

from tests.release_files import hospital
from umed.cases.records import private_of
from umed.core.errors import InputError
from umed.core.registry import METHODS
from umed.monai.workflows import choose_input, load_weights, trained_for
from umed.networks.perturber import UMedPerturber
from umed.protect.verify import verify

ROOT = Path(__file__).resolve().parents[3] / "monai_bundle"
CONFIGS = ROOT / "configs"
SMALL = {
    "iterations": 2,
    "batch_size": 1,
    "patch_size": [32, 32, 32],
    "surrogates": ["unet"],
    "surrogate_options": {"width": 4},
}
"""Override that shrinks a training to seconds."""


@pytest.fixture(scope="module")
def trained(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generators that train.yaml writes, after two epochs of one iteration."""
    output = tmp_path_factory.mktemp("models")
    overrides = {"dataset_dir": str(phantom), "output_dir": str(output), "training": SMALL, "quiet": True}
    run(config_file=str(CONFIGS / "train.yaml"), **overrides, **{"train#trainer#max_epochs": 2})
    return output


def test_protect_and_verify(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    overrides = {"dataset_dir": str(phantom), "output_dir": str(output), "method": "checkerboard", "probe": False}
    run("protect", config_file="configs/protect.yaml", **overrides)
    said = capsys.readouterr().out
    assert "2 protected" in said and "PSNR" in said and "report.html" in said
    assert (output / "umed" / "manifest.json").is_file() and (private_of(output) / "report.html").is_file()
    run("verify", config_file="configs/protect.yaml", **overrides)


def test_protect_without_data_makes_the_phantom(tmp_path: Path) -> None:
    folder = Path(choose_input("", tmp_path / "out", cases=1))
    assert folder == tmp_path / "out_input" and (folder / "dataset.json").is_file()
    assert choose_input("given", tmp_path / "out") == "given"


def test_train_writes_generators_and_checkpoints(trained: Path) -> None:
    assert (trained / "umed.pt").is_file()
    assert list((trained / "checkpoints").glob("*.pt"))


def test_inference_writes_directions(phantom: Path, trained: Path, tmp_path: Path) -> None:
    overrides = {"dataset_dir": str(phantom), "output_dir": str(tmp_path), "checkpoint": str(trained / "umed.pt")}
    run(config_file="configs/inference.yaml", **overrides)
    directions = [torch.load(path, weights_only=True) for path in sorted(tmp_path.glob("*.pt"))]
    assert len(directions) == 2
    for direction in directions:
        assert direction.shape[0] == 1 and direction.ndim == 4
        assert 0.5 < direction.abs().max() <= 1 and (direction == 0).any()


def test_generators_of_train_protect_without_training(phantom: Path, trained: Path, tmp_path: Path) -> None:
    generators = tmp_path / "generators"
    generators.mkdir()
    (generators / "umed.pt").write_bytes((trained / "umed.pt").read_bytes())
    overrides = {"dataset_dir": str(phantom), "output_dir": str(tmp_path / "out"), "generators": str(generators)}
    run("protect", config_file="configs/protect.yaml", probe=False, **overrides)
    assert (tmp_path / "out-private" / "generators" / "umed.pt").read_bytes() == (trained / "umed.pt").read_bytes()


def test_required_properties(phantom: Path, tmp_path: Path) -> None:
    meta = "configs/metadata.json"
    for file, kind in (("train", "train"), ("inference", "infer")):
        workflow = ConfigWorkflow(
            f"configs/{file}.yaml",
            meta_file=meta,
            workflow_type=kind,
            dataset_dir=str(phantom),
            output_dir=str(tmp_path),
        )
        workflow.parser["training" if kind == "train" else "checkpoint"] = SMALL if kind == "train" else ""
        workflow.initialize()
        assert workflow.check_properties() == []


def test_network_has_the_shapes_of_the_metadata() -> None:
    verify_net_in_out("network_def", "configs/metadata.json", "configs/inference.yaml", device="cpu", n=4)


def test_checkpoint_exports_to_the_same_network(trained: Path, tmp_path: Path) -> None:
    checkpoint = str(trained / "umed.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=checkpoint,
        meta_file="configs/metadata.json",
        config_file="configs/inference.yaml",
        key_in_ckpt="weights",
        use_trace=True,
        input_shape=[1, 5, 16, 16, 16],
    )
    exported = torch.jit.load(str(tmp_path / "model.ts"))
    network = load_weights(UMedPerturber(3, 1, 4), checkpoint).eval()
    stacked = torch.rand(1, 5, 16, 16, 16)
    assert torch.allclose(exported(stacked), network(stacked), atol=1e-5)


def test_network_follows_a_checkpoint_of_colour_pictures(pictures: Callable[..., Path], tmp_path: Path) -> None:
    source, models = pictures(), tmp_path / "models"
    small = {"iterations": 1, "batch_size": 1, "patch_size": [32, 32], "surrogates": ["unet"]}
    given = {"dataset_dir": str(source), "quiet": True, "training": small, "method_options": {"widths": [4, 8, 16]}}
    run(config_file="configs/train.yaml", output_dir=str(models), **given)
    checkpoint = str(models / "umed.pt")
    trained = trained_for(checkpoint)
    assert [trained[key] for key in ("spatial_dims", "channels", "classes")] == [2, 3, 2]
    assert (
        list(trained["widths"]) == [4, 8, 16]
        and list(trained["carriers"]) == METHODS["umed"].defaults["colour"]["carriers"]
    )
    overrides = {"dataset_dir": str(source), "output_dir": str(tmp_path / "eval"), "checkpoint": checkpoint}
    run(config_file="configs/inference.yaml", **overrides)
    directions = [torch.load(path, weights_only=True) for path in sorted((tmp_path / "eval").glob("*.pt"))]
    assert len(directions) == 4 and all(direction.shape[0] == 3 and direction.ndim == 3 for direction in directions)
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=checkpoint,
        config_file="configs/inference.yaml",
        key_in_ckpt="weights",
        use_trace=True,
        input_shape=[1, 9, 32, 32],
        checkpoint=checkpoint,
    )
    network = load_weights(UMedPerturber(**trained), checkpoint).eval()
    stacked = torch.rand(1, 9, 32, 32)
    assert torch.allclose(torch.jit.load(str(tmp_path / "model.ts"))(stacked), network(stacked), atol=1e-5)


def test_network_follows_a_checkpoint_of_volumes(trained: Path) -> None:
    found = trained_for(trained / "umed.pt")
    assert [found[key] for key in ("spatial_dims", "channels", "classes")] == [3, 1, 4]
    load_weights(UMedPerturber(**found), trained / "umed.pt")
    assert trained_for("") == trained_for(trained / "none.pt") == found, "what the metadata describe"


def test_files_of_old_versions_load_and_others_are_named(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "umed.pt", weights_only=True)
    del content["options"]["smoothing"]  # files from before it was an option
    torch.save(content, tmp_path / "old.pt")
    assert trained_for(tmp_path / "old.pt") == trained_for(trained / "umed.pt")
    del content["classes"]
    torch.save(content, tmp_path / "older.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    for name, message in (("older", "got no classes. Train them again"), ("text", "expected generators saved by umed")):
        with pytest.raises(InputError, match=message):
            trained_for(tmp_path / f"{name}.pt")


def test_parts_of_the_training_can_be_overridden(phantom: Path, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        "configs/train.yaml",
        **{"dataset_dir": str(phantom), "output_dir": str(tmp_path), "training": SMALL, "quiet": True},
        **{"optimizer#lr": 0.5, "loss#lambda_ce": 0.25, "train#random_transforms#names": ["flip"]},
        **{"network_def": {"_target_": "umed.networks.perturber.UMedPerturber", "widths": [4, 8, 16]}},
        **{f"network_def#{key}": f"$@plan.{key}" for key in ("spatial_dims", "channels", "classes", "epsilon")},
    )
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train#trainer")
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5 and trainer.loss.lambda_ce == 0.25
    assert trainer.generator.widths == (4, 8, 16)
    workflow.run()
    assert list(trained_for(tmp_path / "umed.pt")["widths"]) == [4, 8, 16]


def test_weights_of_another_network_are_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="network_def"):
        load_weights(UMedPerturber(3, 1, 2), trained / "umed.pt")
    with pytest.raises(InputError, match="expected trained generators, got no file"):
        load_weights(UMedPerturber(3, 1, 2), trained / "nothing.pt")


def test_benchmark_runs_a_grid(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "data: {volumes: {phantom: {cases: 5, size: [24, 24, 16]}}}\nmethods: [random]\nvictims: [unet]\n"
        "training: {width: 4, batch: 1, steps: 1, patch: [32, 32, 16], checkpoints: 1}\nprice: false\n"
    )
    overrides = {"grid": str(grid), "output_dir": str(tmp_path / "out"), "quiet": True}
    run("benchmark", config_file="configs/evaluate.yaml", **overrides, dry_run=True)
    assert "2 of 2 cells are left" in capsys.readouterr().out and not (tmp_path / "out").exists()
    run("benchmark", config_file="configs/evaluate.yaml", **overrides, changes={"seeds": [3]})
    assert "2 of 2 cells are done" in capsys.readouterr().out and (tmp_path / "out" / "report.html").is_file()
    assert len(list((tmp_path / "out" / "cells").glob("*seed3*.json"))) == 2


def test_misspelt_override_is_rejected(
    tmp_path: Path, monai_bundle: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = ["run", "protect", "--config_file", "configs/protect.yaml", "--epsilonn", "8"]
    done = monai_bundle(*words, "--output_dir", str(tmp_path / "out"))
    assert done.returncode == 2 and "epsilon" in done.stderr and not (tmp_path / "out").exists()


TINY = "{epochs: 4}"


def test_unseg_is_trained_and_applied(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "generator")
    small = {"encoder": "tiny", "options": {"epochs": 4}, "training": {"iterations": 4, "batch_size": 1}, "quiet": True}
    run(config_file="configs/train_unseg.yaml", dataset_dir=str(phantom), output_dir=out, **small)
    assert "without pretrained weights" in capsys.readouterr().out
    protected = str(tmp_path / "out")
    given = {"dataset_dir": str(phantom), "output_dir": protected, "method": "unseg", "generators": out, "quiet": True}
    given["epsilon"] = "64/255"  # a generator that has learnt little is quiet
    run("protect", config_file="configs/protect.yaml", **given)
    manifest = json.loads((tmp_path / "out-private" / "release.json").read_text())
    assert "Segment Anything without pretrained weights" in manifest["method"] and verify(phantom, protected).ok


def test_unseg_is_trained_on_dicom_with_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, masks = hospital(tmp_path / "in"), tmp_path / "masks"
    masks.mkdir()
    (source / "seg.dcm").rename(masks / "seg.dcm")
    small = {"encoder": "tiny", "options": {"epochs": 4}, "training": {"iterations": 4, "batch_size": 1}, "quiet": True}
    given = {"dataset_dir": str(source), "masks": str(masks), "output_dir": str(tmp_path / "generator")}
    run(config_file="configs/train_unseg.yaml", **given, **small)
    assert "4 pictures or slices" in capsys.readouterr().out and (tmp_path / "generator" / "unseg.pt").is_file()


@pytest.fixture(scope="module")
def together(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A folder with what two processes trained together, and what each of them said: UnSeg's generator, then umed's."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "unseg.yaml").write_text(
        f"dataset_dir: {phantom}\noutput_dir: {folder / 'unseg'}\nquiet: true\nencoder: tiny\noptions: {TINY}\n"
        "training: {iterations: 4, batch_size: 1}\n",
        encoding="utf-8",
    )
    (folder / "umed.yaml").write_text(
        f"dataset_dir: {phantom}\noutput_dir: {folder / 'umed'}\ntraining: {SMALL}\nquiet: true\n"
        'run:\n  - "$@train#trainer.run()"\n  - "$workflows.save_generators(@method, @output_dir)"\n'
        "  - \"$print('codes', @method.perturber.codes.sum().item())\"\n",
        encoding="utf-8",
    )
    trainings = {"train_unseg": "unseg", "train": "umed"}
    jobs = [
        (_free_port(), str([f"configs/{config}.yaml", "configs/multi_gpu_train.yaml", str(folder / f"{name}.yaml")]))
        for config, name in trainings.items()
    ]
    return folder, [said.split(NEXT)[1:] for said in _two_processes(jobs, folder)]


@pytest.mark.slow
def test_two_processes_train_one_universal_generator(together: tuple[Path, list[list[str]]]) -> None:
    folder, ranks = together
    said = [rank[0] for rank in ranks]
    assert "next: umed protect" in said[0] and "next: umed protect" not in said[1]
    assert sorted(path.name for path in (folder / "unseg").iterdir()) == ["training.json", "unseg.pt"]


@pytest.mark.slow
def test_two_processes_train_one_generator(together: tuple[Path, list[list[str]]]) -> None:
    folder, ranks = together
    said = [rank[1] for rank in ranks]
    codes = [line for text in said for line in text.splitlines() if line.startswith("codes")]
    assert len(codes) == 2 and codes[0] == codes[1]
    assert "generators:" in said[0] and "generators:" not in said[1] and (folder / "umed" / "umed.pt").is_file()


NEXT = "-- next training --"
RANKS = f"""
import os, runpy, sys
import ignite.handlers, torch._dynamo, torch.distributed, umed.methods.unseg.method, umed.methods.umed
import umed.monai.bundle, umed.monai.workflows, umed.protect.train  # with all that takes long, once for both
ranks = []
for rank in "01":
    ranks.append(os.fork())
    if ranks[-1] == 0:
        break
else:
    sys.exit(any([os.waitpid(rank, 0)[1] for rank in ranks]))
os.dup2(os.open("rank" + rank, os.O_WRONLY | os.O_CREAT), 1)
os.environ.update(RANK=rank, LOCAL_RANK=rank)
os.chdir(sys.argv[1])
for port, files in list(zip(sys.argv[2::2], sys.argv[3::2])):
    print({NEXT!r}, flush=True)
    os.environ["MASTER_PORT"] = port
    sys.argv = ["monai.bundle", "run", "--config_file", files]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _two_processes(jobs: list[tuple[str, str]], folder: Path) -> tuple[str, ...]:
    """What each of two processes says that do trainings together, one after the other: their ports and files."""
    given = {**os.environ, "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT.parent)}
    command = [sys.executable, "-c", RANKS, str(ROOT), *(word for job in jobs for word in job)]
    both = subprocess.Popen(command, env=given, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = both.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        os.killpg(both.pid, signal.SIGKILL)
        raise
    assert both.returncode == 0, errors[-4000:]
    return tuple((folder / f"rank{n}").read_text(encoding="utf-8") for n in range(2))
