# SPDX-License-Identifier: Apache-2.0
"""Makes tiny images and masks at given paths, for the tests of folder layouts."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

SIDE = (24, 20)


def lay(root: Path, *names: str) -> Path:
    """Write images at these names, masks where a name has a second part: ``"a/mask.png=2"`` holds class 2 in a square.

    A mask's square lies where its name puts it, so that no two are alike.
    """
    for entry in names:
        name, _, value = entry.partition("=")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        flat = not name.endswith((".nii.gz", ".nii"))
        shape = SIDE if flat else (*SIDE, 6)
        if value:
            array = np.zeros(shape, np.uint8)
            x, y = rng.integers(2, 8, 2)
            array[x : x + 9, y : y + 8] = int(value)
        else:
            array = rng.integers(40, 200, shape).astype(np.uint8 if flat else np.int16)
        if flat:
            Image.fromarray(array).save(path)
        else:
            image = nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]))
            image.header.set_xyzt_units("mm", "sec")
            nibabel.save(image, path)
    return root


def write_json(path: Path, content: Any) -> Path:
    """Write JSON and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def cases_of(dataset: Any) -> dict[str, tuple[list[str], list[str], tuple[int, ...]]]:
    """Images, labels and classes of each case, by id."""
    return {case.id: (names(case.images), names(case.labels), case.classes) for case in dataset.cases}


def names(paths: Iterable[Path]) -> list[str]:
    """Paths as text."""
    return [path.as_posix() for path in paths]
