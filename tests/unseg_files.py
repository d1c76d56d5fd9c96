# SPDX-License-Identifier: Apache-2.0
"""A generator of UnSeg that was never trained and is loud: what matters in tests is where its noise goes."""

from __future__ import annotations

from pathlib import Path

import torch

from umed.methods.unseg.generator_file import FILE, Origin, make_generator, save_generator


def loud_generator(folder: Path) -> Path:
    """Write ``unseg.pt``; its noise is near -1 or 1 nearly everywhere, so no rounding hides it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, _ = make_generator("tiny")
    with torch.no_grad():
        for mlp in generator.head.mlp:
            mlp[-1].weight.mul_(50)  # type: ignore[index, union-attr]
    save_generator(generator, "tiny", Origin("untrained"), folder / FILE)
    return folder
