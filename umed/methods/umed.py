# SPDX-License-Identifier: Apache-2.0
"""UMed: contour- and texture-aware perturbations, trained bilevel against surrogates.

Reference: Lin et al., "Safeguarding Medical Image Segmentation Datasets against Unauthorized Training via Contour- and
Texture-Aware Perturbations", https://arxiv.org/abs/2403.14250. The perturbation itself is
:class:`umed.networks.perturber.UMedPerturber`, the loop :class:`umed.training.bilevel.BilevelTrainer`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from umed.core.device import pick_device
from umed.core.errors import ConfigError, InputError
from umed.core.registry import resolve
from umed.core.types import Progress, Regions
from umed.methods.base import Method
from umed.methods.windows import PICTURE_WINDOW, tiles
from umed.networks.perturber import UMedPerturber, stack_inputs
from umed.plan.planning import Plan
from umed.training.bilevel import BatchLoader, BilevelTrainer
from umed.training.patches import Patches, Sample
from umed.training.transformations import compose

FILE = "umed.pt"
KEPT = ("carriers", "widths", "theta", "amplitude_floor", "gain", "outside", "smoothing")


class UMed(Method):
    """Contour and texture generators that modulate structured carriers inside the ROI and its dilated contour.

    Args:
        carriers: see :func:`umed.networks.carriers.parse_carrier`; class ``k`` starts with carrier ``k - 1``, cyclic.
        widths: width of each level of both generators.
        theta: share of the central difference in the contour generator, in [0, 1].
        amplitude_floor: amplitude in perfectly flat regions, in (0, 1].
        gain: slope of the tanh that bounds the perturbation.
        outside: amplitude that the band outside the ROI starts with, in [0, 1); with 0 the band is left alone for good.
        smoothing: share of the budget that takes fine texture out of the ROI, in [0, 1).
        window: largest edge in voxels of what the generators see of a volume at once, at least 16; sets the memory.
    """

    name: ClassVar[str] = "umed"
    requires_training: ClassVar[bool] = True
    file: ClassVar[str] = FILE
    kept: ClassVar[tuple[str, ...]] = KEPT
    """Options that a file of trained generators brings along."""

    def __init__(
        self,
        *,
        carriers: Sequence[str] = ("2",),
        widths: Sequence[int] = (8, 16, 32),
        theta: float = 0.7,
        amplitude_floor: float = 0.9,
        gain: float = 2.5,
        outside: float = 0.5,
        smoothing: float = 0.0,
        window: int = 48,
    ) -> None:
        if window < 16:
            raise ConfigError(f"method_options.window: expected at least 16 voxels, got {window}.")
        self.carriers, self.widths, self.theta = tuple(carriers), tuple(widths), theta
        self.amplitude_floor, self.gain, self.outside, self.window = amplitude_floor, gain, outside, window
        self.smoothing = smoothing
        self._perturber: UMedPerturber | None = None
        self._slice_axis: int | None = None
        self._epsilon: float | None = None
        self._device = torch.device("cpu")

    @property
    def perturber(self) -> UMedPerturber:
        """The generators.

        Raises:
            InputError: before :meth:`fit` or :meth:`load`.
        """
        if self._perturber is None:
            raise InputError(
                f"{self.name}: expected trained generators, got none. Call fit(), or load() the folder of a run."
            )
        return self._perturber

    def _make(self, spatial_dims: int, channels: int, classes: int, epsilon: float) -> UMedPerturber:
        try:
            return UMedPerturber(
                spatial_dims,
                channels,
                classes,
                carriers=self.carriers,
                widths=self.widths,
                theta=self.theta,
                amplitude_floor=self.amplitude_floor,
                gain=self.gain,
                outside=self.outside,
                smoothing=self.smoothing,
                epsilon=epsilon,
            )
        except ValueError as error:
            raise ConfigError(f"method_options: {error}") from error

    def check(self, plan: Plan) -> None:
        """Build the generators once, which refuses what cannot be built; smoothing keeps to this plan's epsilon."""
        self._epsilon = plan.epsilon
        with torch.random.fork_rng(devices=[]):
            self._make(plan.spatial_dims, plan.channels, plan.classes, plan.epsilon)

    def trainer(self) -> Callable[..., BilevelTrainer]:
        """What makes the trainer."""
        return BilevelTrainer

    def make_trainer(
        self, samples: Sequence[Sample], plan: Plan, *, handlers: Sequence[Any] = (), epoch_length: int | None = None
    ) -> BilevelTrainer:
        """Make the bilevel trainer of a plan, ready to run; used by :meth:`fit` and by the bundle's ``train.yaml``.

        Args:
            samples: training cases.
            plan: the resolved plan.
            handlers: ignite handlers.
            epoch_length: iterations in an epoch, ``plan.training.checkpoint_every`` by default.

        Returns:
            The trainer; its generator is :attr:`perturber`.
        """
        training = plan.training
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        self._device, self._slice_axis = pick_device(plan.device), plan.slice_axis
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self._perturber = self._make(plan.spatial_dims, plan.channels, plan.classes, plan.epsilon).to(self._device)
        patches = Patches(
            samples,
            patch_size=training.patch_size or (64,) * plan.spatial_dims,
            batch_size=training.batch_size,
            iterations=training.iterations,
            seed=plan.seed,
            slice_axis=plan.slice_axis,
            rank=rank,
        )
        epoch_length = min(epoch_length or training.checkpoint_every, training.iterations)
        shape = {"spatial_dims": plan.spatial_dims, "in_channels": plan.channels, "classes": plan.classes}
        return self.trainer()(
            device=self._device,
            max_epochs=-(-training.iterations // epoch_length),
            loader=BatchLoader(patches, epoch_length),
            generator=self._perturber,
            optimizer=torch.optim.Adam(self._perturber.parameters(), training.learning_rate),
            make_surrogates=[
                partial(resolve("surrogate", name), **shape, **training.surrogate_options)
                for name in training.surrogates
            ],
            surrogate_learning_rate=training.surrogate_learning_rate,
            epsilon=plan.epsilon,
            transformation=compose(training.transformations),
            generator_steps=training.generator_steps,
            surrogate_steps=training.surrogate_steps,
            restart_every=training.restart_every,
            seed=plan.seed,
            amp=training.amp,
            handlers=handlers,
        )

    def fit(self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None) -> None:
        """Train the generators; goes on from the newest checkpoint in ``workdir``.

        Args:
            samples: lazy sequence of :class:`umed.training.patches.Sample`.
            plan: the resolved plan.
            workdir: folder for checkpoints and TensorBoard events.
            progress: called with a text, the iterations done and the iterations in all.
        """
        if plan.training.iterations == 0:
            self._device, self._slice_axis = pick_device(plan.device), plan.slice_axis
            self._perturber = (
                self._make(plan.spatial_dims, plan.channels, plan.classes, plan.epsilon).to(self._device).eval()
            )
            return
        from umed.training.handlers import training_handlers  # ignite's handlers take a second to import

        workdir.mkdir(parents=True, exist_ok=True)
        trainer = self.make_trainer(samples, plan)
        training_handlers(trainer, workdir, plan.training.iterations, progress)
        trainer.run()
        self.perturber.eval()

    def save(self, folder: Path) -> None:
        """Write ``umed.pt``: weights and what is needed to build the networks again."""
        perturber = self.perturber
        content = {
            "format": 1,
            "spatial_dims": perturber.spatial_dims,
            "channels": perturber.channels,
            "classes": perturber.classes,
            "slice_axis": self._slice_axis,
            "epsilon": perturber.epsilon,
            "options": {name: getattr(self, name) for name in self.kept},
            "weights": {key: value.cpu() for key, value in perturber.state_dict().items()},
        }
        torch.save(content, folder / self.file)

    def load(self, folder: Path) -> None:
        """Read ``umed.pt``; the options it was trained with replace those given.

        Raises:
            InputError: when the file is missing or is not one of ours.
        """
        path = folder / self.file
        if not path.is_file():
            raise InputError(
                f"{folder}: expected trained generators ({self.file}), got none. Train them with umed protect."
            )
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            for name, value in content["options"].items():
                setattr(self, name, value)
            epsilon = self._epsilon or content["epsilon"]
            perturber = self._make(content["spatial_dims"], content["channels"], content["classes"], epsilon)
            perturber.load_state_dict(content["weights"])
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            got = type(error).__name__
            raise InputError(f"{path}: expected generators saved by umed, got {got}. Train them again.") from error
        self._slice_axis = content["slice_axis"]
        self._perturber = perturber.to(self._device).eval()

    def to(self, device: str) -> UMed:
        """Move the generators to a device (``"auto"``, ``"cpu"``, ``"cuda:0"`` ...)."""
        self._device = pick_device(device)
        self.perturber.to(self._device)
        return self

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Run the generators over a crop; nothing is drawn from ``rng``.

        Args:
            image: unit image, shape ``(C, *box)``.
            regions: of the same box.
            rng: not used.

        Returns:
            Direction in [-1, 1] of the same shape; 0 outside the support.

        Raises:
            InputError: when the generators were trained for other channels, classes or axes.
        """
        self._check(image, regions)
        by_slice = self._slice_axis if self.perturber.spatial_dims == 2 and image.ndim == 4 else None
        window = self.window if image.ndim == 4 else PICTURE_WINDOW
        out = torch.zeros_like(image)
        for seen, kept in tiles(image.shape[1:], window, by_slice):
            if not regions.part(kept).support.any():
                continue
            around, target = (slice(None), *seen), (slice(None), *kept)
            stacked = stack_inputs(image[around], regions.part(seen))  # never for the whole volume
            inner = tuple(slice(k.start - s.start, k.stop - s.start) for k, s in zip(kept, seen, strict=True))
            drawn = self._run(stacked[None])[0] if by_slice is None else self._slices(stacked, by_slice)
            centre = (slice(None), *inner)
            out[target] = drawn[centre]
        return out

    def _slices(self, stacked: Tensor, axis: int) -> Tensor:
        """A 2-D perturber over all slices of a slab."""
        planes = stacked.movedim(axis + 1, 0)
        planes = torch.cat([planes[:, : planes.shape[1] - 3], _drop(planes[:, -3:], axis)], dim=1)
        return self._run(planes).movedim(0, axis + 1)

    def _run(self, stacked: Tensor) -> Tensor:
        direction: Tensor = self.perturber(stacked.to(self._device))
        return direction.cpu()

    def _check(self, image: Tensor, regions: Regions) -> None:
        perturber = self.perturber
        largest = int(regions.labels.max(initial=0))
        if image.shape[0] != perturber.channels or largest >= perturber.classes:
            raise InputError(
                f"{self.name}: expected {perturber.channels} channels and classes 0 to {perturber.classes - 1}, as the "
                f"generators were trained for, got {image.shape[0]} channels and class {largest}. "
                "Train generators on data of this kind."
            )
        dims = image.ndim - 1
        if dims != perturber.spatial_dims and not (dims == 3 and self._slice_axis is not None):
            raise InputError(
                f"{self.name}: expected {perturber.spatial_dims}D images for these generators, got {dims}D."
            )


def _drop(index: Tensor, axis: int) -> Tensor:
    """Grid indices of a volume without those along the slice axis."""
    return index[:, [a for a in range(3) if a != axis]]
