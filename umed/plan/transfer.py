# SPDX-License-Identifier: Apache-2.0
"""What a thief's pipeline leaves of a code: the share of a grating's amplitude, in expectation, by period and colour.

Filters and resizing are linear, so their share follows from the frequency alone; it is averaged over all angles. What
folds over to another frequency counts as lost. JPEG is not linear and is measured, on a texture like nature's.
nnU-Net's augmentation is that of ``nnUNetTrainer.get_training_transforms`` (nnU-Net v2), as far as it touches periods:
Isensee et al. 2021, doi 10.1038/s41592-020-01008-z.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
WEIGHTS: Mapping[str, float] = {
    "nnunet": 4, "half": 2, "quarter": 1, "blur": 2, "blur2": 1, "jpeg": 2, "jpeg50": 1, "512": 1, "256": 1
}  # fmt: skip
"""How much each threat counts. nnU-Net's augmentation is what thieves really train with; the cheap filters follow, each
twice as likely mild as hard; ``512`` and ``256`` are resolutions to which larger pictures are brought, and only those
count them."""
QUALITIES: Mapping[str, int] = {"jpeg": 75, "jpeg50": 50}
AMPLITUDES = (4.0, 8.0, 16.0)
"""Of a grating for JPEG, of 255: the nearest one stands for an epsilon."""
_ANGLES = 32
_DRAWS = 33
_EDGE = 128


@dataclass(frozen=True)
class Transfer:
    """Shares of the amplitude that are left.

    Args:
        threats: by name, in [0, 1]; keys of :data:`WEIGHTS`.
    """

    threats: Mapping[str, float]

    @property
    def worst(self) -> str:
        """The threat that leaves least: a thief may choose."""
        return min(self.threats, key=self.threats.__getitem__)

    @property
    def least(self) -> float:
        """What is left by it."""
        return self.threats[self.worst]

    def heard(self, loudness: float, enough: float) -> float:
        """How far a code is loud enough, over all threats.

        Louder than enough counts no more: a code that one filter takes away is not made up for by one more that it
        outlives.

        Args:
            loudness: of the code before any threat, in multiples of nature.
            enough: multiple that is wanted.

        Returns:
            Mean over the threats of what is left against what is wanted, in [0, 1], weighted by :data:`WEIGHTS`.
        """
        total = sum(WEIGHTS[name] for name in self.threats)
        parts = {name: min(1.0, loudness * share / enough) for name, share in self.threats.items()}
        return sum(WEIGHTS[name] * part for name, part in parts.items()) / total


def transfer(
    period: float, signs: Sequence[float], *, dims: int, edge: int, jpeg: bool, epsilon: float = 4 / 255
) -> Transfer:
    """Work out what is left of a grating.

    Args:
        period: in px of the file; below 2 it lies along the diagonals, where alone the grid holds it.
        signs: amplitude in each channel, relative.
        dims: 2 or 3, of the network and of the grating.
        edge: longer side of the images in px.
        jpeg: whether thieves may store the images as JPEG: flat 8-bit pictures of one or three channels.
        epsilon: amplitude of the grating as a share of the range, for JPEG.

    Returns:
        The share of each threat.
    """
    waves = (directions(dims) if period >= 2 else np.full((1, dims), dims**-0.5)) / period
    shares = {"nnunet": nnunet_share(waves)}
    shares |= {"half": resized(waves, 2.0), "quarter": resized(waves, 4.0)}
    shares |= {"blur": blurred(waves, 1.0), "blur2": blurred(waves, 2.0)}
    if jpeg:
        amplitude = min(AMPLITUDES, key=lambda one: abs(math.log(one / (255 * epsilon))))
        known = round(period, 3), tuple(signs), amplitude
        shares |= {name: jpeg_share(*known, quality) for name, quality in QUALITIES.items()}
        shares |= {str(size): resized(waves, edge / size) for size in (512, 256) if edge > 512}
    return Transfer(shares)


def directions(dims: int) -> Floats:
    """Unit vectors, evenly over half a circle or half a sphere (Fibonacci), ``(N, dims)`` float64."""
    steps = (np.arange(_ANGLES) + 0.5) / _ANGLES
    if dims == 2:
        return np.stack([np.cos(np.pi * steps), np.sin(np.pi * steps)], -1)
    around = np.pi * (1 + math.sqrt(5)) * np.arange(_ANGLES)
    across = np.sqrt(1 - steps**2)
    return np.stack([steps, across * np.cos(around), across * np.sin(around)], -1)


def blurred(waves: Floats, sigma: float) -> float:
    """Share that a Gaussian blur leaves.

    Args:
        waves: cycles a px, ``(N, dims)``.
        sigma: of the blur in px.
    """
    return float(np.exp(-2 * (np.pi * sigma) ** 2 * np.square(waves).sum(-1)).mean())


def resized(waves: Floats, factor: float) -> float:
    """Share that is left when an image shrinks by averaging areas.

    Args:
        waves: cycles a px, ``(N, dims)``.
        factor: by which each side shrinks; 1 or less leaves all.
    """
    if factor <= 1:
        return 1.0
    kept = (np.sinc(factor * waves) / np.sinc(waves)).prod(-1)  # a sum of samples; np.sinc has the pi in it
    return float(np.where((np.abs(waves) * factor < 0.5).all(-1), kept, 0.0).mean())


def nnunet_share(waves: Floats) -> float:
    """Share that is left in expectation of nnU-Net's rotation, zoom, blur and simulated low resolution.

    Args:
        waves: cycles a px, ``(N, dims)``.
    """
    # Rotation and zoom, each for a fifth of the cases, are sampled linearly; zooming out may fold a wave over.
    linear = np.square(np.sinc(waves)).prod(-1)
    zooms = np.linspace(0.7, 1.4, _DRAWS)
    seen = np.mean([linear * (np.abs(waves) * zoom < 0.5).all(-1) for zoom in zooms], axis=0)
    turned = 0.64 + 0.16 * linear + 0.2 * seen
    # A fifth of the cases is blurred, a quarter brought down (nearest) and up (linear), each of their channels by half.
    length = np.square(waves).sum(-1)
    blurs = np.mean([np.exp(-2 * (np.pi * s) ** 2 * length) for s in np.linspace(0.5, 1.0, _DRAWS)], axis=0)
    lows = np.mean([np.square(np.sinc(waves / z)).prod(-1) for z in np.linspace(0.5, 1.0, _DRAWS)], axis=0)
    lows *= np.sinc(waves).prod(-1)  # the nearest voxel is up to half a px off
    return float((turned * (0.9 + 0.1 * blurs) * (0.875 + 0.125 * lows)).mean())


@lru_cache(maxsize=256)
def jpeg_share(period: float, signs: tuple[float, ...], amplitude: float, quality: int = 75) -> float:
    """Share of a grating that JPEG leaves, with colours at half resolution (4:2:0), as Pillow writes it.

    Args:
        period: in px.
        signs: of the channels, one or three.
        amplitude: of the grating, of 255.
        quality: of the JPEG, 1 to 95.

    Returns:
        Mean over angles of the regression of what was added to the decoded picture on what was added before.
    """
    rng = np.random.default_rng(0)
    place = np.stack(np.meshgrid(*[np.arange(_EDGE)] * 2, indexing="ij"), -1)
    direction = np.asarray(signs, np.float64)
    shares = []
    for angle in (np.arange(6) + rng.random()) * np.pi / 6:
        wave = np.sin(2 * np.pi / period * place @ [np.cos(angle), np.sin(angle)] + rng.uniform(0, 2 * np.pi))
        code = amplitude * np.multiply.outer(wave, direction)
        nature = 128 + np.multiply.outer(_texture(rng, 12.0), np.ones_like(direction))
        nature += np.stack([_texture(rng, 1.5) for _ in direction], -1)
        added = _through_jpeg(nature + code, quality) - _through_jpeg(nature, quality)
        shares.append((added * code).sum() / np.square(code).sum())
    return float(np.clip(np.mean(shares), 0, 1))


def _texture(rng: np.random.Generator, rms: float) -> Floats:
    """Noise whose amplitude falls with frequency, as nature's does."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_EDGE), np.fft.fftfreq(_EDGE)))
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_EDGE, _EDGE))) / np.maximum(frequency, 1 / _EDGE)).real
    return np.asarray(field * rms / field.std())


def _through_jpeg(picture: Floats, quality: int) -> Floats:
    stored = picture.round().clip(0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(stored[..., 0] if stored.shape[-1] == 1 else stored).save(
        held, "JPEG", quality=quality, subsampling=2
    )
    return np.asarray(Image.open(held), np.float64).reshape(picture.shape)
