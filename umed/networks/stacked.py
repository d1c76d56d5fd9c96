# SPDX-License-Identifier: Apache-2.0
"""The generators behind one input tensor, as MONAI bundles, exports and model servers expect a network."""

from __future__ import annotations

import torch
from torch import Tensor

from umed.networks.perturber import UMedPerturber
from umed.types import Regions


class StackedPerturber(UMedPerturber):
    """:class:`umed.networks.perturber.UMedPerturber` with image, regions and position stacked as channels.

    Weights are interchangeable with the base class. All arguments are those of the base class.

    Shape:
        input ``(B, C + 3 + spatial_dims, *spatial)`` float: the image in [0, 1], labels, contour band (0, 1), interior
        (0, 1), and the index of each voxel along each axis of its file, which keeps carriers in phase between windows;
        output ``(B, C, *spatial)`` in [-1, 1]. A traced export takes every position as 0, so give it whole crops.

    Example:
        >>> StackedPerturber(2, 1, 3)(torch.rand(1, 6, 20, 24)).shape
        torch.Size([1, 1, 20, 24])
    """

    def forward(self, stacked: Tensor) -> Tensor:  # type: ignore[override]
        """Propose a direction; see the class for shapes."""
        image, labels, contour, interior = stacked.split([self.channels, 1, 1, 1, self.spatial_dims], dim=1)[:4]
        if torch.jit.is_tracing():  # would freeze the position of the example; 0 suits whole crops
            origins = [[0] * self.spatial_dims] * int(stacked.shape[0])
        else:
            corners = stacked[:, self.channels + 3 :].flatten(2)[:, :, 0].round()
            origins = [[int(value) for value in corner] for corner in corners]
        return super().forward(image, labels.round(), contour > 0.5, interior > 0.5, origins)


def stack_inputs(image: Tensor, regions: Regions) -> Tensor:
    """Stack what :class:`StackedPerturber` sees of one case.

    Args:
        image: unit image, shape ``(C, *box)``.
        regions: of the same box.

    Returns:
        Tensor ``(C + 3 + spatial_dims, *box)`` float32.
    """
    maps = [
        torch.from_numpy(part.astype("float32"))[None] for part in (regions.labels, regions.contour, regions.interior)
    ]
    index = torch.meshgrid(
        *(torch.arange(part.start, part.stop, dtype=torch.float32) for part in regions.box), indexing="ij"
    )
    return torch.cat([image.float(), *maps, torch.stack(index)])
