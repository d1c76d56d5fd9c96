# SPDX-License-Identifier: Apache-2.0
"""What the gradient baselines share: surrogates that are trained first, and projected steps on each image afterwards.

Nothing about a case is stored: its noise is computed again from the surrogates, so a release holds no copy of it that
could be subtracted, and cases that were not trained on can be protected as well.
"""

from __future__ import annotations

import pickle
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
from umed.core.errors import ConfigError, InputError
from umed.core.registry import resolve
from umed.core.types import Progress, Regions
from umed.data.files import atomic
from umed.methods.base import Method
from umed.methods.descent import Gradient, descend
from umed.methods.options import check_share, check_whole
from umed.methods.windows import PICTURE_WINDOW, tiles
from umed.networks.surrogates import DIVISOR
from umed.plan.planning import Plan
from umed.training.bilevel import normalise, segmentation_loss
from umed.training.patches import Batch, Patches
from umed.training.transformations import Transformation, compose

FILE = "surrogates.pt"
STATE = "training.pt"
VOLUME_WINDOW = 64


class SurrogateNoise(Method):
    """Noise from the gradients of trained surrogates; it starts at 0.

    Of the plan's training, ``restart_every``, ``generator_steps``, ``surrogate_steps`` and ``learning_rate`` are of the
    bilevel methods and play no part: a surrogate is trained through, one step a batch.

    Args:
        steps: projected steps on each image.
        step_size: size of a step as a share of epsilon.
        surrogate_iterations: training steps of the surrogates, the plan's ``training.iterations`` if ``None``.

    Raises:
        ConfigError: when a number is out of range.
    """

    requires_training: ClassVar[bool] = True
    file: ClassVar[str] = FILE

    def __init__(self, *, steps: int, step_size: float, surrogate_iterations: int | None = None) -> None:
        check_whole(1, steps=steps)
        check_share(2, step_size=step_size)
        if surrogate_iterations is not None:
            check_whole(1, surrogate_iterations=surrogate_iterations)
        self.steps, self.step_size, self.surrogate_iterations = steps, step_size, surrogate_iterations
        self._networks: list[nn.Module] = []
        self._shape: dict[str, Any] = {}
        self._epsilon = 4 / 255
        self._device = torch.device("cpu")

    def check(self, plan: Plan) -> None:
        """Build the surrogates once, which refuses what cannot be built; keep epsilon, of which steps are a share."""
        self._epsilon = plan.epsilon
        compose(plan.training.transformations)
        _make_networks(_shape(plan), plan.seed)

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

        Args:
            samples: lazy sequence of :class:`umed.training.patches.Sample`.
            plan: the resolved plan.
            workdir: folder for the state of the training.
            progress: called with ``"train"``, the steps done and the steps in all.
        """
        training, iterations = plan.training, self.surrogate_iterations or plan.training.iterations
        self._device, self._epsilon, self._shape = pick_device(plan.device), plan.epsilon, _shape(plan)
        patches = Patches(
            samples,
            patch_size=training.patch_size or (64,) * plan.spatial_dims,
            batch_size=training.batch_size,
            iterations=max(1, iterations),
            seed=plan.seed,
            slice_axis=plan.slice_axis,
        )
        of = f"{self!r} {plan.fingerprint}"  # a state of other options or another plan is of no use
        state = _Training(self._fresh(plan.seed), training.surrogate_learning_rate, of)
        path = workdir / STATE
        if path.is_file():
            state.load(torch.load(path, map_location=self._device, weights_only=True))
        keep = self.snapshots(iterations)
        while state.step < iterations:
            batch = patches[state.step].to(self._device)
            draw = torch.Generator().manual_seed(plan.seed * 1_000_003 + state.step)
            for network, optimizer in zip(state.networks, state.optimizers, strict=True):
                noise = self.training_noise(network, batch, plan, draw)
                self._train_step(network, optimizer, batch, noise, draw)
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
        torch.save(content, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read ``surrogates.pt``.

        Raises:
            InputError: when the file is missing, is not one of ours, or holds what another method trained.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: expected trained surrogates ({FILE}), got none. Train them with umed protect.")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            method, shape, weights = content["method"], dict(content["shape"]), list(content["weights"])
            compose(shape["transformations"])
            if method == self.name:
                self._shape = shape
                self._networks = self._rebuild(weights)
        except (RuntimeError, LookupError, TypeError, ValueError, OSError, EOFError, pickle.UnpicklingError) as error:
            got = type(error).__name__
            raise InputError(f"{path}: expected surrogates saved by umed, got {got}. Train them again.") from error
        if method != self.name:
            raise InputError(f"{path}: expected surrogates of {self.name}, got those of {method}. Train them again.")

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
            x, y, where = image[around], labels[around], support[around]
            if by_slice is None:
                noise = self._noise(x[None], y[None], where[None], draw)[0]
            else:
                planes = [part.movedim(by_slice + 1, 0) for part in (x, y, where)]
                noise = self._noise(planes[0], planes[1], planes[2], draw).movedim(0, by_slice + 1)
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
        noise = self.make_noise(x, y, where, draw)
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


def _shape(plan: Plan) -> dict[str, Any]:
    """What is needed to build a plan's surrogates again, and T."""
    return {
        "spatial_dims": plan.spatial_dims,
        "in_channels": plan.channels,
        "classes": plan.classes,
        "slice_axis": plan.slice_axis,
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
            raise ConfigError(f"training.surrogate_options: {' '.join(str(error).split())}.") from error


class _Training:
    """Networks, their optimizers, what was kept of them, how far they are, and of what method and plan."""

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float, of: str) -> None:
        self.networks, self.of = list(networks), of
        self.optimizers = [torch.optim.Adam(network.parameters(), learning_rate) for network in networks]
        self.kept: list[dict[str, Tensor]] = []
        self.step = 0

    def content(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "of": self.of,
            "step": self.step,
            "networks": [network.state_dict() for network in self.networks],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "kept": self.kept,
        }

    def load(self, content: dict[str, Any]) -> None:
        """Go on from :meth:`content`, if it is of the same method and plan."""
        if content.get("of") != self.of:
            return
        self.step, self.kept = content["step"], list(content["kept"])
        for network, weights in zip(self.networks, content["networks"], strict=True):
            network.load_state_dict(weights)
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
