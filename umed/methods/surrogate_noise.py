# SPDX-License-Identifier: Apache-2.0
"""What the gradient baselines share: surrogates that are trained first, and projected steps on each image afterwards.

Nothing about a case is stored: its noise is computed again from the surrogates, so a release holds no copy of it that
could be subtracted, and cases that were not trained on can be protected as well.
"""

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from umed.bilevel import normalise, segmentation_loss
from umed.errors import ConfigError, InputError
from umed.io.files import atomic
from umed.methods.base import Method
from umed.methods.windows import PICTURE_WINDOW, pick_device, tiles
from umed.networks.surrogates import DIVISOR
from umed.planning import Plan
from umed.registry import resolve
from umed.training import Batch, Patches
from umed.transformations import Transformation, compose
from umed.types import Progress, Regions

FILE = "surrogates.pt"
STATE = "training.pt"
VOLUME_WINDOW = 64
Gradient = Callable[[Tensor], Tensor]
"""Of an image ``(B, C, *spatial)``: the gradient of what is to become small, of the same shape."""


def descend(
    image: Tensor,
    support: Tensor,
    gradient: Gradient,
    *,
    epsilon: float,
    steps: int,
    size: float,
    start: Tensor | None = None,
) -> Tensor:
    """Projected gradient descent on an image with signed steps (Madry et al., arXiv 1706.06083).

    ``d <- clip(d - size * sign(g(x + d)), -epsilon, epsilon)``, inside the support, and so that ``x + d`` stays in
    [0, 1].

    Args:
        image: ``(B, C, *spatial)`` in [0, 1].
        support: ``(B, 1, *spatial)`` bool.
        gradient: of what is to become small.
        epsilon: bound as a share of the unit range.
        steps: how many.
        size: of a step, in the same unit.
        start: where to start, 0 if ``None``.

    Returns:
        The noise ``d``, of the image's shape.
    """
    noise = torch.zeros_like(image) if start is None else start * support
    for _ in range(steps):
        noise = (noise - size * gradient(image + noise).sign()).clamp(-epsilon, epsilon) * support
        noise = (image + noise).clamp(0, 1) - image
    return noise


class SurrogateNoise(Method):
    """Noise from the gradients of trained surrogates.

    Args:
        steps: projected steps on each image.
        step_size: size of a step as a share of epsilon.
        surrogate_iterations: training steps of the surrogates, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: when a number is out of range.
    """

    requires_training: ClassVar[bool] = True

    def __init__(self, *, steps: int, step_size: float, surrogate_iterations: int | None = None) -> None:
        if steps < 1:
            raise ConfigError(f"method_options.steps: expected at least 1, got {steps}.")
        if not 0 < step_size <= 2:
            raise ConfigError(f"method_options.step_size: expected a share of epsilon in (0, 2], got {step_size}.")
        if surrogate_iterations is not None and surrogate_iterations < 1:
            raise ConfigError(f"method_options.surrogate_iterations: expected at least 1, got {surrogate_iterations}.")
        self.steps, self.step_size, self.surrogate_iterations = steps, step_size, surrogate_iterations
        self._networks: list[nn.Module] = []
        self._shape: dict[str, Any] = {}
        self._epsilon = 4 / 255
        self._device = torch.device("cpu")

    def check(self, plan: Plan) -> None:
        """Keep the plan's epsilon, which the steps are a share of."""
        self._epsilon = plan.epsilon

    # What a paper says.

    def training_noise(self, network: nn.Module, batch: Batch, plan: Plan, draw: torch.Generator) -> Tensor:
        """Noise on a batch while the surrogate trains; none for methods whose surrogates see clean images."""
        return torch.zeros_like(batch.image)

    @abstractmethod
    def gradient(self, networks: Sequence[nn.Module], labels: Tensor, draw: torch.Generator) -> Gradient:
        """Gradient of what the noise makes small.

        Args:
            networks: the surrogates, in evaluation mode.
            labels: ``(B, 1, *spatial)`` int64.
            draw: source of randomness.
        """

    def snapshots(self, iterations: int) -> tuple[int, ...]:
        """Training steps after which a surrogate is kept; the last one alone unless a method needs more."""
        return (iterations,)

    # Training.

    def fit(self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None) -> None:
        """Train one surrogate of each kind; goes on from the newest state in ``workdir``.

        Args:
            samples: lazy sequence of :class:`umed.training.Sample`.
            plan: the resolved plan.
            workdir: folder for the state of the training.
            progress: called with ``"train"``, the steps done and the steps in all.
        """
        training, iterations = plan.training, self.surrogate_iterations or plan.training.iterations
        self._device = pick_device(plan.device)
        self._shape = {
            "spatial_dims": plan.spatial_dims,
            "in_channels": plan.channels,
            "classes": plan.classes,
            "slice_axis": plan.slice_axis,
            "surrogates": list(training.surrogates),
            "surrogate_options": dict(training.surrogate_options),
        }
        patches = Patches(
            samples,
            patch_size=training.patch_size or (64,) * plan.spatial_dims,
            batch_size=training.batch_size,
            iterations=max(1, iterations),
            seed=plan.seed,
            slice_axis=plan.slice_axis,
        )
        state = _Training(self._fresh(plan.seed), training.surrogate_learning_rate)
        path = workdir / STATE
        if path.is_file():
            state.load(torch.load(path, map_location=self._device, weights_only=True))
        move = compose(training.transformations)
        keep = self.snapshots(iterations)
        while state.step < iterations:
            batch = patches[state.step].to(self._device)
            draw = torch.Generator().manual_seed(plan.seed * 1_000_003 + state.step)
            for network, optimizer in zip(state.networks, state.optimizers, strict=True):
                noise = self.training_noise(network, batch, plan, draw)
                _train_step(network, optimizer, batch, noise, move, draw)
            state.step += 1
            if state.step in keep:
                state.kept += [_weights(network) for network in state.networks]
            if state.step % training.checkpoint_every == 0:
                workdir.mkdir(parents=True, exist_ok=True)
                with atomic(path) as temporary:
                    torch.save(state.content(), temporary)
            if progress is not None:
                progress("train", state.step, iterations)
        self._networks = self._rebuild(state.kept or [_weights(network) for network in state.networks])

    def _fresh(self, seed: int) -> list[nn.Module]:
        """One untrained surrogate of each kind, on the device."""
        shape = {key: self._shape[key] for key in ("spatial_dims", "in_channels", "classes")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = [
                resolve("surrogate", name)(**shape, **self._shape["surrogate_options"])
                for name in self._shape["surrogates"]
            ]
        return [network.to(self._device) for network in made]

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
        torch.save({"format": 1, "shape": self._shape, "weights": [_weights(n) for n in self.networks]}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read ``surrogates.pt``.

        Raises:
            InputError: when the file is missing or is not one of ours.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: expected trained surrogates ({FILE}), got none. Train them with umed protect.")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            self._shape = dict(content["shape"])
            self._networks = self._rebuild(content["weights"])
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            got = type(error).__name__
            raise InputError(f"{path}: expected surrogates saved by umed, got {got}. Train them again.") from error

    def to(self, device: str) -> Method:
        """Move the surrogates to a device (``"auto"``, ``"cpu"``, ``"cuda:0"`` ...)."""
        self._device = pick_device(device)
        self._networks = [network.to(self._device) for network in self._networks]
        return self

    @property
    def networks(self) -> list[nn.Module]:
        """The trained surrogates.

        Raises:
            InputError: before :meth:`fit` or :meth:`load`.
        """
        if not self._networks:
            raise InputError(f"{self.name}: expected trained surrogates, got none. Call fit(), or load() a folder.")
        return self._networks

    # Protecting.

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Descend on a crop, window by window or slice by slice.

        Args:
            image: unit image, shape ``(C, *box)``.
            regions: of the same box.
            rng: seeds what the method draws.

        Returns:
            Direction in [-1, 1] of the same shape; 0 outside the support.

        Raises:
            InputError: when the surrogates were trained for other channels, classes or axes.
        """
        self._check(image, regions)
        by_slice = self._shape["slice_axis"] if self._shape["spatial_dims"] == 2 and image.ndim == 4 else None
        window = VOLUME_WINDOW if image.ndim == 4 else PICTURE_WINDOW
        draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
        labels = torch.from_numpy(regions.labels.astype(np.int64))[None]
        support = torch.from_numpy(regions.support)[None]
        out = torch.zeros_like(image)
        for seen, kept in tiles(image.shape[1:], window, by_slice):
            if not regions.part(kept).support.any():
                continue
            around, target = (slice(None), *seen), (slice(None), *kept)
            x, y, where = (part[around] for part in (image, labels, support))
            if by_slice is None:
                noise = self._noise(x[None], y[None], where[None], draw)[0]
            else:
                x, y, where = (part.movedim(by_slice + 1, 0) for part in (x, y, where))
                noise = self._noise(x, y, where, draw).movedim(0, by_slice + 1)
            inner = tuple(slice(k.start - s.start, k.stop - s.start) for k, s in zip(kept, seen, strict=True))
            centre = (slice(None), *inner)
            out[target] = noise[centre]
        return out

    def _noise(self, image: Tensor, labels: Tensor, support: Tensor, draw: torch.Generator) -> Tensor:
        """Direction of a batch, padded so that the surrogates can take it."""
        sizes = [max(2 * DIVISOR, -(-size // DIVISOR) * DIVISOR) for size in image.shape[2:]]
        padding = [pad for have, want in zip(image.shape[:1:-1], sizes[::-1], strict=True) for pad in (0, want - have)]
        x = functional.pad(image, padding, mode="replicate").to(self._device)
        y, where = (functional.pad(part, padding).to(self._device) for part in (labels, support))
        gradient = self.gradient(self.networks, y, draw)
        size = self.step_size * self._epsilon
        noise = descend(x, where, gradient, epsilon=self._epsilon, steps=self.steps, size=size)
        crop = (slice(None), slice(None), *(slice(0, size) for size in image.shape[2:]))
        return (noise[crop] / self._epsilon).clamp(-1, 1).cpu()

    def _check(self, image: Tensor, regions: Regions) -> None:
        channels, classes, dims = (self._shape[key] for key in ("in_channels", "classes", "spatial_dims"))
        largest = int(regions.labels.max(initial=0))
        if image.shape[0] != channels or largest >= classes:
            raise InputError(
                f"{self.name}: expected {channels} channels and classes 0 to {classes - 1}, as the surrogates were "
                f"trained for, got {image.shape[0]} channels and class {largest}. Train them on data of this kind."
            )
        if image.ndim - 1 != dims and not (image.ndim == 4 and self._shape["slice_axis"] is not None):
            raise InputError(f"{self.name}: expected {dims}D images for these surrogates, got {image.ndim - 1}D.")


def loss_gradient(networks: Sequence[nn.Module], labels: Tensor, sign: float = 1.0) -> Gradient:
    """Gradient of the mean training loss of several networks.

    Args:
        networks: in evaluation mode.
        labels: ``(B, 1, *spatial)`` int64.
        sign: 1 makes the loss small, -1 makes it large.

    Returns:
        A function of an image.
    """

    def gradient(image: Tensor) -> Tensor:
        with torch.enable_grad():  # also where a case is protected, which needs no gradients otherwise
            x = image.detach().requires_grad_()
            losses = [segmentation_loss(network(normalise(x)).float(), labels) for network in networks]
            (found,) = torch.autograd.grad(torch.stack(losses).mean(), x)
        return sign * found

    return gradient


class _Training:
    """Networks, their optimizers, what was kept of them, and how far they are."""

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float) -> None:
        self.networks = list(networks)
        self.optimizers = [torch.optim.Adam(network.parameters(), learning_rate) for network in networks]
        self.kept: list[dict[str, Tensor]] = []
        self.step = 0

    def content(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "networks": [network.state_dict() for network in self.networks],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "kept": self.kept,
        }

    def load(self, content: dict[str, Any]) -> None:
        """Go on from :meth:`content`."""
        self.step, self.kept = content["step"], list(content["kept"])
        for network, weights in zip(self.networks, content["networks"], strict=True):
            network.load_state_dict(weights)
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def _train_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    noise: Tensor,
    move: Transformation,
    draw: torch.Generator,
) -> None:
    """One training step of a surrogate on published images; T acts on the sum."""
    network.train()
    image, labels = move((batch.image + noise).detach(), batch.labels, draw)
    loss = segmentation_loss(network(normalise(image)).float(), labels)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
