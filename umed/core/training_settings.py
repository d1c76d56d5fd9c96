# SPDX-License-Identifier: Apache-2.0
"""How a learnt method is trained, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from umed.core.errors import require
from umed.core.registry import check_name

HOW_NOT_WHAT = ("cache_mb", "checkpoint_every")
"""Fields that do not change a byte of what is released."""
LATER: dict[str, Any] = {"surrogate_optimizer": "adam", "warmup": 0, "age": "all"}
"""Fields that came later, at the value that they had before: what was made then keeps its name."""


@dataclass(frozen=True)
class Training:
    """How a learnt method is trained. The numbers of the shipped recipes say which ones were tried.

    Args:
        iterations: outer iterations; 0 leaves the generators as they were made.
        batch_size: patches a step.
        patch_size: pixels along each axis, ``None`` to let the plan decide.
        surrogates: names from the registry; more than one makes an ensemble.
        surrogate_options: keyword arguments of every surrogate.
        generator_steps: generator steps an iteration.
        surrogate_steps: surrogate steps an iteration.
        restart_every: surrogate steps after which a surrogate starts afresh, 0 for never.
        learning_rate: of the generators' Adam.
        surrogate_learning_rate: of the surrogates' optimizer.
        surrogate_optimizer: ``"adam"``; ``"sgd"``, nnU-Net's: Nesterov momentum 0.99, weight decay 3e-5, gradient
            clipped at norm 12, a rate that falls to 0 over a surrogate's life; or ``"own"``: SGD at 1e-2 for
            ``nnunet_like``, Adam for all others. Used by the bilevel loop.
        warmup: steps that each fresh surrogate is trained on what the generators publish at that time, before they
            move again. Used by the bilevel loop.
        age: how surrogates count in the generators' loss of the bilevel loop: ``"all"`` alike, or ``"late"``, by the
            share of their life that is behind them, so that what holds at the end of a training counts most.
        transformations: names of the random transformations T that act on the sum x + d; ``nnunet`` is nnU-Net's whole
            augmentation, of images normalised before it, as nnU-Net does.
        checkpoint_every: iterations between checkpoints.
        cache_mb: memory for decoded training cases, in MiB.
        amp: mixed precision where the device has it.
        options: further keyword arguments of the method's trainer.
    """

    iterations: int = 200
    batch_size: int = 8
    patch_size: tuple[int, ...] | None = None
    surrogates: tuple[str, ...] = ("unet",)
    surrogate_options: dict[str, Any] = field(default_factory=dict)
    generator_steps: int = 1
    surrogate_steps: int = 1
    restart_every: int = 0
    learning_rate: float = 1e-3
    surrogate_learning_rate: float = 1e-3
    surrogate_optimizer: Literal["adam", "sgd", "own"] = "adam"
    warmup: int = 0
    age: Literal["all", "late"] = "all"
    transformations: tuple[str, ...] = ("flip",)
    checkpoint_every: int = 50
    cache_mb: int = 1024
    amp: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("batch_size", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"training.{name}", "at least 1", getattr(self, name))
        for name in ("iterations", "generator_steps", "surrogate_steps", "restart_every", "warmup", "cache_mb"):
            require(getattr(self, name) >= 0, f"training.{name}", "0 or more", getattr(self, name))
        for name in ("learning_rate", "surrogate_learning_rate"):
            require(getattr(self, name) > 0, f"training.{name}", "a positive number", getattr(self, name))
        for name in self.surrogates:
            check_name("surrogate", name)


def decisive(training: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a trained generator, from the fields of :class:`Training`."""
    rest = {key: value for key, value in training.items() if key not in HOW_NOT_WHAT}
    return {key: value for key, value in rest.items() if key not in LATER or value != LATER[key]}
