# SPDX-License-Identifier: Apache-2.0
"""Files of defaults that come with the package: recipes, grids, de-identification profiles."""

from __future__ import annotations

import copy
import functools
from importlib import resources
from typing import Any

import yaml


def shipped_text(name: str) -> str:
    """Content of a file below ``umed/core/defaults``, such as ``"recipes/default.yaml"``."""
    return (resources.files("umed.core") / "defaults").joinpath(name).read_text(encoding="utf-8")


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


def parse_yaml(text: str) -> Any:
    """Content of YAML, parsed once for each text: the shipped files are long, and read in every run."""
    return copy.deepcopy(_parsed(text))


def shipped_names(folder: str) -> list[str]:
    """Names of the YAML files in a folder below ``umed/core/defaults``, without their ending, sorted."""
    names = (item.name for item in (resources.files("umed.core") / "defaults").joinpath(folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
