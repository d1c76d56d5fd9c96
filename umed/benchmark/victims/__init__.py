# SPDX-License-Identifier: Apache-2.0
"""Segmentation networks that play the thief: how they are built, checked, started from weights, and optimised."""

from umed.benchmark.grid.recipe import EXTERNAL
from umed.benchmark.victims.build import build_victim, check_victim, divisor, make_optimizer
from umed.benchmark.victims.pretrained import Loaded, freeze_encoder, load_pretrained, read_checkpoint

__all__ = [
    "EXTERNAL",
    "Loaded",
    "build_victim",
    "check_victim",
    "divisor",
    "freeze_encoder",
    "load_pretrained",
    "make_optimizer",
    "read_checkpoint",
]
