# SPDX-License-Identifier: Apache-2.0
"""Writes tensors to a file so that it is whole or not there, and says what the system refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from umed.data.files import atomic


def save_tensors(content: Any, path: Path) -> None:
    """Write what ``torch.load(path, weights_only=True)`` reads again; whole or not at all.

    Args:
        content: tensors and plain values, nested.
        path: file; its folder is made.

    Raises:
        OSError: when the disk is full or may not be written to, where torch itself says nothing of it.
    """
    with atomic(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # torch's writer stumbles over what the system refused
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
