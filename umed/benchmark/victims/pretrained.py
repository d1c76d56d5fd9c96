# SPDX-License-Identifier: Apache-2.0
"""Victims that do not start from scratch: weights of another training, and encoders that stay as they are."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from umed.core.errors import ConfigError, InputError

ENCODERS: dict[str, tuple[str, ...]] = {
    "unet": ("conv_0", "down_"),
    "batchnorm_unet": ("conv_0", "down_"),
    "strided_unet": ("model.0", "model.1.submodule.0", "model.1.submodule.1.submodule.0"),
    "attention_unet": ("model.0", "model.1.submodule.0", "model.1.submodule.1.submodule.0"),
    "unet_plus_plus": (
        "network.conv_0_0",
        "network.conv_1_0",
        "network.conv_2_0",
        "network.conv_3_0",
        "network.conv_4_0",
    ),
    "dynunet": ("input_block", "downsamples", "bottleneck"),
    "nnunet_like": ("input_block", "downsamples", "bottleneck"),
    "plain_dynunet": ("input_block", "downsamples", "bottleneck"),
    "segresnet": ("convInit", "down_layers"),
    "unetr": ("vit",),
    "swin_unetr": ("swinViT",),
    "flexible_unet": ("encoder",),
}
"""First parts of the names of each network's encoder."""
NESTED = ("state_dict", "model", "network", "network_weights")
ENOUGH = 0.5
"""Share of the tensors that must fit; below it, the checkpoint is of another network."""


@dataclass(frozen=True)
class Loaded:
    """What became of a checkpoint.

    Args:
        loaded: how many tensors were taken.
        skipped: names of the network's tensors that have another shape in the checkpoint, or are not in it.
    """

    loaded: int
    skipped: tuple[str, ...]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the weights in a file; nothing but tensors is unpickled.

    The file is a state dict, or holds one under ``state_dict``, ``model`` or ``network``, else InputError. Gives
    tensors by name, without a leading ``module.``.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: expected a state dict of tensors, got {type(error).__name__}. Save one.") from error
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path}: expected a state dict of tensors, got {type(content).__name__}. Save one.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_pretrained(network: nn.Module, state: Mapping[str, Tensor]) -> Loaded:
    """Take all weights that fit by name and shape; a head or a first layer for other channels stays as it is.

    InputError when less than half of the network's tensors fit.
    """
    own = network.state_dict()
    fits = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    if len(fits) < ENOUGH * len(own):
        raise InputError(
            f"checkpoint: expected weights of this network, got {len(fits)} of its {len(own)} tensors. "
            "Give one of the same network and width."
        )
    network.load_state_dict(fits, strict=False)
    return Loaded(len(fits), tuple(sorted(own.keys() - fits.keys())))


def freeze_encoder(network: nn.Module, net: str) -> list[nn.Module]:
    """Keep the encoder as it is: no gradients, and running statistics that do not move.

    ``net`` is its name in the registry. Gives the modules that must stay in evaluation mode while the rest trains.
    ConfigError when it is not known which part of the network is the encoder.
    """
    prefixes = ENCODERS.get(net)
    if prefixes is None:
        known = ", ".join(sorted(ENCODERS))
        raise ConfigError(f"freeze: expected a network whose encoder is known ({known}), got {net!r}. Use 'none'.")
    frozen = []
    for name, module in network.named_modules():
        if name and any(
            name == prefix or name.startswith((f"{prefix}.", prefix if prefix.endswith("_") else f"{prefix}."))
            for prefix in prefixes
        ):
            frozen.append(module)
            for weight in module.parameters(recurse=False):
                weight.requires_grad_(False)
    if not frozen:
        raise ConfigError(f"freeze: expected parts {', '.join(prefixes)} in {net}, got none. Use 'none'.")
    return frozen
