# SPDX-License-Identifier: Apache-2.0
"""A generator of UnSeg that was never trained and is loud: what matters in tests is where its noise goes."""

from __future__ import annotations

from pathlib import Path

import torch

from umed.methods.unseg.generator_file import FILE, Origin, make_generator, save_generator
from umed.networks.noise_head import UnSegGenerator


def loud_generator(folder: Path) -> Path:
    """Write ``unseg.pt`` of a generator that was never trained, and is loud."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, _ = make_generator("tiny")
    make_loud(generator)
    save_generator(generator, "tiny", Origin("untrained"), folder / FILE)
    return folder


def make_loud(generator: UnSegGenerator) -> None:
    """Make noise near -1 or 1 nearly everywhere, so that no rounding hides it."""
    with torch.no_grad():
        for mlp in generator.head.mlp:
            mlp[-1].weight.mul_(50)  # type: ignore[index, union-attr]
