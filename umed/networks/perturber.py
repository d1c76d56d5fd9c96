# SPDX-License-Identifier: Apache-2.0
"""UMed's two generators and the carriers they modulate, as one module from an image and its regions to a direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from umed.core.types import Regions
from umed.networks.carriers import check_carriers
from umed.networks.convolutions import blur, edge_map
from umed.networks.texture_maps import texture_amplitude, texture_maps
from umed.networks.unet import GeneratorUNet

SIGMA = 2.0
"""Pixels; texture finer than about four times this is what the smoothing removes."""


class UMedPerturber(nn.Module):
    r"""Contour- and texture-aware perturbation of UMed, with structured carriers.

    .. math:: d = (1 - s)\,[M_c \tanh(g\,z_c) + M_t\, a(x) \tanh(g\,z_t)]
              + s\, M\, [(G_\sigma x - x) / s\epsilon]_{-1}^{1}, \qquad z = \sum_k (C_{y,k} + w_k)\, c_k

    ``M_c`` is the contour band, ``M_t`` the interior, ``a(x)`` grows with texture, ``c_k`` are the case's carriers,
    ``C`` is a learnt table with one code for each class (row 0: the band outside the ROI), and the two generators give,
    for each pixel, a change ``w`` of the carriers' weights. There is no free residual: min-min turns it into a constant
    offset, which an early surrogate sees best and which does not protect. ``C`` starts with carrier ``k - 1`` at full
    amplitude for class ``k``, the band outside with the first carrier at a lower amplitude; training moves both.
    A share ``s`` of the budget may go into taking fine texture out of the ROI (``G`` is a Gaussian), so that the code
    stands alone there: less of it is needed (docs/experiments.md has what each choice gave).

    Reference: UMed, https://arxiv.org/abs/2403.14250. Ours are the carriers, the table, and the view of the label map.

    Args:
        spatial_dims: 2 or 3.
        channels: image channels C.
        classes: number of classes with the background.
        carriers: names of the K carriers, see :func:`umed.networks.carriers.draw_carriers`. The network only keeps
            them: the carriers themselves are part of its input, and no code of a release is in its weights.
        widths: width of each level of both generators.
        theta: share of the central difference in the contour generator.
        amplitude_floor: ``a(x)`` of a perfectly flat region, in (0, 1].
        gain: slope of the tanh; a weight of 1 gives ``tanh(gain)``.
        outside: amplitude that the band outside the ROI starts with, in [0, 1); with 0 the band is left alone for good.
        smoothing: share ``s`` of the budget that removes texture, in [0, 1).
        epsilon: bound as a share of the unit range, only needed for the smoothing.

    Shape:
        input ``(B, C + 3 + K C, *spatial)`` float, see :func:`stack_inputs`; output ``(B, C, *spatial)`` in [-1, 1].

    Example:
        >>> UMedPerturber(2, 1, 3)(torch.rand(1, 5, 20, 24)).shape
        torch.Size([1, 1, 20, 24])
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        classes: int,
        *,
        carriers: Sequence[str] = ("2",),
        widths: Sequence[int] = (8, 16, 32),
        theta: float = 0.7,
        amplitude_floor: float = 0.9,
        gain: float = 2.5,
        outside: float = 0.5,
        smoothing: float = 0.0,
        epsilon: float = 4 / 255,
    ) -> None:
        super().__init__()
        if not carriers:
            raise ValueError("UMedPerturber: expected at least one carrier, got none.")
        for name, value in (("outside", outside), ("smoothing", smoothing)):
            if not 0 <= value < 1:
                raise ValueError(f"UMedPerturber: expected {name} in [0, 1), got {value}.")
        check_carriers(carriers, spatial_dims)
        self.spatial_dims, self.channels, self.classes = spatial_dims, channels, classes
        self.carriers, self.widths, self.theta = tuple(carriers), tuple(widths), theta
        self.amplitude_floor, self.gain = amplitude_floor, gain
        self.outside, self.smoothing, self.epsilon = outside, smoothing, epsilon
        code = torch.zeros(classes, len(carriers))
        for k in range(1, classes):
            code[k, (k - 1) % len(carriers)] = 1.0
        code[0, 0] = math.atanh(outside) / gain
        self.codes = nn.Parameter(code)
        seen, given = channels + 1 + classes, len(carriers)
        self.contour = GeneratorUNet(spatial_dims, seen + 1, given, widths, theta)
        self.texture = GeneratorUNet(spatial_dims, seen + 3, given, widths)

    def forward(self, stacked: Tensor) -> Tensor:
        """Propose a direction from one tensor, as bundles, exports and sliding windows need it."""
        return self.several(stacked, 1)

    def several(self, stacked: Tensor, draws: int) -> Tensor:
        """Directions for several draws of the carriers, at little more than the cost of one: no generator sees them.

        Args:
            stacked: as :func:`stack_inputs` makes it, with the carriers of each draw after the other.
            draws: their number D.

        Returns:
            ``(B, D C, *spatial)`` in [-1, 1], one direction after the other.
        """
        parts = [self.channels, self.channels + 1, self.channels + 2, self.channels + 3]
        image, labels, contour, interior, bank = stacked.tensor_split(parts, dim=1)
        carriers = torch.unflatten(bank, 1, (draws, len(self.carriers), self.channels))
        return self.perturb(image, labels.round(), contour > 0.5, interior > 0.5, *carriers.unbind(1))

    def perturb(self, image: Tensor, labels: Tensor, contour: Tensor, interior: Tensor, *banks: Tensor) -> Tensor:
        """Propose a direction for each draw of the carriers.

        Args:
            image: ``(B, C, *spatial)`` float in [0, 1].
            labels: ``(B, 1, *spatial)``, whole numbers.
            contour: the contour band, ``(B, 1, *spatial)`` bool.
            interior: the rest of the ROI, same shape.
            banks: carriers of each of D draws, ``(B, K, C, *spatial)`` in [-1, 1].

        Returns:
            ``(B, D C, *spatial)`` in [-1, 1].
        """
        flat = labels[:, 0].long()
        classes = torch.movedim(F.one_hot(flat, self.classes), -1, 1).to(image.dtype)
        code = torch.movedim(self.codes[flat], -1, 1)
        if not self.outside:
            contour = contour & (labels > 0)
        maps = texture_maps(image)
        drawn_contour = self.contour(torch.cat([image, edge_map(image), contour.to(image.dtype), classes], dim=1))
        drawn_texture = self.texture(torch.cat([image, maps, interior.to(image.dtype), classes], dim=1))
        amplitude = texture_amplitude(maps, self.amplitude_floor)
        found = []
        for bank in banks:
            direction: Tensor = contour * self._modulate(drawn_contour, code, bank)
            direction = direction + interior * amplitude * self._modulate(drawn_texture, code, bank)
            if self.smoothing:
                share = self.smoothing
                texture = (blur(image, SIGMA) - image) / (share * self.epsilon)
                smooth = share * ((contour | interior) & (labels > 0)) * texture.clamp(-1, 1)
                direction = (1 - share) * direction + smooth
            found.append(direction)
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _modulate(self, drawn: Tensor, code: Tensor, bank: Tensor) -> Tensor:
        return torch.tanh(self.gain * ((code + drawn)[:, :, None] * bank).sum(1))


def stack_inputs(image: Tensor, regions: Regions, bank: Tensor) -> Tensor:
    """Stack what :class:`UMedPerturber` sees of one case.

    Args:
        image: unit image in the crop ``regions.box``, shape ``(C, *box)``.
        regions: of the same box.
        bank: carriers of the same box, ``(K, C, *box)``; K may be 0.

    Returns:
        Shape ``(C + 3 + K C, *box)`` float32: image, labels, contour band, interior, carriers.
    """
    parts = (regions.labels, regions.contour, regions.interior)
    maps = [torch.from_numpy(part.astype("float32"))[None] for part in parts]
    return torch.cat([image.float(), *maps, bank.flatten(0, 1)])
