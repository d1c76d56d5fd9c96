# SPDX-License-Identifier: Apache-2.0
"""Grey pictures of the phantom: of each case the slice with most liver, in the window of soft tissue, as PNG pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from umed.data.phantom import make_case


def write_pictures(root: Path, cases: int, size: int = 48, zoom: int = 1) -> Path:
    """Write them; each pixel of a slice of ``size`` x ``size`` becomes ``zoom`` x ``zoom``."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(cases):
        image, label, _ = make_case(np.random.default_rng((7, number)), (size, size, 16))
        best = int((label == 1).sum(axis=(0, 1)).argmax())
        grey = np.clip((image[..., best] + 160.0) / 400 * 255, 0, 255).astype(np.uint8)
        liver = np.isin(label[..., best], (1, 3)).astype(np.uint8) * 255  # with its lesion
        grey, liver = (np.kron(one, np.ones((zoom, zoom), np.uint8)) for one in (grey, liver))
        Image.fromarray(grey).save(root / "images" / f"slice_{number:03d}.png")
        Image.fromarray(liver).save(root / "masks" / f"slice_{number:03d}.png")
    return root
