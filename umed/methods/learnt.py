# SPDX-License-Identifier: Apache-2.0
"""What methods with trained networks share: their file, their device, and images of the kind that they know."""

from __future__ import annotations

import pickle
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from umed.core.device import pick_device
from umed.core.errors import InputError
from umed.core.types import Regions
from umed.methods.base import Method
from umed.plan.planning import Plan

BROKEN = (RuntimeError, LookupError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError)
"""What reading a file that is none of ours may raise."""


class LearntMethod(Method):
    """A method that trains networks for data of one kind, and keeps them in one file."""

    requires_training: ClassVar[bool] = True
    trained: ClassVar[str]
    """What it trains, in words."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._networks: list[nn.Module] = []
        self._shape: dict[str, Any] = {}
        self._device = torch.device("cpu")

    @property
    def networks(self) -> list[nn.Module]:
        """The trained networks.

        Raises:
            InputError: before :meth:`fit` or :meth:`load`.
        """
        if not self._networks:
            raise InputError(
                f"{self.name}: expected trained {self.trained}, got none. Call fit(), or load() the folder of a run."
            )
        return self._networks

    @abstractmethod
    def restore(self, content: Any, path: Path) -> None:
        """Build the networks again.

        Args:
            content: of the file that :meth:`save` wrote, or of any other.
            path: of the file, for errors.
        """

    def load(self, folder: Path) -> None:
        """Read the networks.

        Raises:
            InputError: when the file is missing or is not one of ours.
        """
        path = folder / self.file
        if not path.is_file():
            raise InputError(
                f"{folder}: expected trained {self.trained} ({self.file}), got none. Train them with umed protect."
            )
        try:
            self.restore(torch.load(path, map_location="cpu", weights_only=True), path)
        except BROKEN as error:
            got = type(error).__name__
            raise InputError(f"{path}: expected {self.trained} saved by umed, got {got}. Train them again.") from error

    def to(self, device: str) -> Method:
        """Move the networks to a device (``"auto"``, ``"cpu"``, ``"cuda:0"`` ...)."""
        self._device = pick_device(device)
        for network in self._networks:
            network.to(self._device)
        return self

    def slices_of(self, image: Tensor, regions: Regions) -> int | None:
        """The axis along which the networks take an image slice by slice, ``None`` for all of it at once.

        Args:
            image: unit image, shape ``(C, *box)``.
            regions: of the same box.

        Raises:
            InputError: when the networks were trained for other channels, classes or axes.
        """
        channels, classes, dims = (self._shape[key] for key in ("in_channels", "classes", "spatial_dims"))
        largest, by_slice = int(regions.labels.max(initial=0)), self._shape["slice_axis"]
        if image.shape[0] != channels or largest >= classes:
            raise InputError(
                f"{self.name}: expected {channels} channels and classes 0 to {classes - 1}, as the {self.trained} were "
                f"trained for, got {image.shape[0]} channels and class {largest}. "
                f"Train {self.trained} on data of this kind."
            )
        volume = image.ndim == 4
        if image.ndim - 1 != dims and not (volume and by_slice is not None):
            raise InputError(f"{self.name}: expected {dims}D images for these {self.trained}, got {image.ndim - 1}D.")
        return by_slice if dims == 2 and volume else None


def shape_of_data(plan: Plan) -> dict[str, Any]:
    """The kind of data that networks are built for."""
    return {
        "spatial_dims": plan.spatial_dims,
        "in_channels": plan.channels,
        "classes": plan.classes,
        "slice_axis": plan.slice_axis,
    }
