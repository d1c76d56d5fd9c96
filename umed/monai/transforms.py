# SPDX-License-Identifier: Apache-2.0
"""MONAI transforms that protect images in memory, with the same method, regions and budget as :func:`umed.protect`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends
from numpy.typing import NDArray

from umed.core.config import CT_WINDOWS, Settings, from_mapping
from umed.core.errors import ConfigError, GeometryError
from umed.core.keyfile import Key, Secret
from umed.core.types import Encoding, Volume
from umed.methods.base import make_method
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions


class Protect(Transform):
    """Protect one image, given its label map. The output has the type, dtype, shape and meta data of the input.

    Integer images move by whole steps, float images by any amount, both within ``epsilon * (high - low)``. Use it after
    all resampling and before intensity scaling, or give ``range`` in the scaled values.

    Args:
        method: name from the registry. Defaults to ``"umed"``, which needs ``generators``.
        epsilon: L-infinity bound as a share of the range; ``"4/255"`` is accepted.
        range: ``"dtype"``, ``"percentile"``, ``"ct:NAME"`` or ``(low, high)`` in the image's values.
        radius: dilation of the contour band, in pixels, or in mm where ``spacing`` is given to the call.
        radius_unit: {``"px"``, ``"mm"``}.
        seed: part of the plan; decides nothing by itself.
        generators: folder of trained generators, ``OUT-private/generators`` of a run, for methods that learn.
        key: key file (``umed keygen``) from which all that is random of a case follows, with the release and the case
            id. Without one, a random key lives as long as this object: nobody can make the same again.
        release_id: of a run whose codes are wanted, ``"release"`` in its private ``release.json``; the plan's
            fingerprint if ``None``.
        settings: any further setting, such as ``method_options``.

    Raises:
        ConfigError: when a setting is wrong, or a method that learns gets no generators.
        InputError: when the key cannot be read.

    Example:
        >>> import numpy as np
        >>> image = np.full((1, 16, 16), 100, dtype=np.uint8)
        >>> label = np.zeros((1, 16, 16), dtype=np.uint8)
        >>> label[:, 4:9, 4:9] = 1
        >>> protected = Protect(method="checkerboard", epsilon="4/255", range="dtype", radius=2)(image, label)
        >>> sorted(set((protected.astype(int) - image).ravel().tolist()))
        [-4, 0, 4]
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(
        self,
        method: str = "umed",
        epsilon: float | str = 4 / 255,
        range: str | tuple[float, float] = "percentile",
        radius: float = 3.0,
        radius_unit: str = "px",
        seed: int = 0,
        generators: str | Path | None = None,
        key: str | Path | None = None,
        release_id: str | None = None,
        **settings: Any,
    ) -> None:
        given = dict(method=method, epsilon=epsilon, range=range, radius=radius, radius_unit=radius_unit, seed=seed)
        chosen = from_mapping(Settings, {**settings, **given})
        if chosen.range == "auto":
            raise ConfigError("range: expected dtype, percentile, ct:NAME or (low, high), got 'auto'. Say which.")
        values = {**vars(chosen), "spatial_dims": chosen.spatial_dims or 2}
        if isinstance(chosen.range, str) and chosen.range.startswith("ct:"):
            values["range"] = CT_WINDOWS[chosen.range[3:]]
        self.settings = chosen
        self.plan = Plan(**values)
        secret = Key.random() if key is None else Key.load(Path(key))
        self.method = make_method(self.plan, Secret(secret, release_id or self.plan.fingerprint))
        if self.method.requires_training:
            if generators is None:
                raise ConfigError(
                    f"generators: {method} learns; expected a folder such as OUT-private/generators, got none."
                )
            self.method.load(Path(generators))

    def __call__(self, image: Any, label: Any, case_id: str = "", spacing: tuple[float, ...] | None = None) -> Any:
        """Protect one image.

        Args:
            image: ``(C, H, W[, D])``, physical values; ndarray, tensor or MetaTensor.
            label: ``(H, W[, D])`` or ``(1, H, W[, D])``, classes, 0 is background.
            case_id: stable name; a hash of the image if empty, so that no two images get the same code. A run of
                files calls a case ``ID/SHA-256`` of its image file.
            spacing: pixel size in mm along each axis; taken from a MetaTensor when left out.

        Returns:
            The protected image, of the same type.

        Raises:
            GeometryError: when image and label differ in shape.
            BudgetError: when the bound is below one step.
        """
        array = _to_numpy(image)
        labels = _to_numpy(label)
        if labels.ndim == array.ndim and labels.shape[0] == 1:
            labels = labels[0]
        if array.ndim not in (3, 4) or labels.shape != array.shape[1:]:
            raise GeometryError(
                f"Protect: expected image (C, H, W[, D]) and label (H, W[, D]), got {array.shape} and {labels.shape}."
            )
        if spacing is None and isinstance(image, MetaTensor):
            spacing = tuple(float(value) for value in image.pixdim[: labels.ndim])
        dims = labels.ndim if self.settings.spatial_dims is None else self.settings.spatial_dims
        axis = self.settings.slice_axis
        axis = labels.ndim - 1 if dims < labels.ndim and axis is None else axis
        plan = dataclasses.replace(self.plan, spatial_dims=dims, slice_axis=axis, channels=array.shape[0])
        volume = Volume(
            stored=np.moveaxis(array, 0, -1),
            encoding=Encoding(dtype=array.dtype.str),
            spacing=spacing or (1.0,) * labels.ndim,
            unit="px" if spacing is None else "mm",
            channels_last=True,
            source=Path(case_id),
        )
        regions = plan_regions(np.maximum(np.rint(labels), 0).astype(np.int16), volume, plan)
        name = case_id or hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        (stored,) = self.method([volume], regions, plan=plan, case_id=name)
        return _like(np.ascontiguousarray(np.moveaxis(stored, -1, 0)), image)


def _to_numpy(data: Any) -> NDArray[Any]:
    return data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)


def _like(array: NDArray[Any], image: Any) -> Any:
    """Give an array the type, device and meta data of the image."""
    if not isinstance(image, torch.Tensor):
        return array
    tensor = torch.from_numpy(array).to(image.device)
    if isinstance(image, MetaTensor):
        return MetaTensor(tensor, meta=image.meta, applied_operations=image.applied_operations)
    return tensor


class Protectd(MapTransform):
    """Dictionary version of :class:`Protect`.

    Args:
        keys: images to protect.
        label_key: their label map.
        case_id_key: key of the case id; when left out, or missing from the data, a hash of each image. Of several
            images of a case each gets a code of its own.
        allow_missing_keys: whether missing images are passed over.
        kwargs: arguments of :class:`Protect`.

    Example:
        >>> import numpy as np
        >>> data = {"image": np.full((1, 16, 16), 100.0, dtype=np.float32), "label": np.eye(16, dtype=np.uint8)[None]}
        >>> Protectd("image", label_key="label", method="random", range=(0, 255))(data)["image"].dtype
        dtype('float32')
    """

    backend = Protect.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str = "label",
        case_id_key: str | None = None,
        allow_missing_keys: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.case_id_key = case_id_key
        self.protect = Protect(**kwargs)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Protect the images of one item."""
        result = dict(data)
        found = None if self.case_id_key is None else result.get(self.case_id_key)
        for number, key in enumerate(self.key_iterator(result)):
            name = "" if found in (None, "") else f"{found}/{key}" if number else str(found)
            result[key] = self.protect(result[key], result[self.label_key], case_id=name)
        return result


ProtectD = ProtectDict = Protectd
