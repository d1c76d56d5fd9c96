# SPDX-License-Identifier: Apache-2.0
"""Attention of Segment Anything's encoder without ever holding a token-by-token matrix."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class FusedAttention(nn.Module):
    r"""The same numbers and the same state dict as the package's ``Attention``, by PyTorch's fused kernel.

    The package adds the decomposed relative position bias ``q . r_h[i] + q . r_w[j]`` of each query and key to a matrix
    of all pairs, which takes most of its time and memory. That bias is itself an inner product, of
    ``(q . r_h, q . r_w)`` with the one-hot row and column of the key, so it fits into longer queries and keys.

    Args:
        plain: the package's module, whose weights are taken over.
    """

    def __init__(self, plain: Any) -> None:
        super().__init__()
        self.num_heads, self.scale = plain.num_heads, plain.scale
        self.qkv, self.proj = plain.qkv, plain.proj
        self.rel_pos_h, self.rel_pos_w = plain.rel_pos_h, plain.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        """Attend; ``(B, H, W, C)`` to the same."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        grid = query.unflatten(2, (height, width))
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, _relative(self.rel_pos_h, height)).flatten(2, 3)
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, _relative(self.rel_pos_w, width)).flatten(2, 3)
        place = _places(height, width).to(key).expand(batch, self.num_heads, -1, -1)
        found = functional.scaled_dot_product_attention(
            torch.cat([query * self.scale, rows, columns], -1),
            torch.cat([key, place], -1),
            functional.pad(value, (0, height + width)),  # kernels want one width for all three
            scale=1.0,
        )[..., : value.shape[-1]]
        out: Tensor = self.proj(found.transpose(1, 2).reshape(x.shape))
        return out


def _relative(weights: Tensor, size: int) -> Tensor:
    """Relative position embedding of each query and key along one axis, ``(size, size, C)``."""
    at = torch.arange(size, device=weights.device)
    return weights[at[:, None] - at[None] + size - 1]


def _places(height: int, width: int) -> Tensor:
    """One-hot row and column of each token, ``(height * width, height + width)``."""
    rows = torch.eye(height)[:, None].expand(-1, width, -1)
    columns = torch.eye(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)
