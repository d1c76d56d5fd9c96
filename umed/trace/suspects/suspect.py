# SPDX-License-Identifier: Apache-2.0
"""What every suspect network gives, and what answers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umed.core.types import Progress

Shares = NDArray[np.float32]
"""Probability of each class ``(K, *spatial)``, the background first, on the grid of the query."""
CLOSE = 1e-3
"""Classes whose values lie in [0, 1] and add up to 1 that well are probabilities already."""


class Suspect(Protocol):
    """A suspect network with its own preprocessing."""

    def answers(
        self, queries: Mapping[str, Sequence[Path]], progress: Progress | None = None
    ) -> Iterator[tuple[str, Shares]]:
        """Answer every query.

        Args:
            queries: files of each query by its name, one a channel where it has several.
            progress: called with ``"ask"``, queries done and queries in all.

        Yields:
            Name of a query, and its answer.

        Raises:
            InputError: when the network cannot take a query.
        """
        ...


def shares_of(logits: Tensor) -> Tensor:
    """Probability of each class.

    Args:
        logits: what a network gave ``(K, *spatial)``; one channel is the foreground. Probabilities stay as they are.

    Returns:
        ``(K, *spatial)`` float32 in [0, 1], at least two classes.

    >>> shares_of(torch.zeros(1, 2)).tolist(), shares_of(torch.tensor([[0.25], [0.75]])).tolist()
    ([[0.5, 0.5], [0.5, 0.5]], [[0.25], [0.75]])
    """
    logits = logits.float()
    if len(logits) == 1:
        share = logits.sigmoid()
        return torch.cat([1 - share, share])
    if logits.min() >= 0 and logits.max() <= 1 + CLOSE and (logits.sum(0) - 1).abs().max() <= CLOSE:
        return logits
    return logits.softmax(0)
