# SPDX-License-Identifier: Apache-2.0
"""Builds a victim from its recipe, and finds out before any training whether it can be built."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from umed.benchmark.victims.victim_recipe import EXTERNAL, Recipe
from umed.core.errors import ConfigError, did_you_mean
from umed.core.registry import resolve

DIVISORS = {"unetr": 16, "swin_unetr": 32, "flexible_unet": 32, "strided_unet": 8, "attention_unet": 8}
DEFAULT_DIVISOR = 16


def divisor(recipe: Recipe) -> int:
    """Sides of the crops of this victim are multiples of it."""
    return DIVISORS.get(recipe.net, DEFAULT_DIVISOR)


def build_victim(
    recipe: Recipe, *, spatial_dims: int, in_channels: int, classes: int, patch: Sequence[int]
) -> nn.Module:
    """Build a fresh victim; its weights come from torch's global generator, as everywhere in torch.

    Args:
        recipe: of the victim.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        classes: output channels, background included.
        patch: size of the crops.

    Returns:
        An untrained network ``(B, C, *spatial) -> (B, classes, *spatial)``; one with deep supervision gives
        ``(B, heads, classes, *spatial)`` while it trains.

    Raises:
        ConfigError: when the name or an option is unknown, or a package is missing.
    """
    shape: dict[str, Any] = {"spatial_dims": spatial_dims, "in_channels": in_channels}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # monai warns about its own deprecated arguments
            if recipe.target is not None:
                parser = ConfigParser(
                    {"net": {"_target_": recipe.target, **shape, "out_channels": classes, **recipe.options}}
                )
                network: nn.Module = parser.get_parsed_content("net")
            else:
                build = resolve("victim", recipe.net)
                if "patch" in inspect.signature(build).parameters:
                    shape["patch"] = tuple(patch)
                network = build(**shape, classes=classes, width=recipe.width, **recipe.options)
    except ImportError as error:  # monai's optional imports, or a target that is not there
        hint = "Check its path" if recipe.target else "Install it: pip install 'umed[benchmark]'"
        raise ConfigError(f"{recipe.target or recipe.net}: {_line(error)}. {hint}.") from error
    except (TypeError, ValueError, AssertionError, LookupError, RuntimeError) as error:
        raise ConfigError(_explain(recipe, spatial_dims, error)) from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{recipe.target}: expected a torch.nn.Module, got {type(network).__name__}.")
    return network


def _explain(recipe: Recipe, spatial_dims: int, error: Exception) -> str:
    """One line about a network that could not be built; a misspelt option gets its suggestion."""
    text = _line(error)
    unknown = (
        text.rpartition("unexpected keyword argument ")[2].split("'")[1::2] if "unexpected keyword" in text else []
    )
    hint = ""
    if unknown and recipe.target is None:
        known = inspect.signature(resolve("victim", recipe.net)).parameters
        hint = did_you_mean(unknown[0], known)
    options = f" with options {recipe.options}" if recipe.options else ""
    return f"{recipe.target or recipe.net}{options} cannot be built in {spatial_dims}D: {text}.{hint}"


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_victim(recipe: Recipe, *, spatial_dims: int, in_channels: int, classes: int, patch: Sequence[int]) -> None:
    """Build a victim once and send one empty crop through it, so that what cannot work is known before any training.

    Arguments as for :func:`build_victim`. ConfigError when it cannot be built, cannot take the crop, or gives something
    else than logits.
    """
    if recipe.net in EXTERNAL:
        from umed.benchmark.victims.external import check_external

        check_external(recipe, spatial_dims)
        return
    name, size = recipe.target or recipe.net, "x".join(map(str, patch))
    with torch.random.fork_rng(devices=[]):
        network = build_victim(recipe, spatial_dims=spatial_dims, in_channels=in_channels, classes=classes, patch=patch)
        try:
            with torch.no_grad():
                network.train()(torch.rand(recipe.batch, in_channels, *patch))  # batch norm wants more than one value
                output = network.eval()(torch.zeros(1, in_channels, *patch))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ConfigError(
                f"{name}: expected to take {spatial_dims}D crops of {size}, got: {_line(error)}. Set training.patch."
            ) from error
    wanted = (1, classes, *patch)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ConfigError(f"{name}: expected logits of shape {wanted} for crops of {size}, got {got}.")
    if recipe.freeze == "encoder":
        from umed.benchmark.victims.pretrained import freeze_encoder

        freeze_encoder(network, recipe.net)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Optimizer of a recipe for all weights that are not frozen; SGD has Nesterov momentum 0.99, as nnU-Net."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, momentum=0.99, nesterov=True, **common)
    return (torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam)(weights, **common)
