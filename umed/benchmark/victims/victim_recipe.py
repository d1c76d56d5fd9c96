# SPDX-License-Identifier: Apache-2.0
"""How a victim is built and trained, as plain values; no torch, so that a grid can be read and checked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import yaml

from umed.core.config import from_mapping, merge, require
from umed.core.registry import check_name
from umed.core.shipped import shipped_text

Resize = int | Literal["half", "quarter"] | None
"""Longest side in pixels, or a share of each image's own size."""
EXTERNAL = frozenset({"nnunet"})
"""Victims that bring their own training; see :mod:`umed.benchmark.victims.external`."""


@dataclass(frozen=True)
class Pretrained:
    """Where a victim's weights come from before it sees what was published. One of the two must be given.

    Args:
        data: name of another data set of the grid, on whose clean cases the same network is trained first.
        checkpoint: file with a state dict of the network, or one that holds it under ``state_dict`` or ``model``.
        steps: optimiser steps of the first training; the victim's own number if ``None``.
    """

    data: str | None = None
    checkpoint: str | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        given = (self.data is not None) + (self.checkpoint is not None)
        require(given == 1, "pretrained", "either data or checkpoint", f"{given} of them")


@dataclass(frozen=True)
class Recipe:
    """How a victim is built and trained.

    Args:
        net: name of the victim in the registry, or ``"custom"`` with a ``target``.
        target: dotted path of a class or function that takes ``spatial_dims``, ``in_channels``, ``out_channels`` and
            the options (``_target_`` in a grid).
        options: further keyword arguments of the network's builder.
        width: channels at the first level, for builders that take it.
        steps: optimiser steps, the same for clean and protected data.
        batch: images a step.
        learning_rate: at the start; decays as ``(1 - t)^0.9`` (nnU-Net's poly schedule, arXiv 1809.10486).
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (Nesterov momentum 0.99, as nnU-Net).
        weight_decay: of the optimizer.
        resize: size to which the thief brings every image before his network, after all countermeasures on images: its
            longest side in pixels, ``"half"``, ``"quarter"``, or ``None`` for the files' own. Scores are taken on the
            files' grid. Not the ``resize`` of a data set, which comes before the protection.
        patch: size of the random crops, at most the largest size in the training set, which is also what ``None``
            means. Smaller images are padded.
        flips: whether each axis is flipped with probability 1/2.
        augment: ``"nnunet"`` is nnU-Net's whole augmentation (:func:`umed.training.augment.nnunet_like`); where a
            countermeasure brings that itself, it is applied once, there.
        foreground: share of the crops of each batch that lie about a voxel of a foreground class; nnU-Net takes 0.33,
            which is one of 2 to 4. Without effect where crops are as large as the images.
        clip: largest norm of the gradient of all weights together, ``None`` for any (nnU-Net: 12).
        bfloat16: mixed precision on a CPU that multiplies bfloat16 in hardware (GPUs always use float16).
        checkpoints: how often the validation cases are scored, evenly spaced, the last step included.
        pretrained: where the weights come from, ``None`` for from scratch.
        freeze: ``"encoder"`` keeps the pretrained encoder as it is.
    """

    net: str = "unet"
    target: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    width: int = 8
    steps: int = 1000
    batch: int = 4
    learning_rate: float = 2e-3
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    resize: Resize = None
    patch: tuple[int, ...] | None = None
    flips: bool = True
    augment: Literal["none", "nnunet"] = "none"
    foreground: float = 0.0
    clip: float | None = None
    bfloat16: bool = False
    checkpoints: int = 5
    pretrained: Pretrained | None = None
    freeze: Literal["none", "encoder"] = "none"

    def __post_init__(self) -> None:
        for name in ("width", "steps", "batch", "checkpoints"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(self.learning_rate > 0, "learning_rate", "a positive number", self.learning_rate)
        require(0 <= self.foreground <= 1, "foreground", "a share from 0 to 1", self.foreground)
        least = not isinstance(self.resize, int) or self.resize >= 16
        require(least, "resize", "at least 16 px, half or quarter", self.resize)
        require(self.clip is None or self.clip > 0, "clip", "a positive number", self.clip)
        require(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
        require(self.freeze == "none" or self.pretrained is not None, "freeze", "pretrained weights", "none")
        require((self.target is not None) == (self.net == "custom"), "target", "_target_ or a name", self.net)


@cache
def _defaults() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(shipped_text("benchmark/victims.yaml"))
    return content


def default_recipe(net: str, spatial_dims: int, changes: Mapping[str, Any] | None = None) -> Recipe:
    """How a victim is trained if nothing else is said.

    Args:
        net: name in ``umed.core.registry.VICTIMS``, or ``"custom"`` with a ``target`` in the changes.
        spatial_dims: 2 or 3.
        changes: fields of :class:`Recipe` to set otherwise.

    Returns:
        The recipe.

    Raises:
        ConfigError: when the name or a field is unknown, or a value of a wrong kind.

    >>> default_recipe("unet", 3, {"steps": 5}).steps
    5
    """
    if net != "custom":
        check_name("victim", net)
    merged: dict[str, Any] = {}
    for layer in (_defaults()["all"], _defaults().get(net, {})):
        merged = merge(merged, {key: value for key, value in layer.items() if key not in ("2d", "3d")})
        merged = merge(merged, layer.get(f"{spatial_dims}d", {}))
    return from_mapping(Recipe, {**merge(merged, changes or {}), "net": net})
