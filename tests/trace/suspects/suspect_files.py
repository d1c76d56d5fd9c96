# SPDX-License-Identifier: Apache-2.0
"""Queries to ask suspects about: pictures and volumes of sizes that no two axes share."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image

AFFINE = np.array([[-1.5, 0, 0, 10], [0, 2.0, 0, -4], [0, 0, 3.0, 7], [0, 0, 0, 1.0]])
"""Axes that a network in RAS turns round, and spacings that it resamples."""


def make_queries(folder: Path, kind: str = "picture", count: int = 2) -> dict[str, np.ndarray]:
    """Write a folder of queries; gives the values of each, ``(C, *spatial)``."""
    (folder / "images").mkdir(parents=True)
    (folder / "challenge.json").write_text(json.dumps({"challenge": "0", "queries": count}))
    rng, found = np.random.default_rng(0), {}
    for number in range(count):
        name = f"q{number:012d}"
        if kind == "picture":
            image = blob((40, 56), rng).astype(np.uint8)
            image = np.stack([image, image // 2, 255 - image], -1)
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            found[name] = np.moveaxis(image, -1, 0)
            continue
        image = blob((32, 40, 24), rng).astype(np.int16)
        found[name] = image[None]
        if kind == "nifti":
            nib.save(nib.Nifti1Image(image, AFFINE), folder / "images" / f"{name}.nii.gz")
        else:
            one = sitk.GetImageFromArray(image.transpose(2, 1, 0))
            one.SetSpacing((1.5, 2.0, 3.0))
            sitk.WriteImage(one, str(folder / "images" / f"{name}.mha"))
    return found


def blob(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A bright box off the centre, in noise."""
    image = rng.normal(40, 1, shape)
    image[tuple(slice(side // 8, side // 2) for side in shape)] += 150
    return image.clip(0, 255)


def same_place(shares: np.ndarray, image: np.ndarray) -> float:
    """Dice coefficient of the foreground of an answer and the bright box of an image ``(*spatial)``."""
    seen, box = shares[1:].sum(0) > 0.5, image > 120
    assert seen.shape == box.shape
    return float(2 * (seen & box).sum() / (seen.sum() + box.sum()))
