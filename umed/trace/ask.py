# SPDX-License-Identifier: Apache-2.0
"""Runs a suspect network in TorchScript on the queries of a challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError, error_line
from umed.core.progress import counted
from umed.core.types import Progress, Volume
from umed.data import files, formats
from umed.trace.answers import NPZ
from umed.trace.queries import NOTE

Normalise = Literal["zscore", "unit", "none"]
NORMALISE = ("zscore", "unit", "none")


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
    model: str | Path,
    normalise: str = "zscore",
    window: Sequence[int] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Asked:
    """Run a network on every query and keep its probabilities.

    Args:
        queries: folder that ``umed trace challenge`` wrote.
        answers: new folder for the answers.
        model: network in TorchScript that takes ``(1, C, *spatial)`` float32 and gives logits ``(1, K, *spatial)``.
            Only of a source that you trust: loading one may run code.
        normalise: what the network expects: ``"zscore"``, each channel to mean 0 and deviation 1; ``"unit"``, the
            values of the file's type to [0, 1]; ``"none"``, physical values.
        window: size of the sliding window, ``None`` for the whole image at once.
        device: torch device.
        progress: called with ``"ask"``, queries done and queries in all.

    Returns:
        What was written.

    Raises:
        InputError: when the folder holds no queries, or the file no such network; nothing is written then.
        ConfigError: when an option is out of range.
    """
    asked, out, path = Path(queries), Path(answers), Path(model)
    if normalise not in NORMALISE:
        raise ConfigError(f"--normalise: expected one of {', '.join(NORMALISE)}, got {normalise!r}.")
    if not (asked / NOTE).is_file() or not (asked / "images").is_dir():
        raise InputError(f"{asked}: expected a folder of queries that umed trace challenge wrote, got none.")
    if out.exists():
        raise InputError(f"{out}: expected a new folder for the answers, got one that is there. Pick another.")
    if not path.is_file():
        raise InputError(f"{path}: expected a network in TorchScript, got nothing there. Check the path.")
    where = pick_device(device)
    try:
        network = torch.jit.load(str(path), map_location=where).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: expected a network in TorchScript, got: {error_line(error)}. Export it with torch.jit.trace or "
            "torch.jit.script, or run it yourself and keep its answers as files."
        ) from error
    groups = _groups(asked / "images")
    with files.whole_folder(out) as place:
        for name, paths in counted(sorted(groups.items()), "ask", progress):
            image = torch.from_numpy(np.concatenate([_physical(one, normalise) for one in map(formats.read, paths)]))
            shares = _shares(network, image.to(where), normalise, window, path)
            np.savez_compressed(place / f"{name}{NPZ}", probabilities=shares.cpu().numpy().astype(np.float32))
    return Asked(out, len(groups))


def _groups(folder: Path) -> dict[str, list[Path]]:
    """Files of each query; a query of several has one a channel, ``NAME_0000`` and so on."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if ending := formats.ending(path):
            found.setdefault(path.name[: -len(ending)].partition("_")[0], []).append(path)
    if not found:
        raise InputError(f"{folder}: expected images, got none. Make the queries again.")
    return found


def _physical(volume: Volume, normalise: str) -> Any:
    """Channels of a file ``(C, *spatial)`` float32, in [0, 1] of its type where that is asked for."""
    values = volume.channels.astype(np.float32)
    if normalise == "unit" and volume.encoding.is_integer:
        low, high = volume.encoding.stored_limits
        return (values - low) / (high - low)
    return values * volume.encoding.slope + volume.encoding.inter


@torch.no_grad()
def _shares(network: Any, image: Tensor, normalise: str, window: Sequence[int] | None, path: Path) -> Tensor:
    """Probability of each class ``(K, *spatial)``."""
    if normalise == "zscore":
        axes = tuple(range(1, image.ndim))
        spread, mean = torch.std_mean(image, dim=axes, keepdim=True, correction=0)
        image = (image - mean) / spread.clamp(min=1e-8)

    def look(batch: Tensor) -> Tensor:
        given = network(batch)
        logits: Tensor = given[0] if isinstance(given, (list, tuple)) else given
        return logits.float()

    try:
        if window is None:
            logits = look(image[None])
        else:
            found = sliding_window_inference(image[None], tuple(window), 4, look, overlap=0.25, mode="gaussian")
            assert isinstance(found, Tensor)
            logits = found
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected a network for {tuple(image.shape)}, got: {error_line(error)}. Give --window, the size "
            "that it was trained on."
        ) from error
    if logits.shape[2:] != image.shape[1:]:
        raise InputError(
            f"{path}: expected an answer of {tuple(image.shape[1:])}, got {tuple(logits.shape[2:])}. Give --window."
        )
    if logits.shape[1] == 1:
        share = logits[0].sigmoid()
        return torch.cat([1 - share, share])
    return logits[0].softmax(0)
