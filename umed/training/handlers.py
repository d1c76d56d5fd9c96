# SPDX-License-Identifier: Apache-2.0
"""Handlers of a training: checkpoints to resume from, statistics, TensorBoard, progress, the end."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch
from ignite.engine import Events
from monai.handlers import CheckpointSaver, StatsHandler, TensorBoardStatsHandler

from umed.core.device import is_first
from umed.core.types import Progress
from umed.training.alternating import AlternatingTrainer

logger = logging.getLogger(__name__)


def keep_going(trainer: AlternatingTrainer, workdir: Path, iterations: int, progress: Progress | None) -> None:
    """Write checkpoints, go on from the newest one in ``workdir``, tell how far it is, and stop in time.

    Args:
        trainer: not yet run.
        workdir: folder for checkpoints; made if need be.
        iterations: iteration after which to stop, also in the middle of an epoch.
        progress: called with ``"train"``, the iterations done and the iterations in all.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    first = is_first()

    def tell_and_stop() -> None:
        if progress is not None and first:
            progress("train", trainer.state.iteration, iterations)
        if trainer.state.iteration >= iterations:
            trainer.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, tell_and_stop)
    if first:
        CheckpointSaver(str(workdir), {"trainer": trainer}, save_interval=1, n_saved=1).attach(trainer)
    newest = max(workdir.glob("*.pt"), key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None:
        trainer.load_state_dict(torch.load(newest, map_location=trainer.state.device, weights_only=True))
        logger.info("training goes on from iteration %d", trainer.state.iteration)


def run_training(trainer: AlternatingTrainer, workdir: Path, progress: Progress | None) -> None:
    """Train to the end of the batches, from the newest checkpoint on; the generator is ready to be used afterwards.

    Args:
        trainer: not yet run.
        workdir: folder for checkpoints and TensorBoard events; made if need be.
        progress: called with ``"train"``, the iterations done and the iterations in all.
    """
    keep_going(trainer, workdir, len(trainer.loader.batches), progress)
    if is_first():
        StatsHandler(
            name=__name__, iteration_log=False, output_transform=lambda output: output["generator"], tag_name="loss"
        ).attach(trainer)
        if importlib.util.find_spec("tensorboard") is not None:
            TensorBoardStatsHandler(
                log_dir=str(workdir / "tensorboard"), epoch_log=False, output_transform=lambda output: output
            ).attach(trainer)
    trainer.run()
    trainer.generator.eval()
