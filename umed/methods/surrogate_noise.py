# SPDX-License-Identifier: Apache-2.0
"""What the gradient baselines share: surrogates that are trained first, and projected steps on each image afterwards.

Nothing about a case is stored: its noise is computed again from the surrogates, so a release holds no copy of it that
could be subtracted, and cases that were not trained on can be protected as well.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from umed.core.config import require
from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError, error_line
from umed.core.registry import resolve
from umed.core.types import Progress, Regions
from umed.data.files import out_of_reach, set_aside
from umed.methods.descent import Gradient, descend
from umed.methods.learnt import LearntMethod, shape_of_data
from umed.methods.windows import PICTURE_WINDOW, by_windows
from umed.networks.surrogates import DIVISOR
from umed.networks.tensor_files import save_tensors
from umed.plan.planning import Plan
from umed.training.alternating import mixed_seed
from umed.training.augment import Transformation, compose
from umed.training.bilevel import normalise, segmentation_loss
from umed.training.patches import Batch, Patches

STATE = "surrogate_training.pt"
VOLUME_WINDOW = 64


class SurrogateNoise(LearntMethod):
    """Noise from the gradients of trained surrogates; it starts at 0.

    Of the plan's training, ``restart_every``, ``generator_steps``, ``surrogate_steps`` and ``learning_rate`` are of the
    bilevel methods and play no part: a surrogate is trained through, one step a batch.

    Subclasses have the options ``steps``, projected steps on each image, ``step_size``, of one step as a share of
    epsilon, and ``surrogate_iterations``, training steps of the surrogates, the plan's ``training.iterations`` if
    ``None``.
    """

    trained: ClassVar[str] = "surrogates"
    file: ClassVar[str] = "surrogates.pt"
    steps: int
    step_size: float
    surrogate_iterations: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epsilon = 4 / 255

    def check(self, plan: Plan) -> None:
        """Build the surrogates once, which refuses what cannot be built; keep epsilon, of which steps are a share."""
        self._epsilon = plan.epsilon
        compose(plan.training.transformations)
        _make_networks(_shape(plan), 0)

    # What a paper says.

    def training_noise(self, network: nn.Module, batch: Batch, plan: Plan, draw: torch.Generator) -> Tensor:
        """Noise on a batch while the surrogate trains; none for methods whose surrogates see clean images."""
        return torch.zeros_like(batch.image)

    def disturb(self, network: nn.Module, image: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
        """What a surrogate's input becomes after T while it trains; the same unless a method disturbs it.

        Args:
            network: the surrogate.
            image: ``(B, C, *spatial)``, protected and transformed.
            labels: ``(B, 1, *spatial)`` int64, transformed as well.
            draw: source of randomness.
        """
        return image

    @abstractmethod
    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Gradient of what the noise makes small.

        Args:
            networks: the surrogates, in evaluation mode.
            labels: ``(B, 1, *spatial)`` int64.
            draw: source of randomness.
        """

    def make_noise(self, image: Tensor, labels: Tensor, support: Tensor, draw: torch.Generator) -> Tensor:
        """Noise on images that are released, against all surrogates.

        Args:
            image: ``(B, C, *spatial)`` in [0, 1].
            labels: ``(B, 1, *spatial)`` int64.
            support: ``(B, 1, *spatial)`` bool.
            draw: source of randomness.

        Returns:
            Noise of the image's shape, within epsilon.
        """
        gradient = self.gradient(self.networks, labels, draw)
        size = self.step_size * self._epsilon
        return descend(image, support, gradient, epsilon=self._epsilon, steps=self.steps, size=size)

    def snapshots(self, iterations: int) -> tuple[int, ...]:
        """Training steps after which a surrogate is kept; the last one alone unless a method needs more."""
        return (iterations,)

    # Training.

    def fit(self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None) -> None:
        """Train one surrogate of each kind; goes on from the newest state in ``workdir``.

        Raises:
            InputError: without a secret.
        """
        of = f"{self!r} {plan.fingerprint} {self.require_secret().key.digest()}"  # a state of anything else is no use
        plan = self.keyed(plan)
        training, iterations = plan.training, self.surrogate_iterations or plan.training.iterations
        self._device, self._epsilon, self._shape = pick_device(plan.device), plan.epsilon, _shape(plan)
        patches = Patches(samples, plan, max(1, iterations))
        networks = nn.ModuleList(self._fresh(plan.seed))
        adam = torch.optim.Adam(networks.parameters(), training.surrogate_learning_rate)
        path, step, kept = workdir / STATE, 0, list[dict[str, Tensor]]()
        if path.exists():
            fresh = copy.deepcopy((networks.state_dict(), adam.state_dict()))
            try:
                state = torch.load(path, map_location=self._device, weights_only=True)
                if state["of"] != of:
                    raise ValueError("that of another training")
                networks.load_state_dict(state["networks"])
                adam.load_state_dict(state["optimizer"])
                step, kept = int(state["step"]), list(state["kept"])
            except Exception as error:
                if out_of_reach(error):
                    raise  # it may be whole
                networks.load_state_dict(fresh[0])
                adam.load_state_dict(fresh[1])
                why = f"{type(error).__name__}: {error_line(error)[:120]}"
                set_aside(path, "the whole state of this training", why, "The training begins again.")
        while step < iterations:
            batch = patches[step].to(self._device)
            draw = torch.Generator().manual_seed(mixed_seed(plan.seed, step))
            for network in networks:
                noise = self.training_noise(network, batch, plan, draw)
                self._train_step(network, adam, batch, noise, draw)
            step += 1
            if step in self.snapshots(iterations):
                kept += [_weights(network) for network in networks]
            if step % training.checkpoint_every == 0:
                state = {"of": of, "step": step, "kept": kept}
                state |= {"networks": networks.state_dict(), "optimizer": adam.state_dict()}
                save_tensors(state, path)
            if progress is not None:
                progress("train", step, iterations)
        self._networks = self._rebuild(kept or [_weights(network) for network in networks])

    def _train_step(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, noise: Tensor, draw: torch.Generator
    ) -> None:
        """One training step of a surrogate on published images; T acts on the sum."""
        image, labels = self.move((batch.image + noise).detach(), batch.labels, draw)
        image = self.disturb(network, image, labels, draw)
        network.train()
        loss = segmentation_loss(network(normalise(image)).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    @property
    def move(self) -> Transformation:
        """T, as the surrogates were trained with it."""
        return compose(self._shape["transformations"])

    def _fresh(self, seed: int) -> list[nn.Module]:
        """One untrained surrogate of each kind, on the device."""
        return [network.to(self._device) for network in _make_networks(self._shape, seed)]

    def _rebuild(self, kept: Sequence[dict[str, Tensor]]) -> list[nn.Module]:
        """Networks from their weights, of the kinds in turn, ready to be looked at."""
        networks: list[nn.Module] = []
        while len(networks) < len(kept):
            for network in self._fresh(0):
                network.load_state_dict(kept[len(networks)])
                networks.append(network.eval().requires_grad_(False))
        return networks

    def save(self, folder: Path) -> None:
        """Write ``surrogates.pt``: weights and what is needed to build the networks again."""
        weights = [_weights(network) for network in self.networks]
        content = {"format": 1, "method": self.name, "shape": self._shape, "weights": weights}
        save_tensors(content, folder / self.file)

    def restore(self, content: Any, path: Path) -> None:
        """Build the surrogates again.

        Raises:
            InputError: when another method trained them.
        """
        method, shape, weights = content["method"], dict(content["shape"]), list(content["weights"])
        compose(shape["transformations"])
        if method != self.name:
            raise InputError(f"{path}: expected surrogates of {self.name}, got those of {method}. Train them again.")
        self._shape = shape
        self._networks = self._rebuild(weights)

    # Protecting.

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Descend on a crop, window by window or slice by slice.

        Raises:
            InputError: when the surrogates were trained for other channels, classes or axes.
        """
        axis = self.slices_of(image, regions)
        draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
        labels = torch.from_numpy(regions.labels.astype(np.int64))[None]
        support = torch.from_numpy(regions.support)[None]

        def look(seen: tuple[slice, ...]) -> Tensor:
            box = (slice(None), *seen)
            parts = [part[box] for part in (image, labels, support)]
            batch = [part[None] if axis is None else part.movedim(axis + 1, 0) for part in parts]
            noise = self._noise(batch[0], batch[1], batch[2], draw)
            return noise[0] if axis is None else noise.movedim(0, axis + 1)

        return by_windows(image, regions, VOLUME_WINDOW if image.ndim == 4 else PICTURE_WINDOW, axis, look)

    def _noise(self, image: Tensor, labels: Tensor, support: Tensor, draw: torch.Generator) -> Tensor:
        """Direction of a batch, padded so that the surrogates can take it."""
        sizes = [max(2 * DIVISOR, -(-size // DIVISOR) * DIVISOR) for size in image.shape[2:]]
        padding = [pad for have, want in zip(image.shape[:1:-1], sizes[::-1], strict=True) for pad in (0, want - have)]
        x = functional.pad(image, padding, mode="replicate").to(self._device)
        y, where = (functional.pad(part, padding).to(self._device) for part in (labels, support))
        noise = self.make_noise(x, y, where, draw)
        crop = (slice(None), slice(None), *(slice(0, size) for size in image.shape[2:]))
        return (noise[crop] / self._epsilon).clamp(-1, 1).cpu()


def _shape(plan: Plan) -> dict[str, Any]:
    """What is needed to build a plan's surrogates again, and T."""
    return {
        **shape_of_data(plan),
        "surrogates": list(plan.training.surrogates),
        "surrogate_options": dict(plan.training.surrogate_options),
        "transformations": list(plan.training.transformations),
    }


def _make_networks(shape: dict[str, Any], seed: int) -> list[nn.Module]:
    """One untrained surrogate of each kind; says which option it was that one does not take."""
    require(bool(shape["surrogates"]), "training.surrogates", "at least one name", shape["surrogates"])
    size = {key: shape[key] for key in ("spatial_dims", "in_channels", "classes")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return [resolve("surrogate", name)(**size, **shape["surrogate_options"]) for name in shape["surrogates"]]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"training.surrogate_options: {error_line(error)}.") from error


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
