# SPDX-License-Identifier: Apache-2.0
"""TIFF and other pictures as microscopes, scanners and cameras write them, with masks; and what is in their fields."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from umed.data import tiff_tags

SHAPE = (37, 41)
PLACES = (273, 279, 324, 325)


def pixels(samples: int = 1, dtype: str = "u1", seed: int = 0) -> NDArray[Any]:
    """Values of 0 to 200, ``(37, 41)`` or ``(37, 41, samples)``."""
    shape = SHAPE if samples == 1 else (*SHAPE, samples)
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def mask_of(shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """One lesion."""
    mask = np.zeros(shape, np.uint8)
    mask[8:26, 10:30] = 255
    return mask


def add_mask(root: Path, name: str, mask: NDArray[np.uint8] | None = None) -> None:
    """A PNG mask of a case."""
    (root / "masks").mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask_of() if mask is None else mask).save(root / "masks" / f"{name}.png")


def tags(path: Path) -> list[tuple[int, int, bytes]]:
    """Every tag of the first directory but offsets and byte counts, as it is."""
    first = tiff_tags.walk(path.read_bytes()).directories[0]
    return [(tag.code, tag.kind, tag.raw) for tag in first.tags if tag.code not in PLACES]


def thumbnail(pixels: NDArray[Any]) -> bytes:
    """A small JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels[::2, ::2]).save(stream, "JPEG")
    return stream.getvalue()


def exif_block(small: bytes = b"", orientation: int = 0) -> bytes:
    """An EXIF block: Artist, ExifIFD with a date, GPS maybe not, and a thumbnail in a second directory."""
    exif = Image.Exif()
    exif[0x013B] = "Roe^Jane"
    if orientation:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2019:01:02 03:04:05"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    if not small:
        return block
    walk = tiff_tags.walk(block)
    order = "little" if block[:2] == b"II" else "big"
    place = len(block) + len(block) % 2
    after = walk.directories[0].span[1] - 4
    second = (2).to_bytes(2, order)
    for code, value in ((513, place + 30), (514, len(small))):
        second += code.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
    block = block[:after] + place.to_bytes(4, order) + block[after + 4 :]
    return block.ljust(place, b"\0") + second + bytes(4) + small


def write_tiff(path: Path, stored: NDArray[Any], **options: Any) -> Path:
    """A TIFF by tifffile; planar where asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = stored.ndim == 3
    planar = options.get("planarconfig") == "separate"
    options = {"photometric": "rgb" if colour else "minisblack", **options}
    tifffile.imwrite(path, np.moveaxis(stored, -1, 0) if colour and planar else stored, **options)
    return path
