# SPDX-License-Identifier: Apache-2.0
"""Countermeasures that code an image with fewer bits: JPEG, bit depth, grey-scale.

Sources: Liu et al., "Image Shortcut Squeezing" (arXiv 2301.13838: JPEG of quality 10 and grey-scale undo most
perturbations of CIFAR-10) and Qin et al., "APBench" (arXiv 2308.03258: bit depth).
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, whole
from umed.core.config import require

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the brightness (ITU-R BT.601), as in JPEG."""
SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
SLACK = 0.1
"""By how much of the full scale a picture that went through a filter may overshoot 0 to 255."""


class Jpeg(Countermeasure):
    """Send every image through JPEG, slice by slice along the last axis in 3D.

    Images that are no 8-bit pictures are windowed to their percentiles 0.5 and 99.5 first. One channel is coded as
    grey, three as colour, any other number channel by channel.

    Args:
        quality: of libjpeg, 1 to 100; usual sweep 10, 30, 50, 75, 90.
        subsampling: of the chroma: ``"4:2:0"`` keeps half of its resolution, as nearly all software does, ``"4:2:2"``
            half of it along rows, ``"4:4:4"`` all of it.
    """

    name = "jpeg"
    strength = "quality"
    later = {"subsampling": "4:2:0"}

    def __init__(self, *, quality: int = 75, subsampling: str = "4:2:0") -> None:
        self.quality = whole("jpeg.quality", quality, 1, 100)
        known = ", ".join(SUBSAMPLINGS)
        require(subsampling in SUBSAMPLINGS, "jpeg.subsampling", f"one of {known}, in quotes", subsampling)
        self.subsampling = subsampling

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Code and decode; see the class."""
        array = image.numpy()
        low, high = coding_range(image, full_scale)
        step = max(high - low, 1e-12) / 255.0
        codes = np.clip(np.rint((array - low) / step), 0, 255).astype(np.uint8)
        slices = codes[..., None] if codes.ndim == 3 else codes
        done = np.stack(
            [_jpeg(slices[..., k], self.quality, self.subsampling) for k in range(slices.shape[-1])], axis=-1
        )
        done = done[..., 0] if codes.ndim == 3 else done
        return torch.from_numpy(done.astype(np.float32) * np.float32(step) + np.float32(low))


class BitDepth(Countermeasure):
    """Round every value to one of ``2^bits`` levels, evenly spaced over the full scale (posterize).

    Images that are no 8-bit pictures start at their percentile 0.5; values outside are rounded, not clipped.

    Args:
        bits: 1 to 16; usual sweep 2, 3, 4, 6.
    """

    name = "bit_depth"
    strength = "bits"

    def __init__(self, *, bits: int = 4) -> None:
        self.bits = whole("bit_depth.bits", bits, 1, 16)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Round; see the class."""
        low = coding_range(image, full_scale)[0]
        step = max(full_scale, 1e-12) / float(2**self.bits - 1)
        return torch.round((image - low) / step) * step + low


class Grey(Countermeasure):
    """Put the brightness of red, green and blue into all three channels.

    Images of one channel have no colour, and other numbers of channels are different contrasts rather than colours:
    they stay as they are.
    """

    name = "grey"

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Mix the channels; see the class."""
        if len(image) != 3:
            return image
        red, green, blue = (share * channel for share, channel in zip(LUMA, image, strict=True))
        return torch.stack([red + green + blue] * 3)


def coding_range(image: Tensor, full_scale: float) -> tuple[float, float]:
    """What becomes 0 and 255 when an image ``(C, *spatial)`` float32 is coded with 8 bits.

    0 and 255 for 8-bit pictures, filtered ones included, else the percentiles 0.5 and 99.5.
    """
    low, high = float(image.min()), float(image.max())
    picture = full_scale == 255.0 and low >= -SLACK * 255 and high <= (1 + SLACK) * 255
    if picture or (low >= 0 and high <= 255 and bool((image == image.round()).all())):
        return 0.0, 255.0
    first, last = np.percentile(image.numpy(), (0.5, 99.5))
    return float(first), float(last)


def _jpeg(planes: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    """Code ``(C, H, W)`` and decode it again."""
    groups: Sequence[NDArray[np.uint8]] = [np.moveaxis(planes, 0, -1)] if len(planes) == 3 else list(planes)
    decoded = []
    for group in groups:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(group)).save(file, format="JPEG", quality=quality, subsampling=subsampling)
        decoded.append(np.asarray(Image.open(file)))
    return np.moveaxis(decoded[0], -1, 0) if len(planes) == 3 else np.stack(decoded)
