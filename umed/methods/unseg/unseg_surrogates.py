# SPDX-License-Identifier: Apache-2.0
"""What UnSeg's generator is trained against: the paper's prompted SAM, or a network of the kind that thieves train."""

from __future__ import annotations

from torch import Tensor, nn

from umed.core.registry import SURROGATES, resolve
from umed.networks.sam import Prompts, make_sam

SAM = "sam"
NETWORKS = tuple(SURROGATES)


class Unprompted(nn.Module):
    """A segmentation network in the place of a prompted SAM: it finds all that is labelled by itself.

    Args:
        name: one of :data:`NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        options = {"deep_supervision": False} if name == "dynunet" else {}
        self.network: nn.Module = resolve("surrogate", name)(2, 3, 1, **options)

    def forward(self, image: Tensor, prompts: Prompts) -> Tensor:
        """Logits ``(B, size, size)`` of pictures ``(B, 3, size, size)``, a multiple of 16 px; prompts play no part."""
        found: Tensor = self.network(image)
        return found[:, 0]


def make_surrogate(name: str, encoder: str, *, checkpointing: bool) -> nn.Module:
    """Make an untrained surrogate.

    Args:
        name: ``"sam"`` or one of :data:`NETWORKS`.
        encoder: size of the SAM, a key of :data:`umed.networks.sam.SHAPES`.
        checkpointing: trade time for memory in the SAM's encoder.
    """
    return make_sam(encoder, checkpointing=checkpointing) if name == SAM else Unprompted(name)
