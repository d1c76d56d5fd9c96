# SPDX-License-Identifier: Apache-2.0
"""Handlers of a training: checkpoints to resume from, statistics, TensorBoard, progress, the end."""

from __future__ import annotations

import copy
import importlib.util
import logging
import re
from pathlib import Path

import ignite.distributed
import torch
from ignite.engine import Events
from monai.handlers import StatsHandler, TensorBoardStatsHandler

from umed.core.device import is_first
from umed.core.errors import error_line
from umed.core.types import Progress
from umed.data.files import out_of_reach, set_aside
from umed.networks.tensor_files import save_tensors
from umed.training.alternating import AlternatingTrainer

logger = logging.getLogger(__name__)
CHECKPOINT = "trainer_epoch={}.pt"
KEPT = 2
"""Checkpoints that stay: the newest, and the one before."""


def keep_going(trainer: AlternatingTrainer, workdir: Path, iterations: int, progress: Progress | None) -> None:
    """Write checkpoints, go on from the newest one in ``workdir``, tell how far it is, and stop in time.

    Args:
        trainer: not yet run.
        workdir: folder for checkpoints; made if need be.
        iterations: iteration after which to stop, also in the middle of an epoch.
        progress: called with ``"train"``, the iterations done and the iterations in all.

    Note:
        Checkpoints that are damaged, or of another training, are set aside as ``*.broken``, with a warning; the
        training goes on from the newest whole one, or begins again.
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
    _go_on(trainer, workdir)


def _save(trainer: AlternatingTrainer, workdir: Path) -> None:
    """Write a checkpoint, whole or not at all, and only then remove old ones, which MONAI's handler does not.

    The one before stays, for the day on which the disk has lost what it had promised to keep.
    """
    save_tensors(trainer.state_dict(), workdir / CHECKPOINT.format(trainer.state.epoch))
    for older in _newest_first(workdir)[KEPT:]:
        older.unlink()


def _newest_first(workdir: Path) -> list[Path]:
    """All checkpoints by their epoch; the time of a file says nothing once a folder was copied."""
    pattern = re.compile(CHECKPOINT.replace(".", r"\.").format(r"(\d+)"))
    found = [(pattern.fullmatch(path.name), path) for path in workdir.iterdir()]
    return [path for _, path in sorted(((int(match[1]), path) for match, path in found if match), reverse=True)]


def _go_on(trainer: AlternatingTrainer, workdir: Path) -> None:
    """Load the newest checkpoint that is whole and of this training, and set those aside that are not."""
    fresh = copy.deepcopy(trainer.state_dict()) if (found := _newest_first(workdir)) else {}
    broken: list[tuple[Path, str]] = []
    for path in found:
        try:
            trainer.load_state_dict(torch.load(path, map_location=trainer.state.device, weights_only=True))
            break
        except Exception as error:
            if out_of_reach(error):
                raise  # it may be whole
            trainer.load_state_dict(fresh)  # half of it may have been taken
            broken.append((path, f"{type(error).__name__}: {error_line(error)[:120]}"))
    ignite.distributed.barrier()  # every process has seen the same files
    if trainer.state.iteration:
        logger.info("training goes on from iteration %d", trainer.state.iteration)
    if not is_first():
        return
    at = trainer.state.iteration
    then = f"The training {f'goes on from iteration {at}' if at else 'begins again'}."
    for path, why in broken:
        set_aside(path, "a whole checkpoint of this training", why, then)


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
