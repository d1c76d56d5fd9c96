# SPDX-License-Identifier: Apache-2.0
"""The default recipe of each victim, from ``umed/core/defaults/benchmark/victims.yaml``; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from umed.benchmark.grid.recipe import Recipe
from umed.core.config import from_mapping, merge
from umed.core.registry import check_name


@cache
def _defaults() -> dict[str, Any]:
    text = (resources.files("umed.core") / "defaults" / "benchmark" / "victims.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def default_recipe(net: str, spatial_dims: int, changes: Mapping[str, Any] | None = None) -> Recipe:
    """How a victim is trained if nothing else is said.

    Args:
        net: name in ``umed.core.registry.VICTIMS``, or ``"custom"`` with a ``target`` in the changes.
        spatial_dims: 2 or 3.
        changes: fields of :class:`umed.benchmark.grid.recipe.Recipe` to set otherwise.

    Returns:
        The recipe.

    Raises:
        ConfigError: when the name or a field is unknown, or a value of a wrong kind.

    >>> default_recipe("unet", 3, {"steps": 5}).steps
    5
    """
    if net != "custom":
        check_name("victim", net)
    merged: dict[str, Any] = {}
    for layer in (_defaults()["all"], _defaults().get(net, {})):
        merged = merge(merged, {key: value for key, value in layer.items() if key not in ("2d", "3d")})
        merged = merge(merged, layer.get(f"{spatial_dims}d", {}))
    return from_mapping(Recipe, {**merge(merged, changes or {}), "net": net})
