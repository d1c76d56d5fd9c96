# SPDX-License-Identifier: Apache-2.0
"""Runs a suspect network on the queries of a challenge: TorchScript, ONNX, a MONAI bundle, or what nnU-Net trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError
from umed.core.types import Progress
from umed.data import files, formats
from umed.trace.answers import NPZ
from umed.trace.queries import NOTE
from umed.trace.suspects.nnunet_folder import open_nnunet
from umed.trace.suspects.plain_network import NORMALISE, open_onnx, open_torchscript
from umed.trace.suspects.suspect import Suspect

USUAL = "zscore"
"""How images are normalised for a network that says nothing about it."""


@dataclass(frozen=True)
class Asked:
    """What was asked.

    Args:
        answers: folder of the answers.
        count: number of them.
    """

    answers: Path
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"answers": str(self.answers), "count": self.count}

    def summary(self) -> str:
        """A line for people."""
        return f"{self.count} answers: {self.answers}"


def ask(
    queries: str | Path,
    answers: str | Path,
    *,
    model: str | Path | None = None,
    nnunet: str | Path | None = None,
    normalise: str | None = None,
    window: Sequence[int] | None = None,
    trust_code: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Asked:
    """Run a network on every query and keep its probabilities.

    Args:
        queries: folder that ``umed trace challenge`` wrote.
        answers: new folder for the answers.
        model: network in TorchScript or ONNX (``.onnx``) that takes ``(1, C, *spatial)`` float32 and gives logits
            ``(1, K, *spatial)``, or the folder of a MONAI bundle.
        nnunet: instead: folder of a network that nnU-Net v2 trained; it runs in nnU-Net's own environment, see
            :mod:`umed.execution.nnunet_environment`.
        normalise: what a TorchScript or ONNX network expects: ``"zscore"`` (``None``), each channel to mean 0 and
            deviation 1; ``"unit"``, the values of the file's type to [0, 1]; ``"none"``, physical values.
        window: size of its sliding window, ``None`` for the whole image at once.
        trust_code: let the suspect run code of its maker: a network in TorchScript, which is a program, a bundle with
            code of its own, or a checkpoint of nnU-Net, a pickle. ONNX needs none.
        device: torch device.
        progress: called with ``"ask"``, queries done and queries in all.

    Returns:
        What was written.

    Raises:
        InputError: when the folder holds no queries, or the model is none of these or not trusted; nothing is
            written then.
        ConfigError: when an option is out of range or does not fit the model, or a package is missing.
    """
    asked, out = Path(queries), Path(answers)
    if (model is None) == (nnunet is None):
        raise ConfigError(f"--model: expected --model or --nnunet, got {'neither' if model is None else 'both'}.")
    if normalise is not None and normalise not in NORMALISE:
        raise ConfigError(f"--normalise: expected one of {', '.join(NORMALISE)}, got {normalise!r}.")
    if window is not None and min(window) < 1:
        raise ConfigError(f"--window: expected whole numbers from 1, got {' '.join(map(str, window))}.")
    if not (asked / NOTE).is_file() or not (asked / "images").is_dir():
        raise InputError(f"{asked}: expected a folder of queries that umed trace challenge wrote, got none.")
    if out.exists():
        raise InputError(f"{out}: expected a new folder for the answers, got one that is there. Pick another.")
    groups = _groups(asked / "images")
    if nnunet is not None:
        _refuse_own(normalise, window, "nnU-Net brings its own preprocessing")
        suspect: Suspect = open_nnunet(Path(nnunet), pick_device(device), trust_code=trust_code)
    else:
        assert model is not None
        suspect = _open(Path(model), device, normalise, window, trust_code)
    with files.whole_folder(out) as place:
        for name, shares in suspect.answers(groups, progress):
            np.savez_compressed(place / f"{name}{NPZ}", probabilities=shares.astype(np.float32))
    return Asked(out, len(groups))


def _open(path: Path, device: str, normalise: str | None, window: Sequence[int] | None, trust_code: bool) -> Suspect:
    if path.is_dir():
        from umed.trace.suspects.bundle_network import open_bundle

        _refuse_own(normalise, window, "a bundle brings its own preprocessing")
        return open_bundle(path, pick_device(device), trust_code=trust_code)
    if path.suffix.lower() == ".onnx":
        return open_onnx(path, device, normalise or USUAL, window)
    return open_torchscript(path, pick_device(device), normalise or USUAL, window, trust_code=trust_code)


def _refuse_own(normalise: str | None, window: Sequence[int] | None, why: str) -> None:
    """An option that would be ignored is an error."""
    given = "--normalise" if normalise is not None else "--window" if window is not None else ""
    if given:
        raise ConfigError(f"{given}: expected none, since {why}. Leave it out.")


def _groups(folder: Path) -> dict[str, list[Path]]:
    """Files of each query; a query of several has one a channel, ``NAME_0000`` and so on."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if ending := formats.ending(path):
            found.setdefault(path.name[: -len(ending)].partition("_")[0], []).append(path)
    if not found:
        raise InputError(f"{folder}: expected images, got none. Make the queries again.")
    return found
