# SPDX-License-Identifier: Apache-2.0
"""Trains a universal generator once, for ``umed protect --generators`` on any other data."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.cases.opening import open_source
from umed.cases.source import Request, Source, given_path
from umed.core.config import Settings, make_settings
from umed.core.device import is_first
from umed.core.errors import ConfigError, InputError
from umed.core.types import Progress
from umed.core.version import __version__
from umed.data.files import atomic, sha256
from umed.methods.base import make_method
from umed.methods.unseg.generator_file import FILE
from umed.methods.unseg.method import UnSeg
from umed.plan.planning import Plan
from umed.training.handlers import run_training
from umed.training.samples import training_samples

WORK = "checkpoints"
RECORD = "training.json"


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Args:
        folder: holds ``unseg.pt`` and ``training.json``.
        origin: where the weights come from, in words.
        pictures: flat pictures or slices that were trained on.
        left_out: id and reason of cases that could not be read or, of DICOM, have no mask.
        seconds: of this run.
        loss: last loss of the generator and of the surrogate.
        bounds: option of ``umed protect`` that gives a release the bounds of this training.
    """

    folder: Path
    origin: str
    pictures: int
    left_out: tuple[tuple[str, str], ...]
    seconds: float
    loss: dict[str, float]
    bounds: str = f"--method {UnSeg.name}"

    def summary(self) -> str:
        """Text for a screen."""
        lines = [f"left out: {name}: {why}" for name, why in self.left_out]
        lines.append(f"{self.folder / FILE}: {self.origin}; {self.pictures} pictures or slices, {self.seconds:.0f} s")
        return "\n".join([*lines, f"next: umed protect INPUT OUTPUT {self.bounds} --generators {self.folder}"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        left_out = [list(one) for one in self.left_out]
        return {**self.__dict__, "folder": str(self.folder), "left_out": left_out}


def train_generator(
    data: str | Path,
    out: str | Path,
    *,
    recipe: str | Path = UnSeg.name,
    settings: Settings | None = None,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    sam: str | Path | None = None,
    surrogate: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **overrides: Any,
) -> Trained:
    """Train UnSeg's generator; a training that was stopped goes on.

    Args:
        data: data set with masks, in any layout of files, or a folder or zip of DICOM files.
        out: folder for ``unseg.pt``, ``training.json`` and, until it is done, checkpoints.
        recipe: name or file; its ``method`` must be ``"unseg"``.
        settings: used as they are instead of the recipe.
        masks: for DICOM: folder with masks beside those in ``data``.
        layout: mapping file that says where images and masks lie, see :mod:`umed.data.layout_map`.
        sam: pretrained weights of Segment Anything for the generator, which then stay frozen.
        surrogate: weights that the surrogate's encoder starts from.
        overwrite: replace a generator that is there, and start a stopped training again.
        progress: called with a text, the iterations done and the iterations in all.
        overrides: any setting, laid over the recipe.

    Returns:
        What came of it.

    Raises:
        ConfigError: when the settings are of another method, or train nothing, or masks are given for files.
        InputError: when the data, their masks or the weights cannot be used, or a generator is there already.
    """
    chosen = make_settings(recipe, {"method": UnSeg.name, **overrides}) if settings is None else settings
    if chosen.method != UnSeg.name:
        raise ConfigError(f"method: expected {UnSeg.name}, the only universal one, got {chosen.method!r}.")
    if chosen.training.iterations < 1:
        raise ConfigError("training.iterations: expected at least 1 to train a generator, got 0.")
    out = Path(out)
    if (out / FILE).is_file() and not overwrite:
        raise InputError(
            f"{out / FILE}: expected no generator yet, got one. Choose another folder or give --overwrite."
        )
    request = Request(Path(data), chosen, masks=given_path(masks), layout=given_path(layout))
    with open_source(request, progress=progress) as source:
        return _train(source, source.make_plan(chosen), out, sam, surrogate, overwrite, progress)


def _train(
    source: Source,
    plan: Plan,
    out: Path,
    sam: str | Path | None,
    surrogate: str | Path | None,
    overwrite: bool,
    progress: Progress | None,
) -> Trained:
    """Train on what was found, and write generator and record."""
    begin = time.perf_counter()
    method = make_method(plan)
    assert isinstance(method, UnSeg)
    samples, left_out = training_samples(source, plan, public=False, progress=progress)
    sam, surrogate = (None if path is None else Path(path) for path in (sam, surrogate))
    trainer = method.make_trainer(samples, plan, sam=sam, encoder=surrogate)
    if overwrite and is_first():
        shutil.rmtree(out / WORK, ignore_errors=True)
    starts = [None if path is None else sha256(path) for path in (sam, surrogate)]
    _same_run(out / WORK, [plan.fingerprint, [source.fingerprint(case) for case in source.trainable()], *starts])
    run_training(trainer, out / WORK, progress)
    if is_first():
        method.save(out)
    batches: Any = trainer.loader.batches
    done = Trained(
        out,
        str(method.origin),
        len(batches.pictures),
        tuple(left_out),
        round(time.perf_counter() - begin, 1),
        dict(trainer.last),
        f"{'--recipe' if plan.epsilon_background == 0 else '--method'} {method.name}",
    )
    record = {
        "umed": __version__,
        "method": repr(method),
        "origin": done.origin,
        "plan": json.loads(plan.to_json()),
        "pictures": done.pictures,
        "seconds": done.seconds,
        "loss": done.loss,
    }
    if is_first():
        with atomic(out / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(out / WORK)
    return done


def _same_run(work: Path, decisive: list[Any]) -> None:
    """Refuse to go on with checkpoints of another training."""
    mark = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
    path = work / "run"
    if path.is_file() and path.read_text(encoding="utf-8") != mark:
        raise InputError(
            f"{work}: expected checkpoints of this training, got those of other data, settings or weights. Give the "
            "same as before to go on, or --overwrite to start again."
        )
    if is_first():  # two processes would take the same temporary name
        with atomic(path) as temporary:
            temporary.write_text(mark, encoding="utf-8")
