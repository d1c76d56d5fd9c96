# SPDX-License-Identifier: Apache-2.0
"""AR: noise that an autoregressive process writes, another process for each class; nothing is trained.

Reference: Sandoval-Segura et al., "Autoregressive Perturbations for Data Poisoning", https://arxiv.org/abs/2206.03693.
For segmentation the two classes are inside and outside of the ROI, as the UMed paper
(https://arxiv.org/abs/2403.14250) has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from umed.core.types import Regions
from umed.methods.base import Method
from umed.methods.linear_separable import CLASSES
from umed.methods.options import choice

TRIAL = 96
"""Edge of the trial on which a process must not diverge."""
GROWTH = 4.0
Coefficients = tuple[tuple[float, ...], ...]


@dataclass(kw_only=True, eq=False, repr=False)
class Autoregressive(Method):
    r"""Every value is a weighted sum of the eight before it in a 3x3 window.

    .. math:: x_{i,j} = \sum_{(a, b) \neq (0, 0)} \beta_{a,b}\, x_{i-a,\, j-b}, \qquad a, b \in \{0, 1, 2\}

    The coefficients are drawn from a normal distribution, scaled to sum 1, and drawn again where the process dies out
    or diverges, for each class and channel; each case starts from its own Gaussian border, so no two cases share their
    noise, only its process. Volumes are written slice by slice along the last axis. The paper scales to an L2 norm of
    1; here the 99th percentile is scaled to the L-infinity bound, and the rest is clipped.

    Args:
        classes: ``"roi"`` for inside and outside, ``"label"`` for one process a label.
        seed: tells processes of one secret apart; decides nothing by itself.

    Raises:
        ConfigError: when ``classes`` is unknown.
    """

    name: ClassVar[str] = "autoregressive"
    classes: str = choice("roi", CLASSES)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._drawn: dict[tuple[int, int], Coefficients] = {}

    def process(self, label: int, channel: int) -> Coefficients:
        """The coefficients of a class and channel, the same for all cases of a release.

        Raises:
            InputError: without a secret.
        """
        if (label, channel) not in self._drawn:
            names = (str(number) for number in (self.seed, label, channel))
            self._drawn[label, channel] = coefficients(self.require_secret().draw("release", self.name, *names))
        return self._drawn[label, channel]

    def shared_code(self) -> str:
        """One process a class, for all cases."""
        return "autoregressive has one secret process a class for all cases, which may be estimated from all of them"

    def direction(self, image: Tensor, regions: Regions, rng: np.random.Generator) -> Tensor:
        """Let each class's process write the whole crop, and keep what lies in the class."""
        labels = regions.labels if self.classes == "label" else (regions.labels > 0).astype(np.int16)
        height, width = labels.shape[:2]
        slices = labels.shape[2] if labels.ndim == 3 else 1
        out = np.zeros(image.shape, np.float32)
        for label in range(int(labels.max(initial=0)) + 1):
            inside = labels == label
            for channel in range(image.shape[0]):
                written = write(self.process(label, channel), (height, width), slices, rng)
                noise = np.moveaxis(written, 0, -1) if labels.ndim == 3 else written[0]
                noise = np.clip(noise / max(float(np.percentile(np.abs(noise), 99)), 1e-12), -1, 1)
                out[channel] = np.where(inside, noise, out[channel])
        return torch.from_numpy(out)


def coefficients(rng: np.random.Generator) -> Coefficients:
    """Draw the coefficients of one class and channel.

    Args:
        rng: draws them.

    Returns:
        ``beta[a][b]``, 3 x 3, with ``beta[0][0] = 0`` and sum 1; the process neither dies out nor diverges.
    """
    while True:
        beta = rng.standard_normal((3, 3))
        beta[0, 0] = 0.0
        beta /= beta.sum()
        drawn = tuple(tuple(float(value) for value in row) for row in beta)
        trial = write(drawn, (TRIAL, TRIAL), 1, np.random.default_rng(0))[0]
        size = float(np.abs(trial[-16:, -16:]).mean())
        if np.isfinite(size) and 1 / GROWTH < size < GROWTH:
            return drawn


def write(beta: Coefficients, shape: tuple[int, int], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Run a process over several planes, row by row.

    Args:
        beta: coefficients ``beta[a][b]`` of what lies ``a`` rows up and ``b`` columns to the left.
        shape: rows and columns of a plane.
        count: how many planes, each from a border of its own.
        rng: draws the borders.

    Returns:
        ``(count, *shape)``, without the border of two rows and columns.
    """
    rows, columns = shape[0] + 2, shape[1] + 2
    plane = np.zeros((count, rows, columns))
    plane[:, :2] = rng.standard_normal((count, 2, columns))
    plane[:, :, :2] = rng.standard_normal((count, rows, 2))
    recursion = [1.0, -beta[0][1], -beta[0][2]]
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(2, rows):
            above = np.zeros((count, columns - 2))
            for a in (1, 2):
                for b in (0, 1, 2):
                    above += beta[a][b] * plane[:, i - a, 2 - b : columns - b]
            border = plane[:, i, :2]
            # What the two values of the border contribute to the first two of the row.
            start = np.stack([beta[0][1] * border[:, 1] + beta[0][2] * border[:, 0], beta[0][2] * border[:, 1]], axis=1)
            plane[:, i, 2:] = lfilter([1.0], recursion, above, axis=1, zi=start)[0]
    return plane[:, 2:, 2:]
