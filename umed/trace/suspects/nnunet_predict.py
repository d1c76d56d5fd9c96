# SPDX-License-Identifier: Apache-2.0
"""Runs inside nnU-Net's own environment, started by ``umed trace ask --nnunet``: predict each case of a job.

    python nnunet_predict.py JOB.json

Imports nothing of umed. Prints a line for each case that is done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor


def main() -> None:
    """Do what the job says: masks, probabilities and properties of each case go to its folder for answers."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(int(job["threads"]))
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=job["device"] != "cpu", device=torch.device(job["device"])
    )
    predictor.allow_tqdm = False
    predictor.initialize_from_trained_model_folder(job["model"], job["folds"], job["checkpoint"])
    for name, files in job["cases"].items():
        target = str(Path(job["answers"]) / name)
        predictor.predict_from_files_sequential([files], [target], save_probabilities=True, overwrite=True)
        print(f"{job['said']}{name}", flush=True)


if __name__ == "__main__":
    main()
