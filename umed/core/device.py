# SPDX-License-Identifier: Apache-2.0
"""Where networks are trained and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umed.core.config import check_device
from umed.core.errors import ConfigError

if TYPE_CHECKING:
    import torch


def pick_device(name: str = "auto") -> torch.device:
    """The device of a setting, on the machine that asks.

    Args:
        name: ``"auto"`` takes a GPU where there is one; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...

    Returns:
        A torch device that is there.

    Raises:
        ConfigError: when the name is none, or this machine has no such device.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    import torch

    check_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = device.type == "cpu" or (device.index or 0) < torch.get_device_module(device.type).device_count()
    if not there:
        raise ConfigError(f"device: expected one that this machine has, got {name!r}. Use 'auto' or 'cpu'.")
    return device


def process_rank() -> int:
    """Number of this process in a distributed run, 0 in any other. All processes must ask: ignite meets them then."""
    import ignite.distributed

    return int(ignite.distributed.get_rank())


def is_first() -> bool:
    """Whether this process writes: the only one, or the first of a distributed run."""
    return process_rank() == 0
