# SPDX-License-Identifier: Apache-2.0
"""Handlers of a training: checkpoints to resume from, statistics, TensorBoard, progress, the end."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from pathlib import Path

import torch
from ignite.engine import Events
from monai.handlers import StatsHandler, TensorBoardStatsHandler

from umed.core.device import is_first
from umed.core.errors import InputError
from umed.core.types import Progress
from umed.data.files import atomic
from umed.training.alternating import AlternatingTrainer

logger = logging.getLogger(__name__)
CHECKPOINT = "trainer_epoch={}.pt"


def keep_going(trainer: AlternatingTrainer, workdir: Path, iterations: int, progress: Progress | None) -> None:
    """Write checkpoints, go on from the newest one in ``workdir``, tell how far it is, and stop in time.

    Args:
        trainer: not yet run.
        workdir: folder for checkpoints; made if need be.
        iterations: iteration after which to stop, also in the middle of an epoch.
        progress: called with ``"train"``, the iterations done and the iterations in all.

    Raises:
        InputError: when the newest checkpoint is damaged.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    first = is_first()

    def tell_and_stop() -> None:
        if progress is not None and first:
            progress("train", trainer.state.iteration, iterations)
        if trainer.state.iteration >= iterations:
            trainer.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, tell_and_stop)
    trainer.add_event_handler(Events.EXCEPTION_RAISED, _raise)
    trainer.logger.addFilter(_is_news)
    if first:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, _save, workdir)
    newest = max(workdir.glob(CHECKPOINT.format("*")), key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None:
        _load(trainer, newest)
        logger.info("training goes on from iteration %d", trainer.state.iteration)


def _save(trainer: AlternatingTrainer, workdir: Path) -> None:
    """Write a checkpoint, whole or not at all, and only then remove the one before, which MONAI's handler does not."""
    path = workdir / CHECKPOINT.format(trainer.state.epoch)
    with atomic(path) as temporary:
        torch.save(trainer.state_dict(), temporary)
    for older in workdir.glob(CHECKPOINT.format("*")):
        if older != path:
            older.unlink()


def _load(trainer: AlternatingTrainer, path: Path) -> None:
    try:
        state = torch.load(path, map_location=trainer.state.device, weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: expected a whole checkpoint, got a damaged one ({type(error).__name__}). Delete it; the training "
            "then begins again."
        ) from error
    trainer.load_state_dict(state)


def _raise(_trainer: AlternatingTrainer, error: BaseException) -> None:
    """Stands before MONAI's handler, which would print the traceback of what the caller catches."""
    raise error


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the engine says what the caller does not: it announces each exception, Ctrl-C, too."""
    return "terminating due to exception" not in record.getMessage()


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
