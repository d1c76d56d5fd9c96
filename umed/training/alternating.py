# SPDX-License-Identifier: Apache-2.0
"""What loops share in which a generator and its surrogates learn in turn: batches, steps, checkpoints, processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import ignite.distributed
import torch
from monai.engines import Trainer
from torch import Tensor, distributed, nn


def mixed_seed(*parts: int) -> int:
    """A seed below 2**63 from whole numbers of any size, another one for each of their rows.

    >>> mixed_seed(0, 1) == mixed_seed(1, 0), mixed_seed(2**63, 1) < 2**63
    (False, True)
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1


class BatchLoader:
    """Feeds the trainer's epochs from a sequence with one batch an iteration, starting where a checkpoint left off.

    Args:
        batches: one an iteration, such as :class:`umed.training.patches.Batch`.
        epoch_length: iterations in an epoch.
    """

    def __init__(self, batches: Sequence[Any], epoch_length: int) -> None:
        self.batches, self.epoch_length, self.position = batches, epoch_length, 0

    def __len__(self) -> int:
        return self.epoch_length

    def __iter__(self) -> Iterator[Any]:
        while self.position < len(self.batches):
            self.position += 1
            yield self.batches[self.position - 1]


class AlternatingTrainer(Trainer):
    """A generator with its optimizer, mixed precision, and a state that goes on as if never interrupted.

    Subclasses write ``_iteration``, and name in :meth:`parts` what else has a state.

    Args:
        device: where the networks are.
        max_epochs: epochs to run.
        loader: batches; its position follows the engine's iteration.
        generator: what is trained for good.
        optimizer: the generator's.
        seed: of everything that is drawn.
        amp: mixed precision (only where the device is a GPU).
        handlers: ignite handlers, as for :class:`monai.engines.Trainer`.
        identity: what tells this training from others, such as the plan's fingerprint; kept in its checkpoints.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        max_epochs: int,
        loader: BatchLoader,
        generator: nn.Module,
        optimizer: torch.optim.Optimizer,
        seed: int = 0,
        amp: bool = False,
        handlers: Sequence[Any] = (),
        identity: str = "",
    ) -> None:
        self.generator: Any = generator
        self.optimizer, self.seed, self.loader = optimizer, seed, loader
        self.identity = identity
        self.mixed = amp and device.type == "cuda"
        self.grad_scaler = torch.amp.GradScaler(device.type, enabled=self.mixed)
        loader.position = 0
        super().__init__(
            device=device, max_epochs=max_epochs, data_loader=loader, epoch_length=len(loader), handlers=list(handlers)
        )

    def parts(self) -> dict[str, Any]:
        """What has a state of its own, by its name in a checkpoint."""
        return {"generator": self.generator, "optimizer": self.optimizer, "scaler": self.grad_scaler}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next iteration depends on."""
        own = {"iteration": self.state.iteration, "identity": self.identity}
        return {**own, **{name: one.state_dict() for name, one in self.parts().items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`, as if never interrupted.

        Raises:
            ValueError: when the state is that of another training.
        """
        if state.get("identity", self.identity) != self.identity:
            raise ValueError("the state of another training")
        if not 0 <= state["iteration"] <= len(self.loader.batches):
            raise ValueError("an iteration that is none of this training")
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.loader.position = self.state.iteration = state["iteration"]
        self.state.epoch = state["iteration"] // len(self.loader)

    def autocast(self) -> torch.autocast:
        """Mixed precision where it is wanted."""
        return torch.autocast(self.state.device.type, enabled=self.mixed)

    def draw(self, iteration: int) -> torch.Generator:
        """The randomness of one iteration, which depends on nothing but the seed and its number."""
        return torch.Generator().manual_seed(mixed_seed(self.seed, iteration))

    def step(self, loss: Tensor, optimizer: torch.optim.Optimizer, clip: float | None = None) -> None:
        """One step down a loss, the same in all processes, with a gradient of at most the norm ``clip``."""
        optimizer.zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        average_gradients(optimizer)
        if clip is not None:
            self.grad_scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], clip)
        self.grad_scaler.step(optimizer)
        self.grad_scaler.update()


def average_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Average gradients over the processes of a distributed run, so that all of them hold the same weights."""
    processes = ignite.distributed.get_world_size()
    if processes == 1:
        return
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= processes
