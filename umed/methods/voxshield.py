# SPDX-License-Identifier: Apache-2.0
"""VoxShield: a 3D generator that breaks the consistency of neighbouring slices and of the surrogate's answers.

Reference: VoxShield, https://arxiv.org/abs/2605.17345. Written from the paper's equations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from umed.core.errors import ConfigError
from umed.methods.generators import GeneratorMethod
from umed.methods.options import listed
from umed.networks.unet import GeneratorUNet
from umed.plan.planning import Plan
from umed.training.bilevel import BilevelTrainer, normalise
from umed.training.patches import Batch


def slice_consistency(noise: Tensor) -> Tensor:
    r"""Mean over z of ``||S_{z+1} - S_z||_2`` with ``S_z = |FFT2(d_z)|``, slices along the last axis.

    Args:
        noise: ``(B, C, H, W, D)``.

    Returns:
        A scalar; 0 for noise that is the same in every slice.
    """
    spectra = torch.fft.fft2(noise, dim=(2, 3)).abs()
    steps = spectra[..., 1:] - spectra[..., :-1]
    found: Tensor = (steps.square().sum((2, 3)) + 1e-12).sqrt().mean()
    return found


class VoxelGenerator(nn.Module):
    r"""``d = tanh(G(x))`` for volumes, from a 3D U-Net.

    Args:
        spatial_dims: 3.
        channels: image channels C.
        classes: number of classes with the background, only to refuse other data.
        widths: width of each level; the paper's network has 16, 32, 64, 128.
        epsilon: bound as a share of the unit range.

    Shape:
        input ``(B, C + 3, *spatial)`` float as :func:`umed.networks.perturber.stack_inputs` makes it, of
        which only the image is looked at; output ``(B, C, *spatial)`` in [-1, 1].

    Example:
        >>> VoxelGenerator(3, 1, 3)(torch.rand(1, 4, 8, 12, 8)).shape
        torch.Size([1, 1, 8, 12, 8])
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int] = (8, 16, 32),
        epsilon: float = 4 / 255,
    ) -> None:
        super().__init__()
        self.spatial_dims, self.channels, self.classes, self.epsilon = spatial_dims, channels, classes, epsilon
        self.network = GeneratorUNet(spatial_dims, channels, channels, widths)
        nn.init.normal_(self.network.head.weight, std=0.1)  # all zeros would have no spectrum to tell slices apart

    def forward(self, stacked: Tensor) -> Tensor:
        """Direction from a stacked input, before any support."""
        return self.propose(stacked[:, : self.channels])

    def propose(self, image: Tensor) -> Tensor:
        """Direction ``(B, C, *spatial)`` in [-1, 1] for an image of the same shape in [0, 1]."""
        return torch.tanh(self.network(image))


class VoxShieldTrainer(BilevelTrainer):
    """The bilevel loop with the two terms of VoxShield in the generator's loss.

    Args:
        consistency: weight of the inter-slice term.
        semantic: weight of the term on the surrogate's answers.
        args: of :class:`umed.training.bilevel.BilevelTrainer`.
        kwargs: likewise.
    """

    def __init__(self, *args: Any, consistency: float, semantic: float, **kwargs: Any) -> None:
        self.consistency, self.semantic = consistency, semantic
        super().__init__(*args, **kwargs)

    def propose(self, batch: Batch) -> Tensor:
        """The generator sees the image alone, so the support comes afterwards."""
        direction: Tensor = self.generator.propose(batch.image) * batch.support
        return direction

    def extra_loss(self, published: Tensor, batch: Batch) -> Tensor:
        r"""``- l_1 mean_z ||S_{z+1} - S_z||_2 - l_2 mean |F(x + d) - F(x)|``, averaged over the surrogates."""
        changes = []
        for surrogate in self.surrogates:
            after, before = (surrogate(normalise(image)).float() for image in (published, batch.image))
            changes.append((after - before.detach()).abs().mean())
        semantic = torch.stack(changes).mean()
        return -self.consistency * slice_consistency(published - batch.image) - self.semantic * semantic


@dataclass(kw_only=True, eq=False, repr=False)
class VoxShield(GeneratorMethod):
    r"""``d = epsilon tanh(G(x))`` inside the support, volumes only.

    .. math:: \min_G L(F_s(x + d), y) - \lambda_1 \,\mathrm{mean}_z \|S_{z+1} - S_z\|_2
              - \lambda_2 \|F_s(x + d) - F_s(x)\|_1

    with ``L`` Dice + cross-entropy, ``S_z`` the amplitude spectrum of slice ``z`` of the noise, and surrogates that are
    trained on the protected volumes in turn. The paper perturbs the ROI alone; here the support is the plan's. Its
    schedule (10 surrogate batches a round, Adam 1e-4 for the generator, 5e-4 for the surrogate, 100 epochs) is
    ``training.surrogate_steps``, ``learning_rate``, ``surrogate_learning_rate`` and ``iterations`` of the plan.

    Args:
        consistency: lambda_1, the paper's 0.2.
        semantic: lambda_2, the paper's 0.05.
        widths: width of each level of the generator.
        window: largest edge in voxels of what the generator sees of a volume at once, at least 16.

    Raises:
        ConfigError: when a weight is negative or the window too small.
    """

    name: ClassVar[str] = "voxshield"
    file: ClassVar[str] = "voxshield.pt"
    consistency: float = 0.2
    semantic: float = 0.05
    widths: Sequence[int] = listed([8, 16, 32])
    window: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.consistency, self.semantic) < 0:
            got = f"{self.consistency} and {self.semantic}"
            raise ConfigError(f"method_options: expected weights of 0 or more, got {got}.")

    def check(self, plan: Plan) -> None:
        """Refuse data that are no volumes.

        Raises:
            ConfigError: for a plan in 2D.
        """
        if plan.spatial_dims != 3:
            raise ConfigError(
                "method: voxshield compares neighbouring slices, expected spatial_dims 3, got 2. Choose another method."
            )
        super().check(plan)

    def trainer(self) -> Callable[..., BilevelTrainer]:
        """What makes the trainer."""
        return partial(VoxShieldTrainer, consistency=self.consistency, semantic=self.semantic)

    def build(self, spatial_dims: int, channels: int, classes: int, epsilon: float) -> VoxelGenerator:
        """An untrained 3D U-Net."""
        return VoxelGenerator(spatial_dims, channels, classes, widths=self.widths, epsilon=epsilon)
