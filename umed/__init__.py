# SPDX-License-Identifier: Apache-2.0
"""umed makes a medical image segmentation data set safe to publish.

The public names are imported when they are first used, so that ``import umed`` stays fast and free of torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from umed.core import errors
from umed.core.version import __version__

if TYPE_CHECKING:
    from umed.benchmark.forecast import forecast as forecast
    from umed.monai.transforms import Protect as Protect
    from umed.monai.transforms import Protectd as Protectd
    from umed.protect.card import card as card
    from umed.protect.preview import inspect as inspect
    from umed.protect.preview import plan as plan
    from umed.protect.run import protect as protect
    from umed.protect.verify import verify as verify
    from umed.unlock.restore import unlock as unlock

_PUBLIC = {
    "protect": "umed.protect.run",
    "verify": "umed.protect.verify",
    "check_release": "umed.protect.check_release",
    "card": "umed.protect.card",
    "unlock": "umed.unlock.restore",
    "plan": "umed.protect.preview",
    "forecast": "umed.benchmark.forecast",
    "inspect": "umed.protect.preview",
    "Protect": "umed.monai.transforms",
    "Protectd": "umed.monai.transforms",
}

_MODULES = {
    "bundle": "umed.monai.bundle",  # for `$import umed` and `$umed.bundle.check_overrides()` in a MONAI configuration
}

__all__ = [
    "Protect",
    "Protectd",
    "__version__",
    "card",
    "check_release",
    "forecast",
    "inspect",
    "plan",
    "protect",
    "unlock",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _PUBLIC:
        raise AttributeError(f"module 'umed' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


class _Package(ModuleType):
    """``umed.protect`` is the function even after the submodule of the same name was imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
sys.modules[f"{__name__}.errors"] = errors  # ``from umed.errors import UmedError`` is documented
