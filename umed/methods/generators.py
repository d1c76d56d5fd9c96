# SPDX-License-Identifier: Apache-2.0
"""What methods share whose generators are trained bilevel against surrogates, and then run over each image once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from umed.core.config import require
from umed.core.device import pick_device, process_rank
from umed.core.errors import ConfigError
from umed.core.types import Progress, Regions
from umed.methods.learnt import LearntMethod, shape_of_data
from umed.methods.windows import PICTURE_WINDOW, by_windows
from umed.networks.carriers import draw_carriers
from umed.networks.perturber import stack_inputs
from umed.networks.tensor_files import save_tensors
from umed.plan.planning import Plan
from umed.training.bilevel import BilevelTrainer
from umed.training.patches import Patches, Sample


class GeneratorMethod(LearntMethod):
    """Generators that see image, labels and bands of a window, and give a direction.

    Subclasses have the option ``window``, the largest edge in voxels of what the generators see of a volume at once.
    """

    trained: ClassVar[str] = "generators"
    window: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window >= 16, "method_options.window", "at least 16 voxels", self.window)
        self._epsilon: float | None = None

    @abstractmethod
    def build(self, spatial_dims: int, channels: int, classes: int, epsilon: float) -> nn.Module:
        """Untrained generators.

        Raises:
            ValueError: when an option is out of range.
        """

    def trainer(self) -> Callable[..., BilevelTrainer]:
        """What makes the trainer."""
        return BilevelTrainer

    @property
    def perturber(self) -> Any:
        """The generators.

        Raises:
            InputError: before :meth:`fit` or :meth:`load`.
        """
        return self.networks[0]

    def kept(self) -> tuple[str, ...]:
        """Options that a file of trained generators brings along."""
        return tuple(name for name in self.options() if name != "window")

    def _build(self, shape: dict[str, Any], epsilon: float) -> nn.Module:
        try:
            return self.build(shape["spatial_dims"], shape["in_channels"], shape["classes"], epsilon)
        except ValueError as error:
            raise ConfigError(f"method_options: {error}") from error

    def _make(self, plan: Plan) -> Any:
        return self.adopt(self._build(shape_of_data(plan), plan.epsilon), plan)

    def adopt(self, network: Any, plan: Plan) -> Any:
        """Take generators that were built elsewhere, and their options.

        Args:
            network: as :meth:`build` makes them.
            plan: its device and the kind of its data.

        Returns:
            The generators, on the plan's device.
        """
        for name in self.kept():
            setattr(self, name, getattr(network, name, getattr(self, name)))
        self._device, self._shape = pick_device(plan.device), shape_of_data(plan)
        self._networks = [network.to(self._device)]
        return self.perturber

    def check(self, plan: Plan) -> None:
        """Build the generators once, which refuses what cannot be built; smoothing keeps to this plan's epsilon."""
        self._epsilon = plan.epsilon
        with torch.random.fork_rng(devices=[]):
            self._build(shape_of_data(plan), plan.epsilon)

    def make_trainer(
        self,
        samples: Sequence[Sample],
        plan: Plan,
        *,
        network: nn.Module | None = None,
        epoch_length: int | None = None,
        **parts: Any,
    ) -> BilevelTrainer:
        """Make the bilevel trainer of a plan, ready to run; used by :meth:`fit` and by the bundle's ``train.yaml``.

        Everything that is drawn follows from the method's secret, not from the plan's seed.

        Args:
            samples: training cases.
            plan: the resolved plan.
            network: untrained generators; built if ``None``.
            epoch_length: iterations in an epoch, ``plan.training.checkpoint_every`` by default.
            parts: handlers, optimizer, transformation and loss of :class:`umed.training.bilevel.BilevelTrainer`.

        Returns:
            The trainer; its generator is :attr:`perturber`.

        Raises:
            InputError: without a secret.
        """
        plan = self.keyed(plan)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            generator = self._make(plan) if network is None else self.adopt(network, plan)
        iterations = plan.training.iterations
        return self.trainer()(
            plan,
            Patches(samples, plan, iterations, process_rank(), getattr(generator, "carriers", ())),
            generator,
            device=self._device,
            epoch_length=min(epoch_length or plan.training.checkpoint_every, iterations),
            **parts,
        )

    def fit(self, samples: Sequence[Any], plan: Plan, workdir: Path, progress: Progress | None = None) -> None:
        """Train the generators; goes on from the newest checkpoint in ``workdir``."""
        if plan.training.iterations == 0:
            self._make(plan)
        else:
            from umed.training.handlers import run_training  # ignite's handlers take a second to import

            run_training(self.make_trainer(samples, plan), workdir, progress)
        self.perturber.eval()

    def save(self, folder: Path) -> None:
        """Write the weights and what is needed to build the networks again."""
        perturber = self.perturber
        content = {
            "format": 1,
            "spatial_dims": perturber.spatial_dims,
            "channels": perturber.channels,
            "classes": perturber.classes,
            "slice_axis": self._shape["slice_axis"],
            "epsilon": perturber.epsilon,
            "options": {name: getattr(self, name) for name in self.kept()},
            "weights": {key: value.cpu() for key, value in perturber.state_dict().items()},
        }
        save_tensors(content, folder / self.file)

    def restore(self, content: Any, path: Path) -> None:
        """Build the generators again; the options that they were trained with replace those given."""
        for name, value in content["options"].items():
            setattr(self, name, value)
        shape = {key: content[key] for key in ("spatial_dims", "classes", "slice_axis")}
        self._shape = {**shape, "in_channels": content["channels"]}
        perturber = self._build(self._shape, self._epsilon or content["epsilon"])
        perturber.load_state_dict(content["weights"])
        self._networks = [perturber.to(self._device).eval()]

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Run the generators over a crop; the case's carriers are drawn from ``rng``, those of each slice by itself."""
        return self.directions(image, regions, [rng])[0]

    def directions(self, image: Tensor, regions: Regions, rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """The same for several draws; the generators, which do not see the carriers, run once.

        Raises:
            InputError: when the generators were trained for other channels, classes or axes.
        """
        axis = self.slices_of(image, regions)
        names, channels, box = getattr(self.perturber, "carriers", ()), len(image), regions.box
        if axis is None:
            drawn = [draw_carriers(names, channels, box, rng) for rng in rngs]

            def look(seen: tuple[slice, ...]) -> Tensor:
                part = regions.part(seen)
                window = (slice(None), *seen)
                stacked = stack_inputs(image[window], part, torch.cat([one.bank(part.box) for one in drawn]))
                return self._run(stacked[None], len(rngs))[0]  # never for the whole volume

        else:
            plane = tuple(side for a, side in enumerate(box) if a != axis)
            drawn_slices = [
                [draw_carriers(names, channels, plane, one) for one in rng.spawn(image.shape[axis + 1])] for rng in rngs
            ]

            def look(seen: tuple[slice, ...]) -> Tensor:
                part = regions.part(seen)
                flat = tuple(side for a, side in enumerate(part.box) if a != axis)
                banks = [
                    torch.stack([one.bank(flat) for one in slices[seen[axis]]], dim=axis + 2) for slices in drawn_slices
                ]
                window = (slice(None), *seen)
                stacked = stack_inputs(image[window], part, torch.cat(banks))
                return self._run(stacked.movedim(axis + 1, 0), len(rngs)).movedim(0, axis + 1)

        room = torch.cat([image] * len(rngs))  # only its shape counts
        whole = by_windows(room, regions, self.window if image.ndim == 4 else PICTURE_WINDOW, axis, look)
        return list(torch.split(whole, channels))

    def _run(self, stacked: Tensor, draws: int) -> Tensor:
        stacked = stacked.to(self._device)
        direction: Tensor = self.perturber(stacked) if draws == 1 else self.perturber.several(stacked, draws)
        return direction.cpu()
