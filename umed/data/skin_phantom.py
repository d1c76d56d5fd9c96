# SPDX-License-Identifier: Apache-2.0
"""Small computed colour pictures of skin with a lesion each, so that a demonstration needs no download.

A network must tell the brown lesion from what looks like it: red spots, hairs, freckled skin and shadows, none of them
labelled. A plain U-Net learns it in a few hundred steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from umed.core.errors import ConfigError, InputError

SMALLEST = 32
"""Pixels along a side, at least: a lesion must not be smaller than its own rim."""

Floats = NDArray[np.float64]


def make_skin_phantom(root: str | Path, *, cases: int = 96, seed: int = 0, size: int = 64) -> Path:
    """Write the pictures and their masks as PNG pairs; the same arguments give the same pixels.

    Args:
        root: new or empty folder.
        cases: number of pictures.
        seed: seeds every picture together with its number, so that it does not depend on how many follow.
        size: pixels along each side, at least :data:`SMALLEST`.

    Returns:
        The folder, with ``images`` (uint8, RGB) and ``masks`` (uint8, 255 is lesion).

    Raises:
        ConfigError: when there is no case, or the pictures are too small.
        InputError: when the folder holds anything.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = make_skin_phantom(folder, cases=1, size=32)
        ...     sorted(path.name for path in root.rglob("*.png"))
        ['skin_000.png', 'skin_000.png']
    """
    if cases < 1 or size < SMALLEST:
        raise ConfigError(
            f"make_skin_phantom: expected at least 1 case of at least {SMALLEST} px, got {cases} of {size} px."
        )
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: expected a new or empty folder, got one with files. Pick another folder.")
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(cases):
        image, mask = make_picture(np.random.default_rng((seed, number)), size)
        for folder, array in (("images", image), ("masks", mask)):
            Image.fromarray(array).save(root / folder / f"skin_{number:03d}.png")
    return root


def make_picture(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one picture: ``(size, size, 3)`` uint8, and its mask ``(size, size)`` uint8, 255 inside the lesion."""
    axis = np.linspace(-1, 1, size)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))  # rows, columns

    def texture(sigma: float) -> Floats:
        smooth = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
        normal: Floats = (smooth - smooth.mean()) / smooth.std()
        return normal

    def distance(centre: Floats, radii: Floats, wobble: float) -> Floats:
        """1 on the rim of an ellipse that is turned and dented."""
        along, across = _turned(grid - centre.reshape(2, 1, 1), rng.uniform(0, np.pi))
        found: Floats = np.hypot(along / radii[0], across / radii[1]) + wobble * texture(size / 12)
        return found

    skin = np.array([205.0, 160.0, 140.0]) + rng.normal(0, 14, 3) + rng.normal(0, 12)
    picture = skin + (9 * texture(1.5) + 6 * texture(4))[..., None]

    rim = distance(rng.uniform(-0.4, 0.4, 2), rng.uniform(0.3, 0.5) * rng.uniform(0.8, 1.25, 2), 0.12)
    brown = np.array([-75.0, -80.0, -75.0]) * rng.uniform(0.45, 1.0) + rng.normal(0, 6, 3)
    picture += (_inside(rim, 14) * (1 + 0.25 * texture(2.5)))[..., None] * brown

    for _ in range(rng.integers(1, 4)):  # red spots: as dark, another colour, no label
        spot = distance(rng.uniform(-0.9, 0.9, 2), np.full(2, rng.uniform(0.1, 0.25)), 0.1)
        picture += _inside(spot, 10)[..., None] * np.array([10.0, -45.0, -35.0]) * rng.uniform(0.6, 1.3)
    for _ in range(rng.integers(0, 6)):  # hairs
        along, across = _turned(grid - rng.uniform(-1, 1, (2, 1, 1)), rng.uniform(0, np.pi))
        bent = across - rng.normal(0, 0.3) * along**2
        hair = np.exp(-((bent * size / 2) ** 2)) * (abs(along) < rng.uniform(0.3, 0.9))
        picture -= hair[..., None] * np.array([90.0, 80.0, 75.0])

    light = 1 + 0.1 * texture(size / 5) + 0.06 * np.tensordot(rng.normal(0, 1, 2), grid, 1)
    blurred = ndimage.gaussian_filter(picture * light[..., None], (0.6, 0.6, 0))  # the lens
    seen = blurred + 2 * rng.standard_normal(blurred.shape)  # the sensor
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8), np.where(rim < 1, 255, 0).astype(np.uint8)


def _turned(points: Floats, angle: float) -> Floats:
    """Rotate ``(2, ...)`` coordinates by ``angle`` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * points[0] + sine * points[1], cosine * points[1] - sine * points[0]])


def _inside(distance: Floats, steepness: float) -> Floats:
    """1 inside, 0 outside, with a soft rim."""
    soft: Floats = 1 / (1 + np.exp((distance - 1) * steepness))
    return soft
