# SPDX-License-Identifier: Apache-2.0
"""Countermeasures that smooth every image: Gaussian blur, ideal low-pass, median, non-local means, total variation.

All strengths are in pixels or in shares of the full scale, so they mean the same for an 8-bit picture and for CT.
One core takes 5 to 150 ms (non-local means, median of 5) for a colour picture of 256 x 256.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, number, whole
from umed.core.config import require


class Blur(Countermeasure):
    """Convolve with a Gaussian along every spatial axis, edges repeated; cut at 4 sigma.

    Args:
        sigma: standard deviation in pixels; usual sweep 0.5, 1, 2.
    """

    name = "blur"
    strength = "sigma"

    def __init__(self, *, sigma: float = 1.0) -> None:
        self.sigma = number("blur.sigma", sigma, 0, 100, above=True)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Blur; see the class."""
        radius = math.ceil(4 * self.sigma)
        axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (axis / self.sigma) ** 2)
        kernel = kernel / kernel.sum()
        for dim in range(1, image.ndim):
            rows = image.movedim(dim, -1)
            flat = rows.reshape(-1, 1, rows.shape[-1])
            padded = functional.pad(flat, (radius, radius), mode="replicate")
            image = functional.conv1d(padded, kernel[None, None]).reshape(rows.shape).movedim(-1, dim)
        return image.contiguous()


class LowPass(Countermeasure):
    """Ideal low-pass: set every spatial frequency beyond a radius to 0 (FFT, so opposite edges touch).

    Source: "FUSE" (arXiv 2606.26719) shows that it undoes perturbations that live at high frequencies.

    Args:
        cutoff: radius as a share of the Nyquist frequency, in (0, 1.5]; usual sweep 0.25, 0.5, 0.75.
    """

    name = "low_pass"
    strength = "cutoff"

    def __init__(self, *, cutoff: float = 0.5) -> None:
        self.cutoff = number("low_pass.cutoff", cutoff, 0, 1.5, above=True)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Filter; see the class."""
        axes = tuple(range(1, image.ndim))
        grids = torch.meshgrid(*(2 * torch.fft.fftfreq(size) for size in image.shape[1:]), indexing="ij")
        keep = torch.stack(grids).square().sum(0) <= self.cutoff**2
        done: Tensor = torch.fft.ifftn(torch.fft.fftn(image, dim=axes) * keep, dim=axes).real
        return done.contiguous()


class Median(Countermeasure):
    """Median of the square (cube in 3D) around every pixel, channel by channel, edges mirrored.

    Args:
        size: side of the square in pixels, odd; usual sweep 3, 5.
    """

    name = "median"
    strength = "size"

    def __init__(self, *, size: int = 3) -> None:
        self.size = whole("median.size", size, 3, 15)
        require(size % 2 == 1, "median.size", "an odd number", size)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Filter; see the class."""
        return torch.from_numpy(np.stack([median_filter(channel, self.size) for channel in image.numpy()]))


class NonLocalMeans(Countermeasure):
    """Average every pixel with pixels whose surroundings look alike.

    Source: Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005, as in scikit-image (fast mode).
    Patches of 5 x 5 within 6 px in 2D, of 3 x 3 x 3 within 2 voxels in 3D. Colours are compared together, the channels
    of any other image one by one.

    Args:
        h: filter strength as a share of the full scale: how different surroundings may be; usual sweep 0.01,
            0.02, 0.05.
    """

    name = "non_local_means"
    strength = "h"

    def __init__(self, *, h: float = 0.02) -> None:
        self.h = number("non_local_means.h", h, 0, 1, above=True)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Filter; see the class."""
        unit = image.numpy() / max(full_scale, 1e-12)
        patch, distance = (5, 6) if image.ndim == 3 else (3, 2)
        settings = {"patch_size": patch, "patch_distance": distance, "h": self.h, "fast_mode": True}
        if len(unit) == 3 and unit.ndim == 3:
            done = denoise_nl_means(unit, channel_axis=0, **settings)
        else:
            done = np.stack([denoise_nl_means(channel, **settings) for channel in unit])
        return torch.from_numpy((done * full_scale).astype(np.float32))


class TotalVariation(Countermeasure):
    """Total variation denoising: edges stay, small oscillations go; channel by channel.

    Source: Chambolle, "An algorithm for total variation minimization and applications", JMIV 2004, as in scikit-image.

    Args:
        weight: on images scaled to [0, 1]; more is smoother; usual sweep 0.01, 0.03, 0.1.
    """

    name = "total_variation"
    strength = "weight"

    def __init__(self, *, weight: float = 0.03) -> None:
        self.weight = number("total_variation.weight", weight, 0, 10, above=True)

    def image(self, image: Tensor, full_scale: float) -> Tensor:
        """Filter; see the class."""
        unit = image.numpy() / max(full_scale, 1e-12)
        done = np.stack([denoise_tv_chambolle(channel, weight=self.weight) for channel in unit])
        return torch.from_numpy((done * full_scale).astype(np.float32))
