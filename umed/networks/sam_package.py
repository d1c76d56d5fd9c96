# SPDX-License-Identifier: Apache-2.0
"""The package ``segment-anything``, imported whatever the installed torchvision does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from umed.core.errors import ConfigError

_STAND_INS = {
    "torchvision": (),
    "torchvision.ops": (),
    "torchvision.ops.boxes": ("batched_nms", "box_area"),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("resize", "to_pil_image"),
}


@cache
def modeling() -> Any:
    """The package's networks.

    Raises:
        ConfigError: when it is not installed.
    """
    with _without_torchvision():
        try:
            return importlib.import_module("segment_anything.modeling")
        except ImportError as error:
            raise ConfigError(
                f"unseg: needs the package segment-anything ({error}). Install it: pip install 'umed[sam]'."
            ) from error


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Stand-ins for what the package imports of torchvision and umed never calls, where torchvision does not work.

    torchvision often does not fit the installed torch and then fails with errors of many kinds while it is imported.
    """
    try:
        for name in _STAND_INS:
            importlib.import_module(name)
    except Exception:  # absent, or broken in whatever way
        broken = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
        before = {name: sys.modules.pop(name) for name in broken}
    else:
        yield
        return
    try:
        for name, functions in _STAND_INS.items():
            module = ModuleType(name)
            module.__path__ = []
            for function in functions:
                setattr(module, function, _unused)
            sys.modules[name] = module
        yield
    finally:
        for name in _STAND_INS:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _unused(*_: Any, **__: Any) -> Any:
    raise RuntimeError("torchvision is not there; umed uses nothing of segment-anything that needs it")
