# SPDX-License-Identifier: Apache-2.0
"""What a thief may do to published images before or while training, to get rid of a protection.

Images go through the same steps in training and in testing, as in a thief's own pipeline; only augmentation is for
training alone. All act on images as they were read, before the victim's normalisation; augmentation acts after it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image

from umed.augmentation import nnunet_like
from umed.benchmark.data import Samples, normalise

Augment = Callable[[torch.Tensor, torch.Tensor, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Countermeasure:
    """One thing to try.

    Args:
        image: applied to each image ``(C, *spatial)``, in training and in testing; ``None`` leaves it.
        label: applied to each training label ``(*spatial)`` when ``image`` changes the grid.
        scale: by how much ``image`` changes the grid, so that the victim's crops can follow.
        augment: applied to normalised training batches; see :class:`umed.benchmark.training.Recipe`.
    """

    image: Callable[[torch.Tensor], torch.Tensor] | None = None
    label: Callable[[torch.Tensor], torch.Tensor] | None = None
    scale: float = 1.0
    augment: Augment | None = None

    def prepare(self, samples: Samples) -> Samples:
        """Make cases ready for a victim: change the images, then normalise them.

        Args:
            samples: cases as they were read.

        Returns:
            New cases; ``truths`` are the labels on the original grid.
        """
        images = samples.images if self.image is None else tuple(map(self.image, samples.images))
        labels = samples.labels if self.label is None else tuple(map(self.label, samples.labels))
        return normalise(Samples(samples.ids, images, labels, samples.classes, samples.labels))


def halve_image(image: torch.Tensor) -> torch.Tensor:
    """Resample to half the resolution by averaging blocks of 2 x 2 (x 2), the antialiased resize of most pipelines.

    Args:
        image: ``(C, *spatial)``.

    Returns:
        ``(C, *ceil(spatial / 2))``; the last row of an odd side is repeated.
    """
    padding = [pad for size in reversed(image.shape[1:]) for pad in (0, size % 2)]
    even = functional.pad(image[None], padding, mode="replicate")
    pool = functional.avg_pool2d if image.ndim == 3 else functional.avg_pool3d
    return pool(even, 2)[0]


def halve_label(label: torch.Tensor) -> torch.Tensor:
    """Take every second voxel of a label.

    Args:
        label: ``(*spatial)``.

    Returns:
        ``(*ceil(spatial / 2))``.
    """
    return label[tuple(slice(None, None, 2) for _ in label.shape)]


def blur_image(image: torch.Tensor, sigma: float = 1.0) -> torch.Tensor:
    """Convolve with a Gaussian along every spatial axis, edges repeated.

    Args:
        image: ``(C, *spatial)``.
        sigma: standard deviation in pixels.

    Returns:
        The same shape.
    """
    radius = int(np.ceil(4 * sigma))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for dim in range(1, image.ndim):
        rows = image.movedim(dim, -1)
        flat = rows.reshape(-1, 1, rows.shape[-1])
        padded = functional.pad(flat, (radius, radius), mode="replicate")
        image = functional.conv1d(padded, kernel[None, None]).reshape(rows.shape).movedim(-1, dim)
    return image.contiguous()


def compress_image(image: torch.Tensor, quality: int = 75) -> torch.Tensor:
    """Send an image through JPEG, slice by slice along the last axis in 3D.

    Images that are not 8 bit already are windowed to their percentiles 0.5 and 99.5 first. One channel is coded as
    grey, three as colour (chroma at half resolution, libjpeg's default), any other number channel by channel.

    Args:
        image: ``(C, *spatial)``.
        quality: of libjpeg.

    Returns:
        The same shape, in the same units.
    """
    array = image.numpy()
    eight_bit = array.min() >= 0 and array.max() <= 255 and bool((array == np.rint(array)).all())
    low, high = (0.0, 255.0) if eight_bit else (float(v) for v in np.percentile(array, (0.5, 99.5)))
    scale = max(high - low, 1e-12) / 255.0
    codes = np.clip(np.rint((array - low) / scale), 0, 255).astype(np.uint8)
    slices = codes[..., None] if codes.ndim == 3 else codes
    done = np.stack([_jpeg(slices[..., k], quality) for k in range(slices.shape[-1])], axis=-1)
    done = done[..., 0] if codes.ndim == 3 else done
    return torch.from_numpy(done.astype(np.float32) * np.float32(scale) + np.float32(low))


def _jpeg(planes: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Code ``(C, H, W)`` and decode it again."""
    groups: Sequence[NDArray[np.uint8]] = [np.moveaxis(planes, 0, -1)] if len(planes) == 3 else list(planes)
    decoded = []
    for group in groups:
        file = io.BytesIO()
        Image.fromarray(group).save(file, format="JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return np.moveaxis(decoded[0], -1, 0) if len(planes) == 3 else np.stack(decoded)


none = Countermeasure()
"""Flips only."""
half = Countermeasure(image=halve_image, label=halve_label, scale=0.5)
"""The victim is trained and tested at half resolution; its answer is brought back to the full grid."""
augment = Countermeasure(augment=nnunet_like)
"""nnU-Net-like augmentation."""
blur = Countermeasure(image=blur_image)
"""Gaussian blur of 1 px."""
jpeg = Countermeasure(image=compress_image)
"""JPEG of quality 75."""
