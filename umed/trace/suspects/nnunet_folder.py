# SPDX-License-Identifier: Apache-2.0
"""What nnU-Net v2 trained, as a suspect: its own preprocessing and sliding window, in its own environment.

Its test-time mirroring is off: each query is asked about turned round anyway, and a network that averages over all
mirrorings answers these alike.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from PIL import Image

from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.core.types import Progress, Volume
from umed.data import formats
from umed.execution.nnunet_environment import HOW_TO, nnunet_interpreter, nnunet_missing, nnunet_variables
from umed.trace.suspects.suspect import Shares

RUNNER = Path(__file__).with_name("nnunet_predict.py")
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
NIFTI = (".nii.gz", ".nii")
SAID = "umed answered "
"""How the runner begins the line about a case that is done."""
LINES = 2
UNLIKE = 1e-3
"""Share of voxels in which nnU-Net's mask and its probabilities may differ: rounding between two equal classes."""


@dataclass(frozen=True)
class NnUNetFolder:
    """A trained network; see :class:`umed.trace.suspects.suspect.Suspect`.

    Args:
        folder: with ``plans.json``, ``dataset.json`` and folders ``fold_*``.
        checkpoint: name of the file in each fold.
        folds: that have it; their answers are averaged, as nnU-Net does.
        ending: of the images that it reads.
        channels: that it takes.
        classes: background included.
        device: torch device.
        interpreter: of nnU-Net's environment.
    """

    folder: Path
    checkpoint: str
    folds: tuple[int | str, ...]
    ending: str
    channels: int
    classes: int
    device: str
    interpreter: str

    def answers(
        self, queries: Mapping[str, Sequence[Path]], progress: Progress | None = None
    ) -> Iterator[tuple[str, Shares]]:
        """Answer every query; see :class:`umed.trace.suspects.suspect.Suspect`."""
        with tempfile.TemporaryDirectory(prefix="umed-nnunet-") as folder:
            work = Path(folder)
            for name in ("images", "answers", "raw", "preprocessed", "results"):
                (work / name).mkdir()
            cases = {name: self._write(name, paths, work / "images") for name, paths in sorted(queries.items())}
            threads = torch.get_num_threads()
            job = {"model": str(self.folder.resolve()), "folds": self.folds, "checkpoint": self.checkpoint,
                   "device": self.device, "threads": threads, "cases": cases, "answers": str(work / "answers"),
                   "said": SAID}  # fmt: skip
            (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
            given = nnunet_variables({name: work / name for name in ("raw", "preprocessed", "results")}, threads)
            given["nnUNet_def_n_proc"] = str(threads)
            if progress is not None:
                progress("ask", 0, len(cases))
            for done, name in enumerate(self._run(work, given), 1):
                yield name, self._answer(work / "answers" / name, formats.read(queries[name][0]))
                if progress is not None:
                    progress("ask", done, len(cases))
                if done == len(cases):
                    return
            raise InputError(f"{self.folder}: expected an answer to each of {len(cases)} queries, got fewer.")

    def _run(self, work: Path, variables: dict[str, str]) -> Iterator[str]:
        """Start nnU-Net; gives the name of each case when it is done."""
        command = [self.interpreter, str(RUNNER), str(work / "job.json")]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables, text=True, errors="replace"
        )
        assert process.stdout is not None
        last: list[str] = []
        try:
            for line in process.stdout:
                if line.startswith(SAID):
                    yield line[len(SAID) :].strip()
                elif line.strip(" \n^~#"):
                    last = [*last[1 - LINES :], line.strip()]
            if process.wait() != 0:
                said = " | ".join(last)[:300]
                raise InputError(f"nnU-Net: expected it to end well, got exit code {process.returncode}: {said}")
        finally:
            process.kill()
            process.wait()

    def _write(self, name: str, paths: Sequence[Path], folder: Path) -> list[str]:
        """Write a query as nnU-Net's raw data: a file a channel; gives the files."""
        volumes = [formats.read(path) for path in paths]
        picture = len(volumes[0].spatial_shape) == 2 and not formats.is_volume(volumes[0])
        found = sum(len(volume.channels) for volume in volumes)
        if found != self.channels:
            raise InputError(
                f"{self.folder}: expected queries of {self.channels} channels, as it was trained on, got {found} in "
                f"{name}. Ask the network about the release that it may have seen."
            )
        own = all(formats.ending(path) == self.ending for path in paths)
        if own and (picture or len(paths) == found):
            targets = [folder / f"{name}_{k:04d}{self.ending}" for k in range(len(paths))]
            for path, target in zip(paths, targets, strict=True):
                shutil.copyfile(path, target)
        elif self.ending in NIFTI and not picture:
            parts = [_physical(volume, k) for volume in volumes for k in range(len(volume.channels))]
            targets = [folder / f"{name}_{k:04d}{self.ending}" for k in range(len(parts))]
            affine = np.diag([*volumes[0].spacing, *[1.0] * (4 - len(volumes[0].spacing))])
            for part, target in zip(parts, targets, strict=True):
                nibabel.save(nibabel.Nifti1Image(part, affine), target)
        elif self.ending == ".png" and picture and len(volumes) == 1 and volumes[0].stored.dtype == np.uint8:
            targets = [folder / f"{name}_0000.png"]
            pixels = np.moveaxis(volumes[0].channels, 0, -1)
            Image.fromarray(pixels[..., 0] if found == 1 else pixels).save(targets[0])
        else:
            raise InputError(
                f"{self.folder}: expected queries that can be written as {self.ending}, which it reads, got "
                f"{paths[0].name}. Convert the queries yourself, and keep its answers as files."
            )
        return [str(target) for target in targets]

    def _answer(self, place: Path, query: Volume) -> Shares:
        """Probabilities ``(K, *spatial)`` on the query's grid, compared with the mask that nnU-Net wrote itself."""
        npz, mask = place.with_name(f"{place.name}.npz"), place.with_name(f"{place.name}{self.ending}")
        with np.load(npz, allow_pickle=False) as arrays:
            found = np.asarray(arrays["probabilities"], np.float32)
        if formats.is_volume(formats.read(mask)):
            found = found.transpose(0, 3, 2, 1)  # nnU-Net's axes are z, y, x
        shape = query.spatial_shape
        if found[0].size == np.prod(shape):  # a picture has an axis of size 1 there
            found = found.reshape(len(found), *shape)
        drawn = formats.read(mask).channels[0]
        unlike = np.mean(found.argmax(0) != drawn) if found.shape[1:] == drawn.shape == shape else 1.0
        if len(found) != self.classes or unlike > UNLIKE:
            raise InputError(
                f"{self.folder}: expected probabilities that agree with nnU-Net's own mask of {query.source.name}, got "
                f"{100 * unlike:.0f} % of it otherwise. Run nnU-Net yourself, and keep its masks as the answers."
            )
        for path in place.parent.glob(f"{place.name}.*"):
            path.unlink()
        return np.ascontiguousarray(found).clip(0, 1)


def open_nnunet(folder: Path, device: torch.device, *, trust_code: bool = False) -> NnUNetFolder:
    """Find what nnU-Net trained.

    Args:
        folder: ``nnUNetTrainer__nnUNetPlans__2d`` or the like, or one above it that holds no other.
        device: where it runs.
        trust_code: whether its checkpoint may be loaded: a pickle, which can run any code.

    Raises:
        InputError: when it is none, or a kind that a trace cannot read.
        ConfigError: when nnU-Net is missing.
    """
    place = _trained(folder)
    if not trust_code:
        raise InputError(
            f"{place}: expected leave to load its checkpoint, a pickle that may run any code, got none. Give "
            "--trust-code only if you trust whoever made it."
        )
    dataset = _read(place / "dataset.json")
    labels = {name: value for name, value in dict(dataset.get("labels", {})).items() if name != "ignore"}
    if not all(isinstance(value, int) for value in labels.values()) or len(labels) < 2:
        raise InputError(
            f"{place / 'dataset.json'}: expected labels that exclude each other, got regions. Run nnU-Net yourself, "
            "and keep its masks as the answers."
        )
    found = {name: sorted(place.glob(f"fold_*/{name}")) for name in CHECKPOINTS}
    checkpoint = next((name for name in CHECKPOINTS if found[name]), None)
    if checkpoint is None:
        raise InputError(f"{place}: expected fold_0/{CHECKPOINTS[0]} or the like, got none. Check the path.")
    names = [path.parent.name.removeprefix("fold_") for path in found[checkpoint]]
    interpreter = nnunet_interpreter()
    if problem := nnunet_missing(interpreter):
        raise ConfigError(f"--nnunet: expected nnunetv2 in {interpreter}, got: {problem}. {HOW_TO}.")
    return NnUNetFolder(
        place,
        checkpoint,
        tuple(int(name) if name.isdigit() else name for name in names),
        str(dataset.get("file_ending", NIFTI[0])),
        len(dataset.get("channel_names", dataset.get("modality", {}))),
        len(labels),
        str(device),
        interpreter,
    )


def _trained(folder: Path) -> Path:
    """The folder that holds the plans of a training, at most three below the one that was given."""
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder that nnU-Net trained into, got none. Check the path.")
    levels = ["", "*/", "*/*/"]
    found = [path.parent for level in levels for path in sorted(folder.glob(f"{level}plans.json"))]
    found = [one for one in found if (one / "dataset.json").is_file() and any(one.glob("fold_*"))]
    if len(found) != 1:
        got = ", ".join(str(one.relative_to(folder)) for one in found) or "none"
        raise InputError(
            f"{folder}: expected one trained network (plans.json, dataset.json, fold_*), got {got}. Give its folder, "
            "such as Dataset001_X/nnUNetTrainer__nnUNetPlans__2d."
        )
    return found[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(parse_json(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: expected JSON of nnU-Net, got: {error}. Restore the file.") from error
    return found


def _physical(volume: Volume, channel: int) -> Any:
    """A channel in physical values, float32."""
    return volume.channels[channel].astype(np.float32) * volume.encoding.slope + volume.encoding.inter
