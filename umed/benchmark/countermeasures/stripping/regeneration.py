# SPDX-License-Identifier: Apache-2.0
"""The tool against itself: protect the published images once more, and take off what it adds."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from umed.benchmark.victims.case_tensors import Samples, load_samples
from umed.core.config import make_settings
from umed.core.keyfile import Key
from umed.protect.run import protect


def regenerated(
    published: Samples,
    *,
    epsilon: float,
    seed: int = 0,
    generators: str | None = None,
    iterations: int | None = None,
) -> list[Tensor]:
    """Protect published cases again and mirror what that adds: ``2 * published - twice``.

    Args:
        published: cases as they were published.
        epsilon: bound of the release, which its manifest tells.
        seed: of the thief's key, so that his figures can be repeated.
        generators: trained generators, where the release holds any; else umed trains its own on the release.
        iterations: of his training; those of the default recipe if ``None``.

    Returns:
        One image a case, ``(C, *spatial)`` float32.

    Raises:
        UmedError: as :func:`umed.protect.run.protect` does.
    """
    with tempfile.TemporaryDirectory(prefix="umed-strip-") as folder:
        source, out = Path(folder) / "published", Path(folder) / "twice"
        names = _write(published, source)
        settings = make_settings("default", {"epsilon": epsilon, "mask_background": [0]})
        if iterations is not None:
            settings = replace(settings, training=replace(settings.training, iterations=iterations))
        key = Path(folder) / "thief.key"
        Key(hashlib.sha256(f"a thief's key, seed {seed}".encode()).digest()).write(key)
        protect(source, out, settings=settings, key_file=key, generators=generators, report=False)
        twice = load_samples(out, names)
        again = dict(zip(twice.ids, twice.images, strict=True))
        once = load_samples(source, names)
        before = dict(zip(once.ids, once.images, strict=True))
    return [
        image + before[name] - again[name] if name in again else image
        for name, image in zip(names, published.images, strict=True)
    ]


def _write(samples: Samples, root: Path) -> list[str]:
    """Write cases as a data set: pictures as PNG pairs, all else as float32 NIfTI in nnU-Net's layout."""
    names = [f"case_{number:06d}" for number in range(len(samples.ids))]
    if _pictures(samples):
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True)
        for name, image, label in zip(names, samples.images, samples.labels, strict=True):
            array = image.round().clamp(0, 255).to(torch.uint8).numpy()
            picture = Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1))
            picture.save(root / "images" / f"{name}.png")
            Image.fromarray(label.numpy()).save(root / "masks" / f"{name}.png")
        return names
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for name, image, label, spacing in zip(names, samples.images, samples.labels, samples.spacings, strict=True):
        affine = np.diag([*spacing, *[1.0] * (3 - len(spacing)), 1.0])
        for channel, part in enumerate(image):
            nib.save(nib.Nifti1Image(part.numpy(), affine), root / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
        nib.save(nib.Nifti1Image(label.numpy(), affine), root / "labelsTr" / f"{name}.nii.gz")
    index = {
        "channel_names": {str(channel): f"channel {channel}" for channel in range(len(samples.images[0]))},
        "labels": {"background": 0} | {f"class {value}": value for value in range(1, samples.classes)},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return names


def _pictures(samples: Samples) -> bool:
    """Whether all cases are 8-bit pictures, or at least on their scale."""
    return all(
        image.ndim == 3 and len(image) in (1, 3) and scale == 255.0
        for image, scale in zip(samples.images, samples.scales, strict=True)
    )
