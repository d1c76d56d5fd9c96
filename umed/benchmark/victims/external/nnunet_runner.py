# SPDX-License-Identifier: Apache-2.0
"""Runs inside nnU-Net's own environment, started by umed: plan, preprocess, train, predict.

    python nnunet_runner.py JOB.json

Imports nothing of umed. The folders of nnU-Net come from its environment variables, which umed sets.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

PLANS = "nnUNetPlans"


def main() -> None:
    """Do what the job says; the result goes to ``result.json`` beside it."""
    path = Path(sys.argv[1])
    job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    seed = int(job["seed"])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(int(job["threads"]))
    seconds: dict[str, float] = {}
    begin = time.perf_counter()
    folder = Path(job["preprocessed"]) / job["dataset"]
    stamp = path.parent / "planned"
    if not stamp.is_file():
        plan(job, folder)
        stamp.touch()
    seconds["plan"] = time.perf_counter() - begin
    begin = time.perf_counter()
    trainer = train(job, folder)
    seconds["train"] = time.perf_counter() - begin
    begin = time.perf_counter()
    for name in ("final", "best"):
        predict(job, trainer, name)
    seconds["predict"] = time.perf_counter() - begin
    logs = trainer.logger.local_logger.my_fantastic_logging if hasattr(trainer.logger, "local_logger") else {}
    result = {
        "loss": [float(value) for value in logs.get("train_losses", [])],
        "dice": [float(value) for value in logs.get("mean_fg_dice", [])],
        "average": [float(value) for value in logs.get("ema_fg_dice", [])],
        "patch": list(trainer.configuration_manager.patch_size),
        "batch": int(trainer.configuration_manager.batch_size),
        "seconds": seconds,
    }
    temporary = path.with_name("result.tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(path.with_name("result.json"))


def plan(job: dict[str, Any], folder: Path) -> None:
    """Fingerprint, plan, preprocess, and the split that nnU-Net must keep to."""
    os.environ["nnUNet_n_proc_DA"] = "1"  # its planner asks torch for so many threads; 0 is for training here
    extract_fingerprints([1], num_processes=1)
    plan_experiments([1])
    file = folder / f"{PLANS}.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    chosen = plans["configurations"][job["configuration"]]
    for key in ("batch_size", "patch_size"):
        if job[key] is not None:
            chosen[key] = job[key]
    file.write_text(json.dumps(plans, indent=1), encoding="utf-8")
    preprocess([1], configurations=[job["configuration"]], num_processes=[1])
    split = Path(job["splits"]).read_text(encoding="utf-8")
    (folder / "splits_final.json").write_text(split, encoding="utf-8")
    os.environ["nnUNet_n_proc_DA"] = "0"


def train(job: dict[str, Any], folder: Path) -> nnUNetTrainer:
    """Train with nnU-Net's own loss, optimizer and augmentation, for fewer and shorter epochs."""
    plans = json.loads((folder / f"{PLANS}.json").read_text(encoding="utf-8"))
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, job["configuration"], 0, dataset, torch.device(job["device"]))
    trainer.num_epochs = int(job["epochs"])
    trainer.num_iterations_per_epoch = int(job["iterations"])
    trainer.num_val_iterations_per_epoch = int(job["validation_iterations"])
    trainer.run_training()
    return trainer


def predict(job: dict[str, Any], trainer: nnUNetTrainer, name: str) -> None:
    """Predict the clean test images with one checkpoint."""
    trainer.load_checkpoint(str(Path(trainer.output_folder) / f"checkpoint_{name}.pth"))
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=job["device"] != "cpu", device=torch.device(job["device"])
    )
    predictor.allow_tqdm = False
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    predictor.list_of_parameters = [trainer.network.state_dict()]
    out = Path(job["answers"]) / name
    out.mkdir(parents=True, exist_ok=True)
    cases: dict[str, list[str]] = {}
    for image in sorted(Path(job["images"]).iterdir()):
        cases.setdefault(image.name.rpartition("_")[0], []).append(str(image))
    predictor.predict_from_files_sequential(
        list(cases.values()), [str(out / case) for case in cases], save_probabilities=False, overwrite=True
    )


if __name__ == "__main__":
    main()
